"""A model on an extra test set."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from noisy_student import backends
from noisy_student.data.inputs import Inputs
from noisy_student.inference import metrics
from noisy_student.inference.predict import predict_probs
from noisy_student.inference.saving import load
from noisy_student.runtime import layout, seals
from noisy_student.runtime.files import read_json, write_json
from noisy_student.runtime.layout import Model
from noisy_student.runtime.types import Labels, Probs
from noisy_student.settings.params import Params


def evaluate_extra(params: Params, model: Model, key: str) -> None:
    """Measure a model on the test set `key` of `eval.extra_tests`, as the stage extra-test read it."""
    backends.current().make_deterministic()
    inputs, folder = Inputs(), layout.extra_test(key)
    images, present = inputs.images_and_labels(folder), read_json(inputs.file(folder / "present.json"))
    trained = load(inputs.file(model.path), classes=inputs.classes)
    name = f"{model.name} on {key}"
    probs = predict_probs(trained, images.images, batch_size=params.eval.batch_size, name=name)
    measured = layout.extra_evaluation(key, model)
    write_json(measured / layout.METRICS, extra_metrics(probs, np.asarray(images.labels), present=present))
    seals.seal(measured, [layout.METRICS])


def extra_metrics(probs: Probs, labels: Labels, *, present: Sequence[int]) -> dict[str, Any]:
    """Accuracy on an extra test set, with its 95 % interval by Wilson.

    Only the probabilities of the classes that the set can hold (`present`) count, as for ImageNet-A's 200 classes.
    """
    predicted = np.asarray(present)[probs[:, present].argmax(axis=1)]
    correct = int((predicted == labels).sum())
    return {
        "images": len(labels),
        "classes": len(present),
        "accuracy": correct / len(labels),
        "accuracy_interval": list(metrics.accuracy_interval(correct, len(labels))),
    }

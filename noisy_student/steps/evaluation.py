"""What a trained model is worth on the test split: metrics, tables and pictures, one model at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from noisy_student import backends
from noisy_student.data.arrays import open_truth
from noisy_student.data.inputs import Inputs
from noisy_student.data.views import Some
from noisy_student.drawing import charts, galleries, pool
from noisy_student.drawing.canvas import save_chart
from noisy_student.inference import metrics
from noisy_student.inference.outcomes import Outcomes, open_outcomes
from noisy_student.inference.predict import predict_probs
from noisy_student.inference.saving import load
from noisy_student.noise.pipeline import input_noise
from noisy_student.pseudo_labels.confidence import StoredProbs, confidence_rows
from noisy_student.runtime import layout, seals
from noisy_student.runtime.files import read_csv, read_json, write_csv, write_json
from noisy_student.runtime.layout import TEACHER, Model
from noisy_student.runtime.types import Labels, Probs
from noisy_student.settings.params import Params
from noisy_student.steps.reported import Predictions, evaluate, pseudo_label_quality

if TYPE_CHECKING:
    from noisy_student.data.labelled import LabelledImages
    from noisy_student.data.views import Images


TABLES = (layout.METRICS, "confusion.csv", "reliability.csv", "curves.csv")


def evaluate_teacher(params: Params) -> None:
    """Evaluate the teacher, and draw what the noise does."""
    inputs = Inputs()
    evaluated = _evaluate(params, TEACHER, inputs)
    noise = input_noise(params, noised=True)
    images, path = inputs.labelled.images, TEACHER.evaluation_plots / "noise.png"
    galleries.noise_gallery(path, images, noise, seed=params.seed)
    write_json(TEACHER.evaluation / layout.METRICS, evaluated)
    seals.seal(TEACHER.evaluation, TABLES)


def evaluate_student(params: Params, key: str) -> None:
    """Evaluate the student of the generation `key`, and the pseudo-labels that it learned from, if it did."""
    inputs, student, generation = Inputs(), Model(key), params.generation(key)
    evaluated = _evaluate(params, student, inputs)
    names, test = inputs.classes, inputs.test
    _draw_disagreement(student, Model.named(generation.teacher), test, names)
    tables = [*TABLES]
    if generation.student.uses_pseudo_labels:
        probs, truth = inputs.probs(key), open_truth(layout.TRUTH, classes=len(names))
        bounds = generation.pseudolabel.bounds
        pool, rows = inputs.pool, inputs.labelled_rows(key)
        if rows is not None:
            pool, truth = Some(pool, rows), truth[rows]
        draw_pseudo_labels(student, pool, probs, truth, names, bounds=bounds)
        evaluated |= pseudo_label_quality(probs, truth, **bounds)
        tables.append("confidence.csv")
    write_json(student.evaluation / layout.METRICS, evaluated)
    seals.seal(student.evaluation, tables)


def _evaluate(params, model, inputs):
    """The metrics of a model on the test split; write its tables and pictures."""
    backends.current().make_deterministic()
    names, test = inputs.classes, inputs.test
    trained = load(inputs.file(model.path), classes=names)
    probs, penalty = predict(trained, test, batch_size=params.eval.batch_size, name=f"eval {model.name}")
    Outcomes.of(probs, np.asarray(test.labels)).write(model.evaluation_outcomes)
    _write_confusion(model, probs, test.labels, names)
    reliability = [{"model": model.name, **row} for row in metrics.reliability(probs, test.labels)]
    write_csv(model.evaluation / "reliability.csv", reliability)
    curves = [{"model": model.name, **row} for row in read_csv(model.curves)]
    write_csv(model.evaluation / "curves.csv", curves)
    chart = charts.learning_curves(curves, {model.name: read_json(model.summary)["best"]})
    save_chart(model.evaluation_plots / "curves.png", chart)
    return evaluate(Predictions(probs, test.labels, names, penalty))


def predict(model: keras.Model, images: LabelledImages, *, batch_size: int | str, name: str) -> tuple[Probs, float]:
    """The distributions of a model, and its weight penalties in nats."""
    probs = predict_probs(model, images.images, batch_size=batch_size, name=name)
    return probs, float(sum(keras.ops.convert_to_numpy(penalty) for penalty in model.losses))


def _write_confusion(model, probs, labels, class_names):
    pairs = [(class_names[a], class_names[p]) for a, p in zip(labels, probs.argmax(axis=1), strict=True)]
    write_csv(model.evaluation / "confusion.csv", [{"actual": a, "predicted": p} for a, p in pairs])
    matrix = metrics.confusion(probs, labels)
    save_chart(model.evaluation_plots / "confusion.png", charts.confusion(model.name, matrix, class_names))


def _draw_disagreement(student, teacher, test, class_names):
    """Galleries of test images that one of the two gets wrong and the other right."""
    outcomes = {
        model.name: open_outcomes(model.evaluation_outcomes, images=len(test.labels)) for model in (teacher, student)
    }
    for first, second in ((teacher.name, student.name), (student.name, teacher.name)):
        galleries.disagreement_gallery(
            student.evaluation_plots / f"{first}-wrong-{second}-right.png",
            test.images,
            test.labels,
            outcomes[first],
            outcomes[second],
            class_names,
            title=f"Test images that {first} gets wrong and {second} gets right",
            models=(first, second),
        )


def draw_pseudo_labels(
    student: Model,
    images: Images,
    probs: Probs | StoredProbs,
    truth: Labels,
    class_names: Sequence[str],
    *,
    bounds: dict[str, Any],
) -> None:
    """Draw what a student's teacher says of the pool, and what filtering and balancing made of it.

    Only the images that are shown are read; the truth is -1 where unknown; for the bounds see `confidence.is_kept`.
    """
    folder, key = student.evaluation_plots, str(student.generation)
    counts = read_csv(layout.balance_tables(key) / "class_counts.csv", text=("class", "when"))
    save_chart(folder / "class-counts.png", charts.class_counts(counts))
    rows = confidence_rows(probs, truth, **bounds)
    write_csv(student.evaluation / "confidence.csv", rows)
    save_chart(folder / "confidence.png", charts.confidence_histogram(rows, **bounds))
    pool.pseudo_label_gallery(folder / "pseudo-labels.png", images, probs, class_names, truth=truth, **bounds)

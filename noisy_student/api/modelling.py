"""`ns.load`, `ns.Model`, `ns.pseudo_label`, `ns.evaluate`: what a trained model says of images."""

from __future__ import annotations

import functools
import importlib.util
import os
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from noisy_student import backends
from noisy_student.api import arguments
from noisy_student.api.arguments import DEFAULTS, ArgumentError
from noisy_student.inference.description import Description
from noisy_student.runtime.installed import REQUIREMENTS
from noisy_student.runtime.types import Probs
from noisy_student.settings.schema import PseudoLabelParams

if TYPE_CHECKING:
    import keras

_LABEL = DEFAULTS.pseudolabel


@dataclass(frozen=True, repr=False)
class Model:
    """A trained model: what `train` and `load` return.

    Attributes:
        keras: the Keras model, for inference: uint8 (N, S, S, 3) -> probabilities (N, K). It needs nothing else of
            this package.
        classes: names of the K classes, in the order of the probabilities.
        history: rows of the learning curves, one a validation: step, train_loss, train_accuracy, learning_rate,
            validation_loss, validation_accuracy. Empty for a loaded model.
        summary: parameters, multiply-adds, steps and the best validation. Empty for a loaded model.
        description: what its file says of it: name, classes, how images are read, how it was trained. None for a file
            of another project.
    """

    keras: keras.Model
    classes: list[str]
    history: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    description: Description | None = None

    def __repr__(self) -> str:
        return f"<Model {self.keras.name}: {self.image_size} x {self.image_size} pixels, {len(self.classes)} classes>"

    @property
    def image_size(self) -> int:
        """The side in pixels of the images that the network takes; others are resized to it."""
        return self.keras.input_shape[1]

    def predict(self, images: npt.ArrayLike, *, batch_size: int | str = DEFAULTS.eval.batch_size) -> Probs:
        """The probabilities of the classes, without noise.

        Args:
            images: (N, S, S, 3) uint8 RGB; of another side than `image_size` they are resized (bicubic).
            batch_size: images a step; "auto": by network, image size and device.

        Returns:
            (N, K) float32; rows sum to 1. The most probable class: `classes[k]` for k of `.argmax(axis=1)`.

        Raises:
            UserError: they are no such images, or the model gives NaN.
        """
        return _predict("predict", self, images, batch_size=batch_size)

    def save(self, path: str | os.PathLike) -> None:
        """Write a `.keras` file, whole or not at all: what `load` and `python -m noisy_student` read.

        Stock Keras loads it in safe mode, without this package.

        Args:
            path: its name ends in .keras; a file of that name is replaced.

        Raises:
            UserError: the name ends otherwise.
            OSError: the folder cannot be written.
        """
        from noisy_student.inference import saving

        if Path(path).suffix != ".keras":
            raise ArgumentError(f"path: expected a name that ends in .keras, found {os.fspath(path)}.")
        description = self.description
        if description is None:
            facts: dict[str, Any] = {
                "name": Path(path).stem,
                "classes": tuple(self.classes),
                "image_size": self.image_size,
            }
            with arguments.speaking_of_arguments("save"):
                description = Description(**facts, resize=DEFAULTS.data.resize)
        saving.save(self.keras, Path(path), description)


def load(path: str | os.PathLike) -> Model:
    """Read a model that `Model.save` or the pipeline wrote (`models/*.keras`), in safe mode: no code in it is run.

    Args:
        path: a `.keras` file of a network that takes square uint8 images and gives probabilities. One that names no
            classes has them numbered from 0.

    Raises:
        UserError: the file is missing or damaged, needs code from inside it, or holds another kind of model.
    """
    start()
    from noisy_student.inference import saving

    if not Path(path).is_file():
        raise ArgumentError(f"path: {os.fspath(path)}: no such file. Give the .keras file of a model.")
    with arguments.speaking_of_arguments("load"):
        network, description = saving.load(Path(path)), saving.read_description(Path(path))
    model = of_keras(network, where=os.fspath(path))
    if description is None:
        return model
    return replace(model, classes=list(description.classes), description=description)


def pseudo_label(
    model: Model,
    images: npt.ArrayLike,
    *,
    batch_size: int | str = _LABEL.batch_size,
    test_time_augmentation: Literal["none", "flip"] = _LABEL.test_time_augmentation,
) -> Probs:
    """A teacher's labels of unlabelled images: its distributions, un-noised (arXiv:1911.04252, algorithm 1, step 2).

    Args:
        model: the teacher; a Keras model that takes uint8 images and gives probabilities will do.
        images: (N, S, S, 3) uint8 RGB, one at least; those of another size than the model's are resized.
        batch_size: images a step; "auto": by network, image size and device.
        test_time_augmentation: "flip": the mean of what it says of an image and of its mirror image.

    Returns:
        (N, K) float32; rows sum to 1. `balance` chooses of them, `train` learns from them.

    Raises:
        UserError: they are no such images, or the model gives NaN.
    """
    with arguments.speaking_of_arguments("pseudo_label"):
        PseudoLabelParams(**arguments.plain({"test_time_augmentation": test_time_augmentation}))
    mirrored = test_time_augmentation == "flip"
    return _predict("pseudo_label", model, images, batch_size=batch_size, mirrored=mirrored)


def evaluate(
    model: Model,
    images: npt.ArrayLike,
    labels: npt.ArrayLike,
    *,
    batch_size: int | str = DEFAULTS.eval.batch_size,
) -> dict[str, Any]:
    """What a model is worth on labelled images that it was not trained on: the metrics of metrics/eval.json.

    Args:
        model: as of `pseudo_label`.
        images: (N, S, S, 3) uint8 RGB, one at least.
        labels: (N,) classes from 0 to K - 1.
        batch_size: images a step; "auto": by network, image size and device.

    Returns:
        accuracy and its 95 % interval (Wilson), 0..1; nll: negative log-likelihood, nats; loss: with the network's
        weight penalties; ece: calibration error, 0..1; top5, of more than 5 classes; recall of every class, 0..1.

    Raises:
        UserError: images or labels are no such arrays, or do not fit the model.
    """
    from noisy_student.steps.reported import Predictions
    from noisy_student.steps.reported import evaluate as measure

    pixels, model = arguments.some_images(images, "images"), of_keras(model)
    known, number = arguments.labels(labels, "labels", number=len(pixels), of="images"), len(model.classes)
    if known.max() >= number:
        raise ArgumentError(f"labels: found class {known.max()}, but the model knows {number}, 0 to {number - 1}.")
    probs = _predict("evaluate", model, pixels, batch_size=batch_size)
    penalty = float(sum(np.asarray(penalty) for penalty in _penalties(model.keras)))
    return measure(Predictions(probs, known, model.classes, penalty))


def _penalties(network):
    from keras import ops

    return [ops.convert_to_numpy(penalty) for penalty in network.losses]


def _predict(function, model, images, **options):
    model, pixels = of_keras(model), arguments.images(images, "images")
    with arguments.speaking_of_arguments(function):
        PseudoLabelParams(**arguments.plain({"batch_size": options["batch_size"]}))
    if not len(pixels):
        return np.empty((0, len(model.classes)), np.float32)
    from noisy_student.inference.predict import predict_probs

    with arguments.speaking_of_arguments(function):
        return predict_probs(model.keras, pixels, name=function, **arguments.plain(options))


def of_keras(model: Model | keras.Model, *, where: str = "model") -> Model:
    """A `Model` as it is; a Keras model as one, if it takes square images of three channels and gives (N, K).

    Raises:
        ArgumentError: it is something else.
    """
    if isinstance(model, Model):
        return model
    start()
    import keras

    if not isinstance(model, keras.Model):
        raise ArgumentError(
            f"{where}: expected what train or load returns, found {type(model).__name__}. Use load for a path."
        )
    taken, given = getattr(model, "input_shape", None), getattr(model, "output_shape", None)
    fits = isinstance(taken, tuple) and len(taken) == 4 and taken[1] == taken[2] is not None and taken[3] == 3
    if not fits or not isinstance(given, tuple) or len(given) != 2:
        raise ArgumentError(
            f"{where}: takes {taken} and gives {given}; expected a network for square images (None, S, S, 3) that "
            "gives probabilities (None, K)."
        )
    return Model(model, [str(k) for k in range(given[1])])


@functools.cache
def start() -> None:
    """Load Keras, once, on the framework that it runs on already, or KERAS_BACKEND names, or the schema.

    As in the stages, Keras' settings are brought to its own defaults, and operations give equal bits in every run: one
    without such a kernel raises an error from then on.

    Raises:
        ArgumentError: it is not installed, or cannot train here.
    """
    loaded = sys.modules.get("keras")
    name = loaded.config.backend() if loaded else os.environ.get("KERAS_BACKEND") or DEFAULTS.backend
    if name not in REQUIREMENTS:
        known = ", ".join(REQUIREMENTS)
        raise ArgumentError(f"KERAS_BACKEND: Keras runs on {name}, which cannot train here. Set it to one of {known}.")
    if importlib.util.find_spec(name) is None:
        raise ArgumentError(
            f"KERAS_BACKEND: Keras is to run on {name}, which is not installed. Run `pip install {name}`, or set the "
            "environment variable to another framework that is."
        )
    backends.select(name)
    backends.current().make_deterministic()

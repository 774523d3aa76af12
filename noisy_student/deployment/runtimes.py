"""What predicts: a `.keras` file by Keras, or an export by its own runtime, for which no framework is imported."""

import importlib.util
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from pydantic import ValidationError

from noisy_student.deployment import formats
from noisy_student.deployment.names import check_number, first_fault, read_names, speaking_of
from noisy_student.inference.description import Description
from noisy_student.runtime.errors import DataError
from noisy_student.runtime.types import Pixels, Probs

if TYPE_CHECKING:
    import keras

EXPORT_BATCH = 32  # images; on CPUs no runtime is faster with more, and those of large networks would take gigabytes


class Opened(NamedTuple):
    """A model that is ready to predict.

    Attributes:
        described: what its file says of it.
        side: of the square images that it takes, in pixels.
        size: images a step takes.
        stream: for batches of 1 to `size` uint8 images (n, side, side, 3), each with whatever it is known by, yields
            that and the probabilities (n, K), one at a time.
    """

    described: Description
    side: int
    size: int
    stream: Callable[[Iterable[tuple[Any, Pixels]]], Iterator[tuple[Any, Probs]]]


def is_export(path: Path) -> bool:
    """Whether a path is, by its name, what `export` writes; a SavedModel by what lies in it."""
    return _format_of(path) is not None


def open_any(path: Path, classes: Path | None = None) -> Opened:
    """Read a `.keras` file or an export.

    Args:
        classes: a file with other names for the classes, see `names.read_names`.

    Raises:
        DataError: as `models.open_model`; an export's package is missing, the file is damaged or comes from elsewhere,
            or it may hold code.
    """
    module = _format_of(path)
    if module is None:
        from noisy_student.deployment.models import open_model

        return of_keras(*open_model(path, classes))
    return _of_export(module, path, classes)


def of_keras(model: "keras.Model", described: Description) -> Opened:
    """A model of Keras."""
    from noisy_student.inference.predict import Predictor

    predictor = Predictor(model)
    return Opened(described, model.input_shape[1], predictor.size, predictor.stream)


def _format_of(path):
    modules = [formats.module_of(name) for name in formats.FORMATS]
    by_suffix = [module for module in modules if module.SUFFIX and path.name.lower().endswith(module.SUFFIX)]
    if by_suffix:
        return by_suffix[0]
    return formats.module_of("savedmodel") if (path / "saved_model.pb").is_file() else None


def _of_export(module: ModuleType, path: Path, classes: Path | None) -> Opened:
    if module.RUNTIME is None:
        raise DataError(
            f"{path}: a SavedModel is a program, which is not run here. Name the .keras file, or export it to "
            f"{', '.join(name for name in formats.FORMATS if formats.module_of(name).RUNTIME)}."
        )
    if not path.is_file():
        raise DataError(f"{path}: no such model. Make one by `python -m noisy_student export`.")
    if not any(importlib.util.find_spec(package) for package in module.RUNTIME):
        package = module.RUNTIME[0].replace("_", "-")
        raise DataError(f"{path}: needs the Python package {package}. Run `pip install {package}`.")
    try:
        said, reader = module.read_description(path), module.reader(path)
        described = None if said is None else Description.model_validate_json(said)
    except ValidationError as error:
        raise DataError(
            f"{path}: what it says of itself cannot be read ({first_fault(error)}). Export the model anew."
        ) from error
    except Exception as error:  # runtimes raise anything
        last = (str(error).strip() or type(error).__name__).split("\n")[-1].rsplit(" : ")[-1].rstrip(".")
        raise DataError(f"{path}: truncated, or of another format ({last}). Export the model anew.") from error
    if described is None:
        raise DataError(
            f"{path}: does not say how its images are read. Name a file that `python -m noisy_student export` wrote."
        )
    if classes is not None:
        names = read_names(classes)
        check_number(names, classes, path, len(described.classes))
        with speaking_of(path, classes):
            described = described.with_classes(names)
    _check(path, reader, described)
    return Opened(described, reader.takes[1], EXPORT_BATCH, lambda batches: _in_turn(reader.run, batches, path))


def _check(path, reader, described):
    side = reader.takes[1] if len(reader.takes) == 4 else None
    if reader.takes[1:] != (side, side, 3) or side is None or reader.gives[1:] != (len(described.classes),):
        raise DataError(
            f"{path}: takes {reader.takes} and gives {reader.gives}; expected images (None, S, S, 3) and "
            f"{len(described.classes)} probabilities, one a class that it names. Export the model anew."
        )


def _in_turn(run, batches, path):
    for key, images in batches:
        probs = run(images)
        if not np.isfinite(probs).all():
            raise DataError(f"{path}: gives NaN. Export the model anew, or name the .keras file.")
        yield key, probs

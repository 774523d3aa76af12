"""A model from a file that may come from anywhere, with the names of its classes."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import keras

from noisy_student.deployment.names import check_number, read_names, speaking_of
from noisy_student.inference.description import Description
from noisy_student.inference.saving import MEND, load, load_described, read_description
from noisy_student.runtime.errors import DataError


def open_model(path: Path, classes: Path | None = None) -> tuple[keras.Model, Description]:
    """Read a `.keras` file in safe mode, and what it says of itself.

    Args:
        classes: a file with the names of the classes, for files that name none, or to name them otherwise; see
            `names.read_names`. A file that says nothing of its images has them squashed to the size of its input.

    Raises:
        DataError: as `saving.load`; or there are no names, or as many as probabilities; or it takes no square images
            of three colours, or gives no distributions.
    """
    if not path.is_file():
        there = ", ".join(map(str, sorted(path.parent.glob("*.keras"))[:5]))
        mend = f"There are: {there}." if there else "Name a .keras file, e.g. one of models/ after `make repro`."
        raise DataError(f"{path}: no such model. {mend}")
    if classes is None:
        with _mended_by_another_file():
            model, described = load_described(path)
        _check_shapes(path, model)
        return model, described
    names = read_names(classes)
    with _mended_by_another_file():
        found, model = read_description(path), load(path)
    _check_shapes(path, model)
    check_number(names, classes, path, model.output_shape[-1])
    with speaking_of(path, classes):
        if found is not None:
            return model, found.with_classes(names)
        size = model.input_shape[1]
        return model, Description(name=path.stem, classes=tuple(names), image_size=size, resize="squash")


@contextlib.contextmanager
def _mended_by_another_file() -> Iterator[None]:
    """The pipeline can write its models anew; this file may be of anybody."""
    try:
        yield
    except DataError as error:
        raise DataError(str(error).replace(MEND, "Copy it anew, or name another file.")) from error


def _check_shapes(path, model):
    takes, gives = model.input_shape, model.output_shape
    square = isinstance(takes, tuple) and len(takes) == 4 and takes[1] == takes[2] and takes[1] and takes[3] == 3
    if not square or not isinstance(gives, tuple) or len(gives) != 2:
        raise DataError(
            f"{path}: takes {takes} and gives {gives}; expected images (None, S, S, 3) and one probability a class "
            "(None, K). Only classifiers of square colour images can be used here."
        )

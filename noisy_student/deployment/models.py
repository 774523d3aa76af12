"""A model from a file that may come from anywhere, with the names of its classes."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import keras
from pydantic import ValidationError

from noisy_student.inference.description import Description
from noisy_student.inference.saving import MEND, load, load_described, read_description
from noisy_student.runtime.errors import DataError

_MOST_BYTES = 16 * 2**20  # of a file of names


def open_model(path: Path, classes: Path | None = None) -> tuple[keras.Model, Description]:
    """Read a `.keras` file in safe mode, and what it says of itself.

    Args:
        classes: a file with the names of the classes, for files that name none, or to name them otherwise; see
            `read_names`. A file that says nothing of its images has them squashed to the size of its input.

    Raises:
        DataError: as `saving.load`; or there are no names, or as many as probabilities; or it takes no square images
            of three colours, or gives no distributions.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such model. Name a .keras file, e.g. one of models/ after `dvc repro`.")
    if classes is None:
        with _mended_by_another_file():
            model, described = load_described(path)
        _check_shapes(path, model)
        return model, described
    names = read_names(classes)
    with _mended_by_another_file():
        found, model = read_description(path), load(path)
    _check_shapes(path, model)
    if len(names) != model.output_shape[-1]:
        raise DataError(
            f"{classes}: names {len(names)} classes, but {path} gives {model.output_shape[-1]} probabilities. "
            "Give one name a line, in the order of the model's outputs."
        )
    try:
        if found is not None:
            return model, found.with_classes(names)
        size = model.input_shape[1]
        return model, Description(name=path.stem, classes=tuple(names), image_size=size, resize="squash")
    except ValidationError as error:
        first = error.errors()[0]
        raise DataError(f"{path}, {classes}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error


@contextlib.contextmanager
def _mended_by_another_file() -> Iterator[None]:
    """The pipeline can write its models anew; this file may be of anybody."""
    try:
        yield
    except DataError as error:
        raise DataError(str(error).replace(MEND, "Copy it anew, or name another file.")) from error


def read_names(path: Path) -> list[str]:
    """Names of classes from a file: a JSON list (`data/prepared/classes.json` is one), or one a line.

    Raises:
        DataError: it cannot be read, or is no such list.
    """
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ValueError(f"more than {_MOST_BYTES:,} bytes")
        text = path.read_text(encoding="utf-8-sig")
        names = json.loads(text) if path.suffix == ".json" else [line for line in text.splitlines() if line.strip()]
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{path}: no names of classes can be read ({reason}). Give a file with one a line.") from error
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise DataError(f"{path}: expected a list of names. Give a file with one a line, or a JSON list of texts.")
    return names


def _check_shapes(path, model):
    takes, gives = model.input_shape, model.output_shape
    square = isinstance(takes, tuple) and len(takes) == 4 and takes[1] == takes[2] and takes[1] and takes[3] == 3
    if not square or not isinstance(gives, tuple) or len(gives) != 2:
        raise DataError(
            f"{path}: takes {takes} and gives {gives}; expected images (None, S, S, 3) and one probability a class "
            "(None, K). Only classifiers of square colour images can be used here."
        )

"""Names of classes that stand in a file beside a model."""

import contextlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from pydantic import ValidationError

from noisy_student.runtime.errors import DataError

_MOST_BYTES = 16 * 2**20  # of a file of names


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


def check_number(names: Sequence[str], classes: Path, path: Path, expected: int) -> None:
    """Raise DataError unless the file of names has one for each of a model's outputs."""
    if len(names) != expected:
        raise DataError(
            f"{classes}: names {len(names)} classes, but {path} gives {expected} probabilities. "
            "Give one name a line, in the order of the model's outputs."
        )


@contextlib.contextmanager
def speaking_of(path: Path, classes: Path) -> Iterator[None]:
    """Let the error of a name, or of the model's size, name both files."""
    try:
        yield
    except ValidationError as error:
        raise DataError(f"{path}, {classes}: {first_fault(error)}") from error


def first_fault(error: ValidationError) -> str:
    """Where a description has its first mistake, and which."""
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"

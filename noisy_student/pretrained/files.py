"""The file of weights that `teacher.weights` names: the only one of its folder, of a known kind."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from noisy_student.runtime.errors import DataError, ParamsError
from noisy_student.settings.inputs import did_you_mean

PARAMETER = "teacher.weights"
KINDS = {".h5": "keras.applications", ".safetensors": "timm", ".keras": "this project"}  # {ending: whose format it is}
FETCH = "`python -m commands.weights b0` fetches one of keras.applications'"


@dataclass(frozen=True)
class Stored:
    """An open file of another project's EfficientNet, by the names of our layers and in Keras' order of axes.

    Attributes:
        path: of the file.
        origin: a value of `KINDS`.
        shapes: {layer of ours: shapes of its weights}, of the layers that are in the file.
        read: the weights of such a layer.
        mean, deviation: of the pixels / 255, by which the images were normalised; RGB.
        config: what else is known of its training, for the record of the run.
    """

    path: Path
    origin: str
    shapes: dict[str, list[tuple[int, ...]]]
    read: Callable[[str], list[np.ndarray]]
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    config: dict[str, str | float]


def check_there(location: str) -> None:
    """Raise ParamsError if there is nothing: DVC wants the path to exist, whatever `teacher.init` says."""
    if not os.path.exists(location):
        found = "a link that leads nowhere" if os.path.islink(location) else "no such file or folder"
        raise ParamsError(f"{PARAMETER}={location}: {found}.{did_you_mean(location)} Create the folder, or correct it.")


def find(location: str) -> Path:
    """The file of weights.

    Raises:
        ParamsError: nothing is there, no such file, several, or one of another kind.
    """
    check_there(location)
    path = Path(location)
    if path.is_dir():
        present = _candidates(path)
        if not present:
            raise ParamsError(
                f"{PARAMETER}={location}: teacher.init is pretrained, but no file there ends in {_endings()}. "
                f"Put one there ({FETCH}), or set teacher.init: random."
            )
        if len(present) > 1:
            names = ", ".join(each.name for each in present)
            raise ParamsError(
                f"{PARAMETER}={location}: {len(present)} files of weights there ({names}). Name one of them, e.g. "
                f"{PARAMETER}={present[0]}, or leave only one."
            )
        path = present[0]
    if path.suffix not in KINDS:
        raise ParamsError(f"{PARAMETER}={location}: expected a file that ends in {_endings()}, found {path.name}.")
    if not path.is_file():  # a pipe would wait for ever
        raise ParamsError(f"{PARAMETER}: {path} is no file. Put the file of weights in its place.")
    return path


def _candidates(folder):
    try:
        there = sorted(folder.iterdir())
    except OSError as error:
        raise ParamsError(f"{PARAMETER}={folder}: cannot be read ({error.strerror}). Mend its permissions.") from error
    return [path for path in there if path.suffix in KINDS and not path.name.startswith(".")]


def _endings():
    return ", ".join(KINDS)


def damaged(path: Path, why: object) -> DataError:
    """The error for a file that is not what its name says."""
    reason = str(why).strip().split("\n")[0] or type(why).__name__
    return DataError(
        f"{PARAMETER}: {path} is truncated, damaged or no {path.suffix} file ({reason}). Get it again and put it there."
    )

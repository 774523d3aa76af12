"""What a model said of each image of a set, without the whole distributions: those of many classes are large."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from noisy_student.runtime.errors import DataError
from noisy_student.runtime.files import read_array, write_array
from noisy_student.runtime.types import Floats, Labels, Probs


class Outcomes(NamedTuple):
    """Of each image the class that was guessed, its probability, and that of the true class."""

    predicted: Labels
    confidence: Floats
    true: Floats

    @classmethod
    def of(cls, probs: Probs, labels: Labels) -> "Outcomes":
        """Those of a set whose classes are known."""
        return cls(probs.argmax(axis=1), probs.max(axis=1), probs[np.arange(len(labels)), labels])

    def write(self, folder: Path) -> None:
        """Write one array each."""
        for name, array in self._asdict().items():
            write_array(folder / f"{name}.npy", array)


def open_outcomes(folder: Path, *, images: int) -> Outcomes:
    """What `Outcomes.write` wrote of so many images.

    Raises:
        DataError: it is missing, damaged or of other images.
    """
    outcomes = Outcomes(*(read_array(folder / f"{name}.npy") for name in Outcomes._fields))
    for name, array in outcomes._asdict().items():
        if array.shape != (images,):
            raise DataError(f"{folder / name}.npy: of shape {array.shape}, expected ({images},). Run `dvc repro`.")
    return outcomes

"""The corrupted images that a model is measured on: made block by block, or the published ones."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from noisy_student.data.images import resize_images
from noisy_student.data.splits import stratified
from noisy_student.robustness import frosting, severities
from noisy_student.robustness.corruptions import corrupt
from noisy_student.runtime.errors import DataError
from noisy_student.runtime.files import open_npy
from noisy_student.runtime.seeds import generator
from noisy_student.runtime.types import Labels, Pixels, Rows

if TYPE_CHECKING:
    from noisy_student.data.labelled import LabelledImages
    from noisy_student.settings.schema import DataParams

OFFICIAL = "CIFAR-10-C"  # the published archive's folder
FROST = "frost"  # the folder of the published pictures of frost


def sample(labels: Labels, most: int | None, *, seed: int) -> Rows:
    """A fixed stratified choice of at most so many rows (one of each class at least), ascending; None: all."""
    present, index = np.unique(labels, return_inverse=True)
    if most is None or max(most, len(present)) >= len(labels):
        return np.arange(len(labels))
    rng, classes = generator(seed, "robustness", "sample"), [str(label) for label in present]
    return stratified(index, max(most, len(present)), rng=rng, name="test", classes=classes)


class Lazy:
    """Images of S x S pixels that are made of their rows when some of them are asked for."""

    def __init__(self, make: Callable[[Rows], Pixels], rows: Rows, side: int) -> None:
        self._make, self._rows, self.shape = make, rows, (len(rows), side, side, 3)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, piece: Any) -> Pixels:  # a slice, or an array of places
        return self._make(self._rows[piece])


class Generated:
    """Corruptions of some rows of the test images, made by `corruptions.corrupt`.

    `frost` is the folder of the published pictures; it need not exist.
    """

    origin = "generated"
    paired = True  # with the clean images of the same rows

    def __init__(self, test: LabelledImages, rows: Rows, *, seed: int, frost: Path) -> None:
        self.test, self.rows, self.seed = test, rows, seed
        self.labels = np.asarray(test.labels[rows])
        side = test.images.shape[1]
        self._pictures = functools.cache(lambda: frosting.pictures(frost, side))

    def check(self, names: Sequence[str]) -> None:
        """Raise DataError if a corruption cannot be made."""
        if "frost" in names:
            self._pictures()

    def clean(self, place: int) -> np.ndarray:
        """What one of the images was before."""
        return np.asarray(self.test.images[self.rows[place]])

    def images(self, name: str, severity: int) -> Lazy:
        """All of them, corrupted."""

        def make(rows):
            clean = np.asarray(self.test.images[rows])
            return corrupt(clean, name, severity, rows=rows, seed=self.seed, frost=self._pictures)

        return Lazy(make, self.rows, self.test.images.shape[1])


class Official:
    """The published archive: one `.npy` a corruption, severities one after the other, and `labels.npy`.

    Args:
        most: images used, a stratified choice by the seed; None: all.
        side: pixels that the images are resized to.
        clean: labels of the test split. If they are the archive's, the images are the same ones: `paired`.

    Raises:
        DataError: labels.npy is missing, damaged or of the wrong kind.
    """

    origin = "published"

    def __init__(self, folder: Path, *, most: int | None, side: int, classes: int, clean: Labels, seed: int) -> None:
        self.folder, self.side = folder, side
        labels, levels = self._read("labels.npy"), len(severities.SEVERITIES)
        path = folder / "labels.npy"
        if labels.dtype.kind not in "iu" or labels.ndim != 1 or not len(labels) or len(labels) % levels:
            raise DataError(
                f"{path}: expected integers ({levels} x images,), found {labels.dtype} {labels.shape}. {_MEND}"
            )
        blocks = labels.reshape(levels, -1).astype(np.int64)
        if blocks.min() < 0 or blocks.max() >= classes or (blocks != blocks[0]).any():
            raise DataError(
                f"{path}: expected {levels} times the same labels from 0 to {classes - 1}, found "
                f"{blocks.min()} to {blocks.max()}. {_MEND}"
            )
        self.images_each = blocks.shape[1]
        self.rows = sample(blocks[0], most, seed=seed)
        self.labels = blocks[0][self.rows]
        self.paired = np.array_equal(blocks[0], clean)

    def check(self, names: Sequence[str]) -> None:
        """Raise DataError if a file is missing, damaged or of the wrong kind."""
        for name in names:
            self._open(name)

    def clean(self, place: int) -> None:
        """Nothing: the archive does not hold the images as they were."""

    def images(self, name: str, severity: int) -> Lazy:
        """All of them, corrupted."""
        array, first = self._open(name), self.images_each * (severity - 1)
        return Lazy(lambda rows: resize_images(np.asarray(array[first + rows]), size=self.side), self.rows, self.side)

    def _open(self, name):
        array = self._read(f"{name}.npy")
        expected = self.images_each * len(severities.SEVERITIES)
        square = array.ndim == 4 and array.shape[1] == array.shape[2] and array.shape[3] == 3
        if array.dtype != np.uint8 or not square or len(array) != expected or not array.size:
            raise DataError(
                f"{self.folder / f'{name}.npy'}: expected uint8 ({expected}, S, S, 3), found {array.dtype} "
                f"{array.shape}. {_MEND}"
            )
        return array

    def _read(self, name):
        path = self.folder / name
        if not path.is_file():
            raise DataError(f"{path}: no such file. {_MEND}")
        try:
            return open_npy(path)
        except (OSError, ValueError, EOFError) as error:
            raise DataError(f"{error}: {path}. {_MEND}") from error


_MEND = (
    f"Put all files of the published archive there, or remove the folder {OFFICIAL}: corrupted images are "
    "then made from the test split."
)


def sources(data: DataParams) -> list[list]:
    """What there is of published files, to be compared: [path, size, date] of each."""
    folders = [Path(data.root) / name for name in (OFFICIAL, FROST)]
    paths = [path for folder in folders if folder.is_dir() for path in sorted(folder.iterdir())]
    return [[str(path), path.stat().st_size, path.stat().st_mtime_ns] for path in paths]


def corrupted_test_set(
    data: DataParams, test: LabelledImages, *, most: int | None, classes: int
) -> Generated | Official:
    """The published archive if it lies in the source's folder, else corruptions of the test split.

    At most `most` images are used, a stratified choice; None: all. Raises DataError if the archive is not whole.
    """
    folder = Path(data.root) / OFFICIAL
    if data.source == "cifar10" and folder.exists():
        if not folder.is_dir():
            raise DataError(f"{folder}: not a folder. {_MEND}")
        side, clean = data.image_size, np.asarray(test.labels)
        return Official(folder, most=most, side=side, classes=classes, clean=clean, seed=data.seed)
    rows = sample(test.labels, most, seed=data.seed)
    return Generated(test, rows, seed=data.seed, frost=Path(data.root) / FROST)

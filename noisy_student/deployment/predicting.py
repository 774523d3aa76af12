"""What a model says of image files, batch by batch, with memory that does not grow with their number."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from noisy_student.data.levels import Depth, check_one_scale
from noisy_student.deployment.image_files import ImageFile, readings
from noisy_student.deployment.runtimes import Opened
from noisy_student.runtime.errors import DataError
from noisy_student.runtime.types import Pixels, Probs


class Predicted(NamedTuple):
    """A batch of images, the model's size, with what their files are called and their distributions (n, K)."""

    names: list[str]
    images: Pixels
    probs: Probs


class FilePredictor:
    """The model's distribution for image files.

    Attributes:
        images, unreadable: how many files could be read, and how many could not.
        example: the first that could not, with why, or "".

    Args:
        on_unreadable: called with the name and the cause of each file that cannot be read.
    """

    def __init__(self, model: Opened, *, on_unreadable: Callable[[str, str], None] = lambda *_: None) -> None:
        self.images, self.unreadable, self.example = 0, 0, ""
        self._model = model
        self._on_unreadable = on_unreadable
        self._depths: dict[tuple[int, str], tuple[str, Depth]] = {}  # of each kind the file with the highest level

    def __call__(self, files: Iterable[ImageFile]) -> Iterator[Predicted]:
        """Yield batches in the order of the files.

        Raises:
            DataError: the model gives no distributions.
        """
        for (names, images), probs in self._model.stream(self._batches(files)):
            if not self.images:
                _check_distribution(probs)
            self.images += len(names)
            yield Predicted(names, images, probs)

    def note_unreadable(self, name: str, cause: str) -> None:
        """Count a file that cannot be read."""
        self.unreadable += 1
        self.example = self.example or f"{name}: {cause}"
        self._on_unreadable(name, cause)

    def depths(self) -> list[tuple[str, Depth]]:
        """Of the images of more than 8 bits the one of each kind with the highest level."""
        return list(self._depths.values())

    def check_depths(self) -> None:
        """Raise DataError if images of more than 8 bits were scaled differently, or perhaps wrongly."""
        check_one_scale(list(self._depths.values()), self._model.described.levels)

    def _batches(self, files):
        """Yield ((names, images), images): what the predictor knows a batch by, and the batch."""
        names, images = list[str](), list[Pixels]()
        borders: deque[int] = deque()
        described, side = self._model.described, self._model.side
        ways = described.model_dump(include={"resize", "levels"})
        marked = _noting(files, borders)
        results = readings(marked, size=described.image_size, then=side, **ways)
        for place, (name, (image, cause, depth)) in enumerate(results):
            if borders and borders[0] == place:  # a unit begins
                borders.popleft()
                if names:
                    yield self._batch(names, images)
                    names, images = [], []
            if image is None:
                self.note_unreadable(name, str(cause))
                continue
            if depth is not None:
                self.note_depth(name, depth)
            names.append(name)
            images.append(image)
            if len(names) == self._model.size:
                yield self._batch(names, images)
                names, images = [], []
        if names:
            yield self._batch(names, images)

    def _batch(self, names, images):
        batch = np.stack(images)
        return (names, batch), batch

    def note_depth(self, name: str, depth: Depth) -> None:
        """Remember by what an image of more than 8 bits was scaled, if its kind has no higher level yet."""
        key = depth.levels, depth.said_by
        if key not in self._depths or self._depths[key][1].largest < depth.largest:
            self._depths[key] = name, depth


def _noting(files, borders):
    """The files; where a unit begins is noted."""
    for place, file in enumerate(files):
        if file.begins:
            borders.append(place)
        yield file


def _check_distribution(probs):
    sums = probs.sum(axis=1, dtype=np.float64)
    if probs.min() < -1e-6 or np.abs(sums - 1).max() > 1e-3:
        worst = sums[np.abs(sums - 1).argmax()]
        raise DataError(
            f"the model's outputs are no probabilities: those of an image sum to {worst:.4g}, the least is "
            f"{probs.min():.4g}. Save a model that ends in a softmax."
        )


def nothing_predicted(predictor: FilePredictor, paths: Iterable[str | Path]) -> DataError:
    """The error of a run in which no file could be read."""
    shown = ", ".join(map(str, paths))
    if not predictor.unreadable:
        return DataError(f"{shown}: no image file there. Name images, folders that hold some, or archives.")
    if predictor.unreadable == 1:
        return DataError(f"{predictor.example}. Name an image, a folder or an archive that can be read.")
    return DataError(f"{shown}: none of {predictor.unreadable:,} files can be read, e.g. {predictor.example}.")

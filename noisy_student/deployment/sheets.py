"""Contact sheets of predictions: few images, whatever the number of files."""

import heapq
import itertools
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from noisy_student.deployment.predicting import Predicted
from noisy_student.drawing.canvas import BLACK, CAPTION, GREY, Cell, save_sheet
from noisy_student.drawing.fonts import shorten, shorten_all
from noisy_student.runtime.types import Pixels, Rows

_SIDE, _ROOM, _NAMES = 96, 112, 150  # pixels of an image, of it with its caption, and of a row's name
_COLUMNS = 8
_MOST_CLASSES = 100  # a taller sheet can hardly be opened


class Shown(NamedTuple):
    """An image of a sheet."""

    name: str
    image: Pixels
    label: int
    confidence: float


class Extremes:
    """The images of which a model is least and most sure, among any number; of equal ones the first."""

    def __init__(self, each: int) -> None:
        self.each, self._order = each, itertools.count()
        self._least: list[tuple[float, int, Shown]] = []
        self._most: list[tuple[float, int, Shown]] = []

    def add(self, batch: Predicted) -> None:
        """Look at a batch; only images that are kept are copied."""
        labels, confidence = batch.probs.argmax(axis=1), batch.probs.max(axis=1)
        for row, sure in enumerate(confidence.tolist()):
            order = -next(self._order)
            for heap, key in ((self._least, -sure), (self._most, sure)):
                if len(heap) < self.each or (key, order) > heap[0][:2]:
                    shown = Shown(batch.names[row], batch.images[row].copy(), int(labels[row]), sure)
                    (heapq.heappush if len(heap) < self.each else heapq.heapreplace)(heap, (key, order, shown))

    def candidates(self) -> tuple[Rows, Pixels]:
        """(n,) places of the images that are kept among those that were added, ascending, and (n, S, S, 3) these."""
        images = {-order: shown.image for _, order, shown in (*self._least, *self._most)}
        places = sorted(images)
        stacked = np.stack([images[place] for place in places]) if images else np.empty((0, 0, 0, 3), np.uint8)
        return np.array(places, np.int64), stacked

    def least(self) -> list[Shown]:
        """The least sure one first."""
        return [shown for *_, shown in sorted(self._least, key=lambda item: item[:2], reverse=True)]

    def most(self) -> list[Shown]:
        """The most sure one first; none that is among `least` too."""
        taken = {order for _, order, _ in self._least}
        rest = [item for item in self._most if item[1] not in taken]
        return [shown for *_, shown in sorted(rest, key=lambda item: item[:2], reverse=True)]


def prediction_sheet(path: Path, extremes: Extremes, classes: Sequence[str], *, model: str, images: int) -> None:
    """Draw what `extremes` holds of so many images, the least sure ones first, as PNG."""
    names = shorten_all(classes, _ROOM - 34, size=CAPTION)
    rows: list[tuple[Sequence[str], Sequence[Cell]]] = []
    least, most = extremes.least(), extremes.most()
    for title, group in (("least sure" if most else "by confidence", least), ("most sure", most)):
        cells = [
            (each.image, [(f"{names[classes[each.label]]} {each.confidence:.2f}", BLACK), (_file(each.name), GREY)])
            for each in group
        ]
        rows += [
            ([title if first == 0 else ""], cells[first : first + _COLUMNS]) for first in range(0, len(cells), _COLUMNS)
        ]
    title = f"Predictions of {model} with confidence, {images:,} image{'s' * (images != 1)}"
    save_sheet(path, title, rows, side=_SIDE, room=_ROOM, names=90)


def class_sheet(
    path: Path, title: str, groups: Sequence[tuple[str, int, Iterable[tuple[str, Pixels, float]]]], *, below: str
) -> None:
    """Draw a row of images a class, as PNG: (class, how many there are, (file, image, confidence) of those shown).

    Classes without images have no row.
    """
    groups = [group for group in groups if group[1]]
    shown = groups[:_MOST_CLASSES]
    names = shorten_all([name for name, *_ in shown], _NAMES - 10, bold=True)
    rows = [
        (
            [names[name], f"{count:,} image{'s' * (count != 1)}"],
            [(np.asarray(image), [(f"{sure:.2f}", BLACK), (_file(file), GREY)]) for file, image, sure in each],
        )
        for name, count, each in shown
    ]
    more = f" (the first {len(shown)} of {len(groups)} classes)" if len(shown) < len(groups) else ""
    below = below if rows else "There is none."
    save_sheet(path, title + more, rows, side=_SIDE, room=_ROOM, names=_NAMES, below=below)


def _file(name):
    return shorten(os.path.basename(name), _ROOM, size=CAPTION)

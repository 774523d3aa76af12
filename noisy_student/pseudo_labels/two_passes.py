"""`balancing.equal` for pools whose labels do not fit into memory, to the row (arXiv:1911.04252, section 3.1).

The first pass over the labels counts each class's images by confidence, in bins of the float32's bits, which are in the
order of the numbers: so the threshold above which a class's most confident images lie is exact. A class that has more
than are wanted is looked at once more within the one bin in which its threshold lies. The last pass chooses, images of
equal confidence by row, and repeats the images of classes that have too few. Memory: counters of the classes, and the
images that are chosen of one class; what is chosen of all goes to a file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from noisy_student.inference.metrics import equal_edges, histogram
from noisy_student.pseudo_labels.balancing import no_label_passes, refuse_empty_classes, words_of_range
from noisy_student.pseudo_labels.confidence import is_kept
from noisy_student.runtime.files import array_writer
from noisy_student.runtime.types import Floats, Ints, Labels, Mask

if TYPE_CHECKING:
    from noisy_student.settings.schema import BalanceParams

BINS = 20  # of the pool's confidence, in tables
FINE = 14  # low bits of a confidence that the first pass does not look at
_TOP = int(np.float32(2).view(np.uint32))  # above every confidence, also those that rounding has put above 1
_ROW = np.dtype([("confidence", np.float32), ("row", np.int64)])

Pieces = Callable[[], Iterator[tuple[int, Labels, Floats]]]  # a new pass: first row, class and confidence of images


@dataclass
class Counts:
    """What the first pass has found of each of the K classes.

    Attributes:
        predicted: (K,) images that are predicted as it.
        best: (K,) their highest confidence; 0: there are none.
        kept: (K,) of them those that pass the filter.
        coarse: (K, B) those by confidence, the most confident first, in bins of 2**FINE numbers.
        histogram: of all images' confidence, see `metrics.histogram`.
    """

    predicted: Ints
    best: Floats
    kept: Ints
    coarse: Ints
    histogram: Ints = field(default_factory=lambda: np.zeros(BINS, np.int64))

    def chosen(self, per_class: int | None) -> Ints:
        """(K,) how many different images of each class are taken."""
        return np.minimum(self.kept, self.size(per_class))

    def size(self, per_class: int | None) -> int:
        """Images that every class has in the end."""
        return int(self.kept.max()) if per_class is None else per_class


def _place(confidence: Floats) -> Ints:
    """(n,) numbers that fall as confidence rises, one for each float32."""
    return _TOP - np.asarray(confidence, np.float32).view(np.uint32).astype(np.int64)


def count(pieces: Pieces, classes: int, keep: Callable[[Floats], Mask]) -> Counts:
    """The first pass."""
    none = np.zeros(classes, np.int64)
    counts = Counts(none, np.zeros(classes, np.float32), none.copy(), np.zeros((classes, 1), np.int64))
    for _, predicted, confidence in pieces():
        counts.predicted += np.bincount(predicted, minlength=classes)
        np.maximum.at(counts.best, predicted, confidence)
        counts.histogram += histogram(confidence, equal_edges(len(counts.histogram)))
        passed = keep(confidence)
        predicted, place = predicted[passed], _place(confidence[passed]) >> FINE
        counts.kept += np.bincount(predicted, minlength=classes)
        if len(place) and (most := int(place.max())) >= counts.coarse.shape[1]:  # a lower confidence than any before
            counts.coarse = np.pad(counts.coarse, ((0, 0), (0, most + 1 - counts.coarse.shape[1])))
        np.add.at(counts.coarse.reshape(-1), predicted * counts.coarse.shape[1] + place, 1)
    return counts


@dataclass
class Thresholds:
    """For each class the place (see `_place`) of the least confident images that are taken, and how many of those.

    Attributes:
        place: (K,); all images of a lower place are taken too.
        of_place: (K,) images of exactly that place that are taken, the first ones by row.
    """

    place: Ints
    of_place: Ints


def thresholds(pieces: Pieces, counts: Counts, wanted: Ints, keep: Callable[[Floats], Mask]) -> Thresholds:
    """Where each class is cut, so that `wanted` (K,) of its images are taken."""
    classes, many = len(wanted), np.flatnonzero(counts.kept > wanted)
    found = Thresholds(np.full(classes, np.iinfo(np.int64).max), np.zeros(classes, np.int64))
    if not len(many):
        return found
    sums = counts.coarse[many].cumsum(axis=1)
    coarse = (sums < wanted[many, None]).sum(axis=1)  # the bin in which the last one lies
    before = np.where(coarse > 0, sums[np.arange(len(many)), coarse - 1], 0)
    index, cut = np.full(classes, -1), np.full(classes, -1)
    index[many], cut[many] = np.arange(len(many)), coarse
    fine = np.zeros((len(many), 2**FINE), np.int64)
    for _, predicted, confidence in pieces():
        place = _place(confidence)
        inside = keep(confidence) & (place >> FINE == cut[predicted])
        np.add.at(fine.reshape(-1), (index[predicted[inside]] << FINE) + (place[inside] & (2**FINE - 1)), 1)
    left = wanted[many] - before
    sums = fine.cumsum(axis=1)
    low = (sums < left[:, None]).sum(axis=1)
    found.place[many] = (coarse << FINE) + low
    found.of_place[many] = left - np.where(low > 0, sums[np.arange(len(many)), low - 1], 0)
    return found


def select_into(
    path: Path,
    pieces: Pieces,
    balancing: BalanceParams,
    *,
    classes: Sequence[str],
    threshold: float,
    max_confidence: float = 1.0,
) -> Counts:
    """Write the rows that `balancing.equal` would choose, in its order; return what was counted.

    Raises:
        EmptyClassError: no image passes the filter, or none of a class and `on_empty` is "error".
    """

    def keep(confidence):
        return is_kept(confidence, threshold, max_confidence)

    counts = count(pieces, len(classes), keep)
    where = words_of_range(threshold, max_confidence)
    if not counts.kept.any():
        raise no_label_passes(where, counts.best.max(), int(counts.predicted.sum()))
    empty = np.flatnonzero(counts.kept == 0).tolist()
    if empty and balancing.on_empty == "error":
        refuse_empty_classes(empty, where, classes, best=counts.best, predicted=counts.predicted)
    size, wanted = counts.size(balancing.per_class), counts.chosen(balancing.per_class)
    cuts = thresholds(pieces, counts, wanted, keep)
    filled = np.flatnonzero(wanted)
    with (
        array_writer(path.with_name(f".tmp-chosen-{path.name}"), shape=(int(wanted.sum()),), dtype=_ROW) as chosen,
        array_writer(path, shape=(len(filled) * size,), dtype=np.int64) as rows,
    ):
        ends = wanted.cumsum()
        _gather(pieces, keep, cuts, ends - wanted, chosen)
        for number, k in enumerate(filled):
            own = chosen[ends[k] - wanted[k] : ends[k]]
            ordered = own["row"][np.argsort(-own["confidence"], kind="stable")]  # they came in the order of the rows
            rows[number * size : (number + 1) * size] = np.resize(ordered, size)
    path.with_name(f".tmp-chosen-{path.name}").unlink()
    return counts


def _gather(pieces, keep, cuts, starts, chosen):
    """The last pass: write what is taken, each class where it begins, in the order of the rows."""
    ends, left = starts.copy(), cuts.of_place.copy()
    for first, predicted, confidence in pieces():
        place, passed = _place(confidence), keep(confidence)
        taken = passed & (place < cuts.place[predicted])
        at_the_cut = np.flatnonzero(passed & (place == cuts.place[predicted]))
        for k in np.unique(predicted[at_the_cut]):
            equal = at_the_cut[predicted[at_the_cut] == k][: left[k]]
            taken[equal] = True
            left[k] -= len(equal)
        rows = np.flatnonzero(taken)
        if not len(rows):
            continue
        rows = rows[np.argsort(predicted[rows], kind="stable")]
        classes, numbers = np.unique(predicted[rows], return_counts=True)
        for k, own in zip(classes, np.split(rows, numbers.cumsum()[:-1]), strict=True):
            here = slice(ends[k], ends[k] + len(own))
            chosen["confidence"][here], chosen["row"][here] = confidence[own], first + own
            ends[k] += len(own)

"""A teacher's best guess for every image, from distributions that need not fit into memory."""

from collections.abc import Iterator
from typing import Protocol

import numpy as np

from noisy_student.inference.metrics import bin_of
from noisy_student.runtime.types import Floats, Labels, Mask, Probs

_PIECE = 8 * 2**20  # bytes read at once


class StoredProbs(Protocol):
    """Distributions that need not lie in one array, see `data.probs`."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> np.dtype: ...

    def __len__(self) -> int: ...

    def pieces(self, size: int) -> Iterator[tuple[int, Labels, Floats]]:
        """See `pieces`; of at most `size` bytes at once."""


def best_guesses(probs: Probs | StoredProbs) -> tuple[Labels, Floats]:
    """The most probable class of every image, of equally probable ones the first, and its probability.

    The distributions are read in pieces: NumPy's argmax first copies an array that is read-only, as
    memory maps are here, as a whole.
    """
    predicted, confidence = np.empty(len(probs), np.int64), np.empty(len(probs), probs.dtype)
    for first, classes, highest in pieces(probs):
        piece = slice(first, first + len(classes))
        predicted[piece], confidence[piece] = classes, highest
    return predicted, confidence


def pieces(probs: Probs | StoredProbs) -> Iterator[tuple[int, Labels, Floats]]:
    """Yield (first row, most probable class, its probability) of a piece of the distributions after the other."""
    if not isinstance(probs, np.ndarray):
        yield from probs.pieces(_PIECE)
        return
    step = max(1, _PIECE // (probs.shape[1] * probs.itemsize))
    for first in range(0, len(probs), step):
        piece = probs[first : first + step]
        yield first, piece.argmax(axis=1), piece.max(axis=1)


def is_kept(confidence: Floats, threshold: float, max_confidence: float = 1.0) -> Mask:
    """Which images the filter keeps: more confident than the threshold, at most as confident as a bound.

    The same rule for edges as that of bins, `metrics.bin_of`; a bound of 1 is none, however a probability was rounded.
    """
    above = confidence > threshold
    return above & (confidence <= max_confidence) if max_confidence < 1 else above


def confidence_rows(
    probs: Probs | StoredProbs, truth: Labels, *, threshold: float, max_confidence: float = 1.0
) -> list[dict]:
    """Count images by confidence, in bins of which each is kept or not as a whole; see `is_kept`.

    Returns:
        rows of lower, upper (a bin holds lower < confidence <= upper), label ("right", "wrong" or "unknown"), images
        and kept.
    """
    predicted, confidence = best_guesses(probs)
    below = min(round(threshold * 40), 39)  # of about 40 bins
    edges = np.unique(
        [*np.linspace(0, threshold, below + 1), *np.linspace(threshold, 1, 41 - below), max_confidence],
    )
    place = bin_of(confidence, edges)
    group = np.where(truth < 0, 2, predicted != truth)
    cells = (3, len(edges) - 1)
    images, kept = (
        np.bincount((group * cells[1] + place)[members], minlength=cells[0] * cells[1]).reshape(cells)
        for members in (slice(None), is_kept(confidence, threshold, max_confidence))
    )
    return [
        {"lower": float(edges[i]), "upper": float(edges[i + 1]), "label": label}
        | {"images": int(images[g, i]), "kept": int(kept[g, i])}
        for g, label in enumerate(("right", "wrong", "unknown"))
        for i in np.flatnonzero(images[g])
    ]

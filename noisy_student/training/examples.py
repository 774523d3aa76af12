"""Images with the distributions that a training aims at, made when they are asked for."""

from collections.abc import Sequence

import numpy as np

from noisy_student.data.probs import AtRows, ShardedProbs
from noisy_student.data.views import Images
from noisy_student.runtime.types import Floats, Labels, Pixels, Probs, Rows

MOST_COUNTED = 100_000  # examples
_PIECE = 4096  # of which distributions are read at once


def one_hot(labels: Labels, classes: int, *, smoothing: float = 0.0) -> Probs:
    """Target distributions of hard labels.

    The label gets 1 - `smoothing`; the latter is shared equally among all classes (Szegedy et al. 2016, section 7).
    """
    targets = np.full((len(labels), classes), smoothing / classes, np.float32)
    targets[np.arange(len(labels)), labels] += 1.0 - smoothing
    return targets


class Examples:
    """Images (H, W, 3), which `shape` says, with targets."""

    def __init__(self, shape: Sequence[int], classes: int) -> None:
        self.shape, self.classes = tuple(shape), classes

    def __len__(self) -> int:
        raise NotImplementedError

    def write(self, rows: Rows, images: Pixels, targets: Probs) -> None:
        """Write the given rows into n images and targets, where the caller wants them."""
        raise NotImplementedError

    def classes_of(self, rows: Rows) -> Labels:
        """(n,) the classes that the targets of the given rows aim at most."""
        raise NotImplementedError

    def frequencies(self) -> Floats:
        """(K,) how frequent each class is; of many examples, of `MOST_COUNTED` that lie evenly among them."""
        rows = np.unique(np.linspace(0, len(self) - 1, min(len(self), MOST_COUNTED)).round().astype(np.int64))
        counts = np.zeros(self.classes)
        for piece in np.array_split(rows, -(-len(rows) // _PIECE)):
            counts += np.bincount(self.classes_of(piece), minlength=self.classes)
        return counts / len(rows)

    def take(self, rows: Rows) -> tuple[Pixels, Probs]:
        """New arrays of the images and the targets of the given rows."""
        images = np.empty((len(rows), *self.shape), np.uint8)
        targets = np.empty((len(rows), self.classes), np.float32)
        self.write(rows, images, targets)
        return images, targets


class LabelledExamples(Examples):
    """Images with labels; `smoothing` in [0, 1), see `one_hot`."""

    def __init__(self, images: Images, labels: Labels, *, classes: int, smoothing: float = 0.0) -> None:
        super().__init__(images.shape[1:], classes)
        self.images, self.labels, self.smoothing = images, labels, smoothing

    def __len__(self) -> int:
        return len(self.labels)

    def write(self, rows: Rows, images: Pixels, targets: Probs) -> None:
        """See `Examples`."""
        _gather(self.images, rows, images)
        targets[...] = one_hot(self.labels[rows], self.classes, smoothing=self.smoothing)

    def classes_of(self, rows: Rows) -> Labels:
        """See `Examples`."""
        return self.labels[rows]


class PseudoLabelledExamples(Examples):
    """Images with a teacher's labels, as balancing has chosen them.

    Args:
        images, probs: of the whole unlabelled pool; may be memory-mapped.
        rows: of the pool, repetitions allowed.
        kind: "soft" aims at the distribution, "hard" at its argmax.
        smoothing: see `one_hot`, of hard pseudo-labels; soft ones are never smoothed.
    """

    def __init__(
        self, images: Images, probs: Probs | ShardedProbs | AtRows, rows: Rows, *, kind: str, smoothing: float = 0.0
    ) -> None:
        super().__init__(images.shape[1:], probs.shape[1])
        self.images, self.probs, self.rows = images, probs, rows
        self.kind, self.smoothing = kind, smoothing

    def __len__(self) -> int:
        return len(self.rows)

    def write(self, rows: Rows, images: Pixels, targets: Probs) -> None:
        """See `Examples`."""
        chosen = self.rows[rows]
        _gather(self.images, chosen, images)
        targets[...] = self.probs[chosen]
        if self.kind == "hard":
            targets[...] = one_hot(targets.argmax(axis=1), self.classes, smoothing=self.smoothing)

    def classes_of(self, rows: Rows) -> Labels:
        """See `Examples`."""
        return self.probs[self.rows[rows]].argmax(axis=1)


class ConcatenatedExamples(Examples):
    """Several sets of examples as one (the article's way to join labelled and pseudo-labelled)."""

    def __init__(self, parts: Sequence[Examples]) -> None:
        super().__init__(parts[0].shape, parts[0].classes)
        self.parts = parts
        self.starts = np.cumsum([0] + [len(part) for part in parts])

    def __len__(self) -> int:
        return int(self.starts[-1])

    def write(self, rows: Rows, images: Pixels, targets: Probs) -> None:
        """See `Examples`."""
        for part, here, own in self._shared_out(rows):
            images[here], targets[here] = part.take(own)

    def classes_of(self, rows: Rows) -> Labels:
        """See `Examples`."""
        found = np.empty(len(rows), np.int64)
        for part, here, own in self._shared_out(rows):
            found[here] = part.classes_of(own)
        return found

    def _shared_out(self, rows):
        """Yield (part, which of the rows are its, their numbers in it)."""
        for part, start, stop in zip(self.parts, self.starts[:-1], self.starts[1:], strict=True):
            here = np.flatnonzero((rows >= start) & (rows < stop))
            yield part, here, rows[here] - start


def _gather(images, rows, out):
    """Write images[rows] into `out` with a single copy, which NumPy's other modes do not."""
    if len(rows) and not 0 <= rows.min() <= rows.max() < len(images):  # "clip" would hide it
        raise IndexError(f"rows {rows.min()} to {rows.max()} of {len(images)} images")
    if isinstance(images, np.ndarray):
        np.take(images, rows, axis=0, out=out, mode="clip")
    else:
        out[...] = images[rows]

"""Images with the distributions that a training aims at, made when they are asked for."""

import numpy as np


def one_hot(labels, classes, *, smoothing=0.0):
    """Target distributions of hard labels.

    Label smoothing gives the label 1 - smoothing and shares `smoothing` equally among all classes
    (Szegedy et al. 2016, section 7).

    Args:
        labels: (N,) integers in [0, classes).
        classes: number of classes.
        smoothing: in [0, 1).

    Returns:
        (N, classes) float32, rows sum to 1.
    """
    targets = np.full((len(labels), classes), smoothing / classes, np.float32)
    targets[np.arange(len(labels)), labels] += 1.0 - smoothing
    return targets


class Examples:
    """Images with targets; each kind has a `write` like that of LabelledExamples.

    Attributes:
        shape: (H, W, 3) of an image.
        classes: number of classes.
    """

    def __init__(self, shape, classes):
        self.shape, self.classes = tuple(shape), classes

    def take(self, rows):
        """New arrays of the given rows: images (n, H, W, 3) uint8 and targets (n, classes) float32."""
        images = np.empty((len(rows), *self.shape), np.uint8)
        targets = np.empty((len(rows), self.classes), np.float32)
        self.write(rows, images, targets)
        return images, targets


class LabelledExamples(Examples):
    """Images with labels.

    Args:
        images: (N, H, W, 3) uint8, may be memory-mapped.
        labels: (N,) integers.
        classes: number of classes.
        smoothing: label smoothing in [0, 1).
    """

    def __init__(self, images, labels, *, classes, smoothing=0.0):
        super().__init__(images.shape[1:], classes)
        self.images, self.labels, self.smoothing = images, labels, smoothing

    def __len__(self):
        return len(self.labels)

    def write(self, rows, images, targets):
        """Write the given rows where the caller wants them.

        Args:
            rows: (n,) integers in [0, len(self)).
            images: (n, H, W, 3) uint8 to write into.
            targets: (n, classes) float32 to write into.
        """
        _gather(self.images, rows, images)
        targets[...] = one_hot(self.labels[rows], self.classes, smoothing=self.smoothing)


class PseudoLabelledExamples(Examples):
    """Images with a teacher's labels, as balancing has chosen them.

    Args:
        images: (M, H, W, 3) uint8, the whole unlabelled pool, may be memory-mapped.
        probs: (M, classes) float32, the teacher's distributions, may be memory-mapped.
        rows: (N,) rows of the pool, repetitions allowed.
        kind: "soft" aims at the distribution, "hard" at its argmax.
        smoothing: label smoothing in [0, 1) of hard pseudo-labels; soft ones are never smoothed.
    """

    def __init__(self, images, probs, rows, *, kind, smoothing=0.0):
        super().__init__(images.shape[1:], probs.shape[1])
        self.images, self.probs, self.rows = images, probs, rows
        self.kind, self.smoothing = kind, smoothing

    def __len__(self):
        return len(self.rows)

    def write(self, rows, images, targets):
        """See LabelledExamples."""
        chosen = self.rows[rows]
        _gather(self.images, chosen, images)
        targets[...] = self.probs[chosen]
        if self.kind == "hard":
            targets[...] = one_hot(targets.argmax(axis=1), self.classes, smoothing=self.smoothing)


class ConcatenatedExamples(Examples):
    """Several sets of examples as one (the article's way to join labelled and pseudo-labelled)."""

    def __init__(self, parts):
        super().__init__(parts[0].shape, parts[0].classes)
        self.parts = parts
        self.starts = np.cumsum([0] + [len(part) for part in parts])

    def __len__(self):
        return int(self.starts[-1])

    def write(self, rows, images, targets):
        """See LabelledExamples."""
        for part, start, stop in zip(self.parts, self.starts[:-1], self.starts[1:], strict=True):
            here = np.flatnonzero((rows >= start) & (rows < stop))
            images[here], targets[here] = part.take(rows[here] - start)


def _gather(images, rows, out):
    """Write images[rows] into `out` with a single copy, which NumPy's other modes do not."""
    if len(rows) and not 0 <= rows.min() <= rows.max() < len(images):  # "clip" would hide it
        raise IndexError(f"rows {rows.min()} to {rows.max()} of {len(images)} images")
    if isinstance(images, np.ndarray):
        np.take(images, rows, axis=0, out=out, mode="clip")
    else:
        out[...] = images[rows]

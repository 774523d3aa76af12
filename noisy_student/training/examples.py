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


class LabelledExamples:
    """Images with labels.

    Args:
        images: (N, H, W, 3) uint8, may be memory-mapped.
        labels: (N,) integers.
        classes: number of classes.
        smoothing: label smoothing in [0, 1).
    """

    def __init__(self, images, labels, *, classes, smoothing=0.0):
        self.images, self.labels = images, labels
        self.classes, self.smoothing = classes, smoothing

    def __len__(self):
        return len(self.labels)

    def take(self, rows):
        """Images (n, H, W, 3) uint8 and targets (n, classes) float32 of the given rows."""
        return self.images[rows], one_hot(self.labels[rows], self.classes, smoothing=self.smoothing)


class PseudoLabelledExamples:
    """Images with a teacher's labels, as balancing has chosen them.

    Args:
        images: (M, H, W, 3) uint8, the whole unlabelled pool, may be memory-mapped.
        probs: (M, classes) float32, the teacher's distributions.
        rows: (N,) rows of the pool, repetitions allowed.
        kind: "soft" aims at the distribution, "hard" at its argmax.
        smoothing: label smoothing in [0, 1) of hard pseudo-labels; soft ones are never smoothed.
    """

    def __init__(self, images, probs, rows, *, kind, smoothing=0.0):
        self.images, self.probs, self.rows = images, probs, rows
        self.kind, self.smoothing = kind, smoothing

    def __len__(self):
        return len(self.rows)

    def take(self, rows):
        """Images (n, H, W, 3) uint8 and targets (n, classes) float32 of the given rows."""
        chosen = self.rows[rows]
        probs = np.asarray(self.probs[chosen], np.float32)
        if self.kind == "hard":
            probs = one_hot(probs.argmax(axis=1), probs.shape[1], smoothing=self.smoothing)
        return self.images[chosen], probs


class ConcatenatedExamples:
    """Several sets of examples as one (the article's way to join labelled and pseudo-labelled)."""

    def __init__(self, parts):
        self.parts = parts
        self.starts = np.cumsum([0] + [len(part) for part in parts])

    def __len__(self):
        return int(self.starts[-1])

    def take(self, rows):
        """Images (n, H, W, 3) uint8 and targets (n, classes) float32 of the given rows."""
        images = targets = None
        for part, start, stop in zip(self.parts, self.starts[:-1], self.starts[1:], strict=True):
            here = np.flatnonzero((rows >= start) & (rows < stop))
            some_images, some_targets = part.take(rows[here] - start)
            if images is None:
                images = np.empty((len(rows), *some_images.shape[1:]), np.uint8)
                targets = np.empty((len(rows), some_targets.shape[1]), np.float32)
            images[here], targets[here] = some_images, some_targets
        return images, targets

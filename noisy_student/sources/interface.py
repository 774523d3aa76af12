"""What every adapter returns: the images of a source, by split, before they are cut into ours."""

from dataclasses import dataclass

import numpy as np

from noisy_student.data.labelled import LabelledImages


@dataclass(frozen=True)
class Source:
    """All splits of a source; None where it has no such split.

    Attributes:
        classes: class names; label k is `classes[k]`.
        train: the images from which labelled, validation and held-back images are cut.
        validation: its own validation split.
        test: its own test split.
        unlabelled: (N, S, S, 3) uint8 RGB.
        unlabelled_labels: (N,) int64 truth of `unlabelled`, where the source knows it.
        unreadable: files that were skipped, each as "path: cause".
    """

    classes: tuple[str, ...]
    train: LabelledImages
    validation: LabelledImages | None = None
    test: LabelledImages | None = None
    unlabelled: np.ndarray | None = None
    unlabelled_labels: np.ndarray | None = None
    unreadable: tuple[str, ...] = ()

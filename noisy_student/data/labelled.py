"""Images with labels, as every stage reads them."""

from dataclasses import dataclass

import numpy as np

from noisy_student.data.views import Images


@dataclass(frozen=True)
class LabelledImages:
    """Images of one split with their labels.

    Attributes:
        images: (N, S, S, 3) uint8 RGB.
        labels: (N,) int64 in [0, number of classes).
    """

    images: Images
    labels: np.ndarray

"""Patches of the two photographs that scikit-learn carries: a pool without any digit, offline.

Source: `sklearn.datasets.load_sample_images`: a temple and a flower, 640 x 427 pixels, by K. Ludwig and
J. Simo, CC BY.
"""

import numpy as np
from PIL import Image

from noisy_student.runtime.seeds import generator
from noisy_student.runtime.types import Pixels
from noisy_student.settings.schema import DataParams

LICENCE = "CC BY 2.0 (scikit-learn's two sample photographs)"
PATCHES = 1000
SIDES = 24, 160  # pixels of the photograph, the smallest and the largest patch


def patches(data: DataParams) -> Pixels:
    """Cut 1000 square patches at random places, half of each photograph, resized as image files are."""
    from sklearn.datasets import load_sample_images  # here, because other pools do not need it: 0.7 s

    rng, size = generator(data.seed, "data", "photographs"), (data.image_size, data.image_size)
    photographs = [Image.fromarray(image) for image in load_sample_images().images]
    images = np.empty((PATCHES, *size, 3), np.uint8)
    for row in range(PATCHES):
        photograph, side = photographs[row % len(photographs)], int(rng.integers(*SIDES, endpoint=True))
        left, top = (int(rng.integers(extent - side, endpoint=True)) for extent in photograph.size)
        box = (left, top, left + side, top + side)
        images[row] = np.asarray(photograph.resize(size, Image.Resampling.BICUBIC, box=box))
    return images

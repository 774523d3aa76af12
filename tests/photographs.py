"""Real images for tests."""

import functools

import numpy as np
from PIL import Image
from sklearn.datasets import load_sample_image


@functools.cache
def photographs(side, number=12):
    """Parts of two real photographs, shrunk to the side."""
    rng, parts = np.random.default_rng(0), []
    for index in range(number):
        picture = load_sample_image(("china.jpg", "flower.jpg")[index % 2])
        cut = max(side, 160)
        y, x = (rng.integers(0, length - cut + 1) for length in picture.shape[:2])
        part = Image.fromarray(picture[y : y + cut, x : x + cut])
        parts.append(np.asarray(part.resize((side, side), Image.Resampling.BICUBIC)))
    return np.stack(parts)

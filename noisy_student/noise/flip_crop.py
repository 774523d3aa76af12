"""Plain augmentation: mirror images, and shift them by padding and cutting."""

import numpy as np


def random_flip(images, rng):
    """Mirror each image left to right with probability 1/2.

    Args:
        images: (N, H, W, C) array; not changed.
        rng: numpy.random.Generator.

    Returns:
        (N, H, W, C) array of the same type, a new one.
    """
    flip = rng.random(len(images)) < 0.5
    out = np.array(images)
    out[flip] = images[flip, :, ::-1]
    return out


def random_crop(images, rng, *, padding, fill):
    """Pad all four sides, then cut the original size at an offset uniform for each image and axis.

    Args:
        images: (N, H, W, C) array; not changed.
        rng: numpy.random.Generator.
        padding: pixels on each side, >= 0; the shift is thus -padding..padding.
        fill: grey level of the padding, 0 to 255.

    Returns:
        (N, H, W, C) array of the same type, a new one.
    """
    n, height, width, channels = images.shape
    padded = np.full((n, height + 2 * padding, width + 2 * padding, channels), fill, images.dtype)
    padded[:, padding : padding + height, padding : padding + width] = images
    top, left = rng.integers(2 * padding + 1, size=(2, n))
    rows = top[:, None] + np.arange(height)  # (N, H)
    columns = left[:, None] + np.arange(width)  # (N, W)
    return padded[np.arange(n)[:, None, None], rows[:, :, None], columns[:, None, :]]

"""Compiled loops over pixels that NumPy cannot express."""

import math

import numpy as np
from numba import njit

from noisy_student.runtime.types import Floats, Ints, Pixels

_OPTIONS = {"nogil": True, "cache": True}


@njit(**_OPTIONS)
def shuffle_pixels(images: Pixels, shifts: Ints, reach: int) -> None:
    """Let every pixel take the value of a random neighbour, one after the other, from the last one on.

    Args:
        images: changed in place.
        shifts: (N, rounds, 2, S, S): how far away (right, down) the neighbour of each pixel lies.
        reach: pixels nearer to the upper or left edge than this keep theirs.
    """
    n, side, _, channels = images.shape
    for i in range(n):
        for r in range(shifts.shape[1]):
            for y in range(side - reach, reach, -1):
                for x in range(side - reach, reach, -1):
                    from_y, from_x = y + shifts[i, r, 1, y, x], x + shifts[i, r, 0, y, x]
                    for c in range(channels):
                        images[i, y, x, c] = images[i, from_y, from_x, c]


@njit(**_OPTIONS)
def weigh_shifted(images: Pixels, down: Ints, right: Ints, weights: Floats) -> Pixels:
    """Weighted sums of shifted copies, rounded to whole grey levels; outside lies the edge's pixel.

    With shifts (N, W) and weights (W,) that sum to 1: pixel (y, x) takes (y + down, x + right).
    """
    n, height, width, channels = images.shape
    out = np.empty_like(images)
    for i in range(n):
        for y in range(height):
            for x in range(width):
                for c in range(channels):
                    total = 0.0
                    for w in range(len(weights)):
                        from_y = min(max(y + down[i, w], 0), height - 1)
                        from_x = min(max(x + right[i, w], 0), width - 1)
                        total += weights[w] * images[i, from_y, from_x, c]
                    out[i, y, x, c] = np.uint8(total + 0.5)
    return out


@njit(**_OPTIONS)
def _mirror(position, size):
    """The place of a coordinate in an image that is continued by its mirror image: d c b a | a b c d."""
    period = 2 * size
    position = position % period
    return position if position < size else period - 1 - position


@njit(**_OPTIONS)
def sample_mirrored(images: Floats, ys: Floats, xs: Floats) -> Floats:
    """Values at the coordinates (N, S, S), by bilinear interpolation; outside lies the mirror image."""
    n, height, width, channels = images.shape
    out = np.empty_like(images)
    for i in range(n):
        for y in range(height):
            for x in range(width):
                top, left = math.floor(ys[i, y, x]), math.floor(xs[i, y, x])
                v, h = ys[i, y, x] - top, xs[i, y, x] - left
                y0, y1 = _mirror(int(top), height), _mirror(int(top) + 1, height)
                x0, x1 = _mirror(int(left), width), _mirror(int(left) + 1, width)
                for c in range(channels):
                    upper = images[i, y0, x0, c] * (1 - h) + images[i, y0, x1, c] * h
                    lower = images[i, y1, x0, c] * (1 - h) + images[i, y1, x1, c] * h
                    out[i, y, x, c] = upper * (1 - v) + lower * v
    return out


@njit(**_OPTIONS)
def invert_distributions(levels: Pixels, numbers: Floats, cumulative: Floats) -> Ints:
    """Draw integers by the inverse of one of 256 distribution functions.

    Args:
        levels: (M,): which distribution.
        numbers: (M,) in [0, 1).
        cumulative: (256, K): probability of at most k.

    Returns:
        (M,): the least k whose cumulative probability exceeds the number.
    """
    out = np.empty(len(levels), np.int64)
    last = cumulative.shape[1] - 1
    for i in range(len(levels)):
        low, high = 0, last
        while low < high:
            middle = (low + high) // 2
            if cumulative[levels[i], middle] > numbers[i]:
                high = middle
            else:
                low = middle + 1
        out[i] = low
    return out

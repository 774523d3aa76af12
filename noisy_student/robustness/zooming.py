"""Enlarging the middle of images, linearly, by matrices: many images at a time."""

import functools
import math

import numpy as np

from noisy_student.runtime.types import Floats


def zoom(x: Floats, factor: float) -> Floats:
    """Enlarge the middle of square images (N, S, S, C) to the full size; a factor of 1 or more."""
    matrix = _matrix(x.shape[1], factor).astype(x.dtype)
    rows = np.einsum("os,nsxc->noxc", matrix, x, optimize=True)
    return np.einsum("os,nysc->nyoc", matrix, rows, optimize=True)


@functools.lru_cache(maxsize=128)
def _matrix(side, factor):
    """(side, side): weights of the input's pixels (columns) in the output's (rows).

    The middle ceil(side / factor) pixels are stretched, first and last onto first and last, over
    round(factor times as many) of which the middle `side` are taken.
    """
    used = math.ceil(side / factor)
    first, stretched = (side - used) // 2, round(used * factor)
    places = np.linspace(0, used - 1, stretched)[(stretched - side) // 2 :][:side]
    below = np.minimum(places.astype(int), max(used - 2, 0))
    weights = np.zeros((side, side))
    rows = np.arange(len(places))
    weights[rows, first + below] = 1 - (places - below)
    if used > 1:
        weights[rows, first + below + 1] = places - below
    return weights

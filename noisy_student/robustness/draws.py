"""The random numbers of a change of images: a function of the image's key and the purpose."""

import math

import numpy as np
from scipy.special import ndtri

from noisy_student.runtime.seeds import uniforms
from noisy_student.runtime.types import Floats, Ints, Keys

_HALF = 2.0**-54  # from the lower end of a cell of `uniforms` to its middle: never 0


class Draws:
    """Independent numbers for each of N images; the same purpose gives the same numbers."""

    def __init__(self, keys: Keys) -> None:
        self.keys = keys

    def uniform(self, purpose: str, *shape: int, low: float = 0.0, high: float = 1.0) -> Floats:
        """(N, *shape) float64 in [low, high)."""
        numbers = uniforms(self.keys, purpose, math.prod(shape)).reshape(len(self.keys), *shape)
        return low + (high - low) * numbers

    def normal(self, purpose: str, *shape: int, mean: float = 0.0, deviation: float = 1.0) -> Floats:
        """(N, *shape) float64, normal, by the inverse of its distribution function."""
        return mean + deviation * ndtri(self.uniform(purpose, *shape) + _HALF)

    def integer(self, purpose: str, *shape: int, low: int, high: int) -> Ints:
        """(N, *shape) int64 from low to high - 1."""
        return np.floor(self.uniform(purpose, *shape, low=low, high=high)).astype(np.int64)

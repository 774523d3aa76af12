"""Corruptions by noise: values in [0, 1], float64 (N, S, S, 3) in and out, not yet clipped."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import poisson

from noisy_student.robustness.pixels import invert_distributions
from noisy_student.runtime.types import Floats

if TYPE_CHECKING:
    from noisy_student.robustness.draws import Draws


def gaussian_noise(x: Floats, deviation: float, draws: Draws) -> Floats:
    """Add normal noise of this standard deviation."""
    return x + draws.normal("noise", *x.shape[1:], deviation=deviation)


def speckle_noise(x: Floats, deviation: float, draws: Draws) -> Floats:
    """Add normal noise that is proportional to the value."""
    return x + x * draws.normal("noise", *x.shape[1:], deviation=deviation)


def shot_noise(x: Floats, photons: float, draws: Draws) -> Floats:
    """Count photons: Poisson numbers whose mean is `photons` at the value 1."""
    levels = np.rint(x * 255).astype(np.uint8)  # x comes from whole grey levels
    counts = invert_distributions(levels.ravel(), draws.uniform("noise", *x.shape[1:]).ravel(), _poisson_table(photons))
    return counts.reshape(x.shape) / photons


def impulse_noise(x: Floats, share: float, draws: Draws) -> Floats:
    """Replace this share of the values, half of them by 0 and half by 1 ("salt and pepper")."""
    replaced = draws.uniform("replaced", *x.shape[1:]) < share
    return np.where(replaced, draws.uniform("salt", *x.shape[1:]) < 0.5, x)


@functools.lru_cache(maxsize=16)
def _poisson_table(photons):
    """Cumulative probabilities of the counts at each of the 256 grey levels."""
    means = photons * np.arange(256)[:, None] / 255
    most = int(poisson.isf(1e-15, photons)) + 1
    return poisson.cdf(np.arange(most + 1), means)

"""Means, differences and their intervals, over seeds and over test images; all by SciPy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

if TYPE_CHECKING:
    from experiments.study.rows import Outcomes

CONFIDENCE = 0.95
RESAMPLES = 1999
SAME = 1e-9  # values of a smaller range are equal
_BATCH = 50  # resamples drawn at once: of 10,000 images they take 8 MB


@dataclass(frozen=True)
class Estimate:
    """A mean with its interval.

    Attributes:
        n: number of values.
        mean: of them.
        deviation: standard deviation, of n - 1 degrees of freedom; NaN of one value.
        low, high: 95 % interval of the mean; NaN if there is none.
    """

    n: int
    mean: float
    deviation: float
    low: float
    high: float


def mean_over_seeds(measured: ArrayLike) -> Estimate:
    """Mean and Student's t interval of one value a seed.

    Source: Student 1908, doi:10.2307/2331554. The values are taken as independent and normal. Of equal values
    the deviation cannot be told (accuracies are multiples of one image), so they have no interval.

    """
    measured = np.asarray(measured, np.float64)
    mean = float(measured.mean())
    if len(measured) < 2 or np.ptp(measured) < SAME:
        deviation = 0.0 if len(measured) > 1 else np.nan
        return Estimate(len(measured), mean, deviation, np.nan, np.nan)
    interval = stats.ttest_1samp(measured, 0.0).confidence_interval(CONFIDENCE)
    deviation = float(measured.std(ddof=1))
    return Estimate(len(measured), mean, deviation, float(interval.low), float(interval.high))


def difference_over_seeds(measured: ArrayLike, control: ArrayLike) -> Estimate:
    """The mean of measured - control, one value a seed in the same order each, and Student's t interval."""
    return mean_over_seeds(np.asarray(measured, np.float64) - np.asarray(control, np.float64))


def difference_over_images(pairs: list[tuple[Outcomes, Outcomes]]) -> Estimate:
    """Mean difference of two accuracies, and what other test images could have given with these networks.

    The networks are taken as they are; test images are drawn with replacement, each with its outcomes of all
    seeds: what a seed shares with another does not count twice.
    Source: Efron 1979, doi:10.1214/aos/1176344552, percentile interval; the clusters are images.

    Args:
        pairs: outcomes and those of the control, one pair a seed, of the same images each.

    Returns:
        Estimate in [-1, 1]; n counts different images, the deviation is that of the images.
    """
    gained = np.concatenate([one.right.astype(np.int8) - other.right for one, other in pairs])
    names, image = np.unique(np.concatenate([one.images for one, _ in pairs]), return_inverse=True)
    gains = np.bincount(image, gained, len(names))
    seen = np.bincount(image, minlength=len(names))
    mean = float(gains.sum() / seen.sum())
    each = gains / seen
    if np.ptp(each) < SAME:
        return Estimate(len(names), mean, 0.0, mean, mean)
    interval = stats.bootstrap(
        (gains, seen),
        lambda gains, seen, axis: gains.sum(axis=axis) / seen.sum(axis=axis),
        paired=True,
        n_resamples=RESAMPLES,
        batch=_BATCH,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    return Estimate(len(names), mean, float(each.std(ddof=1)), float(interval.low), float(interval.high))

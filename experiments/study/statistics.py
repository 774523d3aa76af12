"""Means, differences and their intervals, over seeds and over test images; all by SciPy."""

import warnings
from dataclasses import dataclass

import numpy as np
from scipy import stats

CONFIDENCE = 0.95
RESAMPLES = 1999
_BATCH = 50  # resamples drawn at once: of 30,000 images they take 12 MB


@dataclass(frozen=True)
class Estimate:
    """A mean with its interval.

    Attributes:
        n: number of values.
        mean: of them.
        deviation: standard deviation, of n - 1 degrees of freedom; NaN of one value.
        low, high: 95 % interval of the mean; NaN of one value.
    """

    n: int
    mean: float
    deviation: float
    low: float
    high: float

    @property
    def excludes_zero(self):
        """Whether 0 lies outside of the interval; not if there is none."""
        return bool(self.low > 0 or self.high < 0)


def mean_over_seeds(values):
    """Mean and Student's t interval of one value a seed.

    Source: Student 1908, doi:10.2307/2331554. The values are taken as independent and normal.

    Args:
        values: (n,) floats.

    Returns:
        Estimate.
    """
    values = np.asarray(values, np.float64)
    if len(values) < 2:
        return Estimate(len(values), float(values.mean()), np.nan, np.nan, np.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # equal values: the interval is a point
        interval = stats.ttest_1samp(values, 0.0).confidence_interval(CONFIDENCE)
    deviation = float(values.std(ddof=1))
    return Estimate(len(values), float(values.mean()), deviation, float(interval.low), float(interval.high))


def difference_over_seeds(values, control):
    """Mean of the paired differences, and Student's t interval.

    Args:
        values: (n,) floats, one a seed.
        control: (n,) floats, of the same seeds in the same order.

    Returns:
        Estimate of values - control.
    """
    return mean_over_seeds(np.asarray(values, np.float64) - np.asarray(control, np.float64))


def difference_over_images(right, control):
    """Mean difference of two accuracies, and what other test images could have given with these networks.

    The networks are taken as they are; test images of all seeds are drawn with replacement, in pairs.
    Source: Efron 1979, doi:10.1214/aos/1176344552, percentile interval.

    Args:
        right: list of (images,) bool, one array a seed: whether an image was classified rightly.
        control: the same of the control, of the same images.

    Returns:
        Estimate in [-1, 1]; n counts images.
    """
    gained = np.concatenate(right).astype(np.int8) - np.concatenate(control).astype(np.int8)
    if (gained == gained[0]).all():
        value = float(gained[0])
        return Estimate(len(gained), value, 0.0, value, value)
    found = stats.bootstrap(
        (gained,),
        np.mean,
        n_resamples=RESAMPLES,
        batch=_BATCH,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    deviation = float(gained.std(ddof=1))
    return Estimate(len(gained), float(gained.mean()), deviation, float(found.low), float(found.high))

"""Means, differences, their intervals and what they decide, over seeds and over test images; all by SciPy."""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy import integrate, special, stats

if TYPE_CHECKING:
    from experiments.study.rows import Outcomes
    from noisy_student.runtime.types import Floats

CONFIDENCE = 0.95
ALPHA = 1 - CONFIDENCE  # of the two-sided test, and of each of the two one-sided ones
POWER = 0.8
FEWEST_SEEDS = 3  # below, the deviation is hardly known: nothing is decided
MOST_SEEDS = 40  # as many as a study can be asked to run
RESAMPLES = 1999
SAME = 1e-9  # values of a smaller range are equal
_NODES = 60  # of an integral, for four digits
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


@dataclass(frozen=True)
class Decision:
    """What a paired difference decides.

    Attributes:
        verdict: see `decide`.
        p: of the two-sided t-test that there is no difference; NaN where the deviation is unknown.
        p_equivalent: of the two one-sided tests, the larger one; NaN likewise.
    """

    verdict: Literal["better", "worse", "equivalent", "undecided"]
    p: float
    p_equivalent: float


def decide(difference: Estimate, smallest: float) -> Decision:
    """The verdict of a paired difference, given the smallest difference of interest.

    *Equivalent*: two one-sided paired t-tests at 5 % each say that the difference lies between -smallest and +smallest;
    the same as a 90 % interval within them (Schuirmann 1987, doi:10.1007/BF01068419). *Better*, *worse*: otherwise, the
    95 % interval lies above or below 0. *Undecided*: neither. Where both tests succeed, the difference is not zero but
    too small to be of interest, as was said before the study ran: equivalent (Lakens 2017,
    doi:10.1177/1948550617697177, "statistically different from zero and statistically equivalent").

    Args:
        difference: of one value a seed; below `FEWEST_SEEDS` nothing is decided.
        smallest: in the unit of the difference; above 0.
    """
    p, p_equivalent = p_of_difference(difference), p_of_equivalence(difference, smallest)
    if difference.n >= FEWEST_SEEDS and not np.isnan(difference.low):
        if p_equivalent < ALPHA:
            return Decision("equivalent", p, p_equivalent)
        if not difference.low <= 0 <= difference.high:
            return Decision("better" if difference.low > 0 else "worse", p, p_equivalent)
    return Decision("undecided", p, p_equivalent)


def seeds_to_decide(difference: Estimate, smallest: float) -> int | None:
    """How many seeds, in all, what is undecided needs.

    As many that at the observed deviation both tests of `decide` have a power of 0.8: that of equivalence at a true
    difference of 0, that of a difference at one of `smallest`. Where there have been as many, the true difference
    lies between the two: then as many that one of the tests has that power at the observed difference.

    Returns:
        `MOST_SEEDS` + 1: more than can be asked for. None: the deviation is not known.
    """
    if np.isnan(difference.low):
        return None
    deviation, mean = difference.deviation, difference.mean
    wanted = max(seeds_needed(deviation, smallest), seeds_for_equivalence(deviation, smallest), FEWEST_SEEDS)
    if wanted <= difference.n:
        either = seeds_needed(deviation, mean), seeds_for_equivalence(deviation, smallest, truth=mean)
        wanted = max(min(either), difference.n + 1)
    return wanted


def within_90(difference: Estimate) -> Estimate:
    """With its 90 % interval: *equivalent* is said where it lies within the smallest difference of interest."""
    half = (difference.high - difference.low) / 2
    half *= stats.t.ppf(1 - ALPHA, difference.n - 1) / stats.t.ppf(1 - ALPHA / 2, difference.n - 1)
    return replace(difference, low=difference.mean - half, high=difference.mean + half)


def p_of_difference(difference: Estimate) -> float:
    """p of the two-sided paired t-test that the mean difference is 0; NaN without an interval."""
    return float(2 * special.stdtr(difference.n - 1, -abs(_t(difference, 0.0))))


def p_of_equivalence(difference: Estimate, smallest: float) -> float:
    """The larger p of the two one-sided paired t-tests against -smallest and +smallest; NaN without an interval.

    Source: Schuirmann 1987, doi:10.1007/BF01068419.
    """
    sides = -_t(difference, -smallest), _t(difference, smallest)
    return float(special.stdtr(difference.n - 1, np.max(sides)))


def _t(difference, hypothesis):
    if np.isnan(difference.low):
        return np.nan
    return (difference.mean - hypothesis) / (difference.deviation / math.sqrt(difference.n))


def seeds_needed(deviation: float, difference: float, *, power: float = POWER, most: int = MOST_SEEDS) -> int:
    """With how many pairs the two-sided paired t-test at 5 % shows a difference, by the noncentral t distribution.

    Source: Cohen 1988, Statistical Power Analysis for the Behavioral Sciences, chapter 2.

    Args:
        deviation: standard deviation of the paired differences; above 0.
        difference: the true one, of either sign, in the same unit.
        power: how often it is to be shown.
        most: the largest number that is looked at.

    Returns:
        From 2 on; most + 1: more than `most`.
    """
    return _fewest(lambda n: _power_of_difference(n, abs(difference) / deviation), power, most)


def seeds_for_equivalence(
    deviation: float, smallest: float, *, truth: float = 0.0, power: float = POWER, most: int = MOST_SEEDS
) -> int:
    """The same for two one-sided tests of equivalence.

    Source: the integral of Phillips 1990, doi:10.1007/BF01063556, over the deviation that a sample may have.

    Args:
        deviation, power, most: see `seeds_needed`.
        smallest: the smallest difference of interest.
        truth: the true difference; at or beyond `smallest` no number suffices.
    """
    return _fewest(lambda n: _power_of_equivalence(n, smallest / deviation, truth / deviation), power, most)


def _fewest(power_of: Callable[[int], float], power: float, most: int) -> int:
    counts = range(2, most + 1)
    return 2 + bisect.bisect_left(counts, power, key=power_of)  # more seeds, more power


def _power_of_difference(n, effect):
    """Of a true difference of so many deviations."""
    bound, shift = stats.t.isf(ALPHA / 2, n - 1), effect * math.sqrt(n)
    opposite = stats.nct.cdf(-bound, n - 1, shift)  # NaN for large shifts (SciPy 1.17.1), where it is below 1e-9
    return stats.nct.sf(bound, n - 1, shift) + np.nan_to_num(opposite)


def _power_of_equivalence(n, smallest, truth):
    """Of bounds of so many deviations, and of a true difference of as many."""
    freedom, root = n - 1, math.sqrt(n)
    bound = stats.t.isf(ALPHA, freedom)
    ratio = stats.chi(freedom, scale=1 / math.sqrt(freedom))  # of a sample's deviation to the true one

    def passing(quantile):  # the share of means that pass, at such a quantile of the ratio
        margin = root * smallest - bound * ratio.ppf(quantile)
        return special.ndtr(margin - root * truth) - special.ndtr(-margin - root * truth)

    return integrate.fixed_quad(passing, 0, ratio.cdf(root * smallest / bound), n=_NODES)[0]


def holm(p: ArrayLike) -> Floats:
    """p values adjusted for their number: below 5 % at most one time in twenty any of true hypotheses is rejected.

    Source: Holm 1979, Scandinavian Journal of Statistics 6, 65-70: the k-th smallest of m times m - k + 1, none below
    the one before.

    Args:
        p: (m,); NaN: not tested, does not count.

    Returns:
        (m,) in the order of `p`, at most 1.
    """
    p = np.asarray(p, np.float64)
    adjusted, tested = np.full(p.shape, np.nan), np.flatnonzero(~np.isnan(p))
    order = tested[np.argsort(p[tested], kind="stable")]
    adjusted[order] = np.minimum(1, np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1)))
    return adjusted


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

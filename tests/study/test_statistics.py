"""Intervals by what they promise: how often they hold the truth; and against closed forms."""

import numpy as np
import pytest
from scipy import stats

from experiments.study.statistics import (
    difference_over_images,
    difference_over_seeds,
    mean_over_seeds,
)

DRAWS = 2000


def coverage(rng, n, truth, *, interval):
    """Share of simulated studies whose interval holds the true difference.

    Two arms share what a seed decides (normal, of deviation 3) and have noise of their own (of deviation 1).
    """
    held = 0
    for _ in range(DRAWS):
        shared = rng.normal(0.0, 3.0, n)
        found = interval(shared + truth + rng.normal(size=n), shared + rng.normal(size=n))
        held += found.low <= truth <= found.high
    return held / DRAWS


@pytest.mark.parametrize("n", [3, 5, 10])
@pytest.mark.parametrize("truth", [0.0, 0.7])
def test_the_interval_covers_the_true_difference_in_95_of_100_studies(n, truth):
    # of 2,000 draws: standard error 0.5 %, so 2 % are 4 of them
    rng = np.random.default_rng([n, int(10 * truth)])
    assert 0.93 <= coverage(rng, n, truth, interval=difference_over_seeds) <= 0.97


def test_a_bootstrap_over_few_seeds_would_not():
    def bootstrapped(values, control):
        gained = values - control
        means = np.sort(gained[rng.integers(0, 3, (200, 3))].mean(axis=1))
        return type("Interval", (), {"low": means[4], "high": means[194]})

    rng = np.random.default_rng(0)
    assert coverage(rng, 3, 0.7, interval=bootstrapped) < 0.85  # why Student's t is used


def test_the_interval_by_the_closed_form():
    values, control = np.array([0.91, 0.94, 0.90, 0.95]), np.array([0.90, 0.90, 0.91, 0.93])
    found = difference_over_seeds(values, control)
    gained = [0.01, 0.04, -0.01, 0.02]
    deviation = np.sqrt(sum((g - 0.015) ** 2 for g in gained) / 3)
    half = stats.t.ppf(0.975, 3) * deviation / 2
    assert found.n == 4
    assert found.mean == pytest.approx(0.015)
    assert found.deviation == pytest.approx(deviation)
    assert (found.low, found.high) == (pytest.approx(0.015 - half), pytest.approx(0.015 + half))
    assert not found.excludes_zero


def test_one_value_has_no_interval_and_equal_values_have_a_point():
    one = mean_over_seeds([0.9])
    assert (one.n, one.mean) == (1, 0.9)
    assert np.isnan([one.deviation, one.low, one.high]).all()
    assert not one.excludes_zero
    equal = difference_over_seeds([0.75, 1.0, 0.5], [0.5, 0.75, 0.25])
    assert (equal.mean, equal.low, equal.high) == (0.25, 0.25, 0.25)
    assert equal.excludes_zero


def test_the_bootstrap_over_images_covers_too():
    """Images right with one arm, both or none: the mean difference is 0.05; of 300 draws 0.93 to 0.97 is too
    strict, so four standard errors (1.3 % each) are allowed.
    """
    rng, held = np.random.default_rng(1), 0
    for _ in range(300):
        kind = rng.choice(4, p=[0.70, 0.12, 0.07, 0.11], size=400)  # both, first only, second only, none
        first, second = np.isin(kind, (0, 1)), np.isin(kind, (0, 2))
        halves = slice(0, 200), slice(200, 400)
        found = difference_over_images([first[h] for h in halves], [second[h] for h in halves])
        assert found.n == 400
        assert found.mean == pytest.approx(first.mean() - second.mean())
        held += found.low <= 0.05 <= found.high
    assert 0.95 - 4 * 0.013 <= held / 300 <= 0.95 + 4 * 0.013


def test_images_that_all_agree_have_a_point():
    found = difference_over_images([np.array([True, False])], [np.array([True, False])])
    assert (found.mean, found.low, found.high) == (0.0, 0.0, 0.0)

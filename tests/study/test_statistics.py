"""Intervals by what they promise: how often they hold the truth; and against closed forms."""

import numpy as np
import pytest
from scipy import stats

from experiments.study.rows import Outcomes
from experiments.study.statistics import (
    difference_over_images,
    difference_over_seeds,
    mean_over_seeds,
)

DRAWS = 2000


def coverage(rng, n, truth, *, interval, grid=1e-12):
    """Share of simulated studies whose interval holds the true difference.

    Two arms share what a seed decides (normal, of deviation 3) and have noise of their own (of deviation 1);
    accuracies are multiples of `grid`. No interval (all differences equal) claims nothing.
    """
    held = 0
    for _ in range(DRAWS):
        shared = rng.normal(0.0, 3.0, n)
        values, control = shared + truth + rng.normal(size=n), shared + rng.normal(size=n)
        found = interval(*(np.round(arm / grid) * grid for arm in (values, control)))
        held += np.isnan(found.low) or found.low <= truth <= found.high
    return held / DRAWS


@pytest.mark.parametrize("n", [3, 5, 10])
@pytest.mark.parametrize("truth", [0.0, 0.7])
def test_the_interval_covers_the_true_difference_in_95_of_100_studies(n, truth):
    # of 2,000 draws: standard error 0.5 %, so 2 % are 4 of them
    rng = np.random.default_rng([n, int(10 * truth)])
    assert 0.93 <= coverage(rng, n, truth, interval=difference_over_seeds) <= 0.97


def test_accuracies_on_few_test_images_are_covered_too():
    # 500 images: 0.2 points, and 0.7 points of noise
    rng = np.random.default_rng(3)
    assert 0.93 <= coverage(rng, 3, 0.8, interval=difference_over_seeds, grid=0.2 / 0.7) <= 0.97


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


def test_one_value_and_equal_values_have_no_interval():
    one = mean_over_seeds([0.9])
    assert (one.n, one.mean) == (1, 0.9)
    assert np.isnan([one.deviation, one.low, one.high]).all()
    equal = difference_over_seeds([0.902, 0.912, 0.922], [0.9, 0.91, 0.92])  # but for rounding
    assert (equal.mean, equal.deviation) == (pytest.approx(0.002), 0.0)
    assert np.isnan([equal.low, equal.high]).all()


@pytest.mark.parametrize("shared", [False, True], ids=["new images each seed", "the same images"])
def test_the_bootstrap_over_images_covers_too(shared):
    """Three seeds of 300 images; on each an arm gains or loses, 0.06 on average."""
    rng, held, draws = np.random.default_rng(1), 0, 200
    for _ in range(draws):
        names, pairs = np.arange(300, dtype=np.uint32), []
        gain = rng.choice([-0.3, 0.0, 0.4], p=[0.2, 0.5, 0.3], size=300)  # of an image, in probability
        for _ in range(3):
            if not shared:
                names = names + 300
                gain = rng.choice([-0.3, 0.0, 0.4], p=[0.2, 0.5, 0.3], size=300)
            draw = rng.random(300)  # pairs are the more alike the fewer images change
            control, right = draw < 0.5, draw < 0.5 + gain
            pairs.append((Outcomes(names, right), Outcomes(names, control)))
        found = difference_over_images(pairs)
        assert found.n == (300 if shared else 900)
        assert found.mean == pytest.approx(np.mean([a.right.mean() - b.right.mean() for a, b in pairs]))
        held += found.low <= 0.06 <= found.high
    # four standard errors of 1.5 %
    assert abs(held / draws - 0.95) <= 4 * 0.015


def test_images_that_all_agree_have_a_point():
    one = Outcomes(np.array([1, 2], np.uint32), np.array([True, False]))
    found = difference_over_images([(one, one)])
    assert (found.mean, found.low, found.high) == (0.0, 0.0, 0.0)

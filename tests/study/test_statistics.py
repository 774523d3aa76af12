"""Intervals by what they promise: how often they hold the truth; and against closed forms."""

import numpy as np
import pytest
from scipy import stats

from experiments.study.rows import Outcomes
from experiments.study.statistics import (
    Estimate,
    decide,
    difference_over_images,
    difference_over_seeds,
    holm,
    mean_over_seeds,
    p_of_difference,
    p_of_equivalence,
    seeds_for_equivalence,
    seeds_needed,
    seeds_to_decide,
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


def test_p_values_are_those_of_scipys_tests_on_the_values():
    """Of a test of a difference, and of the two one-sided tests against the bounds."""
    gained = np.array([0.010, 0.004, -0.003, 0.008, 0.002])
    found = mean_over_seeds(gained)
    assert p_of_difference(found) == pytest.approx(stats.ttest_1samp(gained, 0).pvalue)
    for smallest in (0.006, 0.02):
        sides = [
            stats.ttest_1samp(gained, -smallest, alternative="greater").pvalue,
            stats.ttest_1samp(gained, smallest, alternative="less").pvalue,
        ]
        assert p_of_equivalence(found, smallest) == pytest.approx(max(sides))
        inner = stats.ttest_1samp(gained, 0).confidence_interval(0.9)  # the same in other words
        assert (max(sides) < 0.05) == (-smallest < inner.low and inner.high < smallest)
    assert p_of_equivalence(mean_over_seeds(-gained), 0.006) == pytest.approx(p_of_equivalence(found, 0.006))


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        ([4.0, 5.0, 6.0, 5.0], "better"),
        ([-4.0, -5.0, -6.0, -5.0], "worse"),
        ([0.5, -0.5, 0.2, -0.1], "equivalent"),
        ([0.5, 0.6, 0.4, 0.5], "equivalent"),  # not zero, but of no interest: said before
        ([2.5, 3.2, 1.9, 2.6], "better"),  # its 90 % interval, 1.92 to 3.18, goes beyond 3
        ([5.0, -5.0, 3.0, -2.0], "undecided"),
        ([4.9, 5.0], "undecided"),  # two seeds
        ([0.1, 0.11], "undecided"),
    ],
)
def test_the_verdict_with_a_smallest_difference_of_3(values, verdict):
    assert decide(mean_over_seeds(values), 3.0).verdict == verdict


def test_what_has_no_deviation_is_undecided_and_no_number_of_seeds_is_named():
    for values in ([5.0], [5.0, 5.0, 5.0], [0.0, 0.0, 0.0]):
        difference = mean_over_seeds(values)
        found = decide(difference, 3.0)
        assert (found.verdict, seeds_to_decide(difference, 3.0)) == ("undecided", None)
        assert np.isnan([found.p, found.p_equivalent]).all()


DRAWN = 1000


def _verdicts(truth, n, draws=DRAWN):
    rng = np.random.default_rng([n, int(10 * truth)])
    found = [decide(mean_over_seeds(values), 1.0).verdict for values in rng.normal(truth, 1.0, (draws, n))]
    return {verdict: found.count(verdict) / draws for verdict in ("better", "worse", "equivalent", "undecided")}


def test_verdicts_are_wrong_as_seldom_as_they_promise():
    """No difference: better or worse in 5 % at most; one of the smallest size: equivalent in 5 % at most."""
    error = 3 * np.sqrt(0.05 * 0.95 / DRAWN)
    for n in (4, 12):
        none = _verdicts(0.0, n)
        assert none["better"] + none["worse"] <= 0.05 + error
        assert _verdicts(1.0, n)["equivalent"] <= 0.05 + error


@pytest.mark.parametrize(("effect", "pairs"), [(0.2, 199), (0.5, 34), (0.8, 15)])
def test_seeds_needed_are_the_published_numbers_of_pairs(effect, pairs):
    """A paired t-test, two-sided at 5 %, power 0.8: what G*Power gives for Cohen's small, medium and large effects."""
    assert seeds_needed(1.0, effect, most=300) == pairs
    assert seeds_needed(3.0, -3 * effect, most=300) == pairs
    assert seeds_needed(1.0, effect) == min(pairs, 41)


def test_seeds_for_equivalence_are_about_those_of_the_normal_approximation():
    """Chow, Shao, Wang 2008, formula 3.1.9: (z(0.95) + z(0.9))^2 / 0.3^2 = 95.2, so 96; Student's t takes more."""
    assert 96 < seeds_for_equivalence(1.0, 0.3, most=200) <= 98
    assert seeds_for_equivalence(1.0, 0.3) == 41
    assert seeds_for_equivalence(1.0, 0.3, truth=0.3, most=1000) == 1001


@pytest.mark.parametrize(("smallest", "truth"), [(1.0, 0.0), (1.0, 0.4), (0.6, 0.0), (3.0, 0.0)])
def test_power_is_that_of_simulated_studies(smallest, truth):
    """At the number found the test of equivalence succeeds in 80 of 100 studies, with a seed less it does not."""
    n, rng = seeds_for_equivalence(1.0, smallest, truth=truth), np.random.default_rng(7)
    shares = []
    for seeds in (n - 1, n):
        values = rng.normal(truth, 1.0, (100_000, seeds))
        half = stats.t.ppf(0.95, seeds - 1) * values.std(1, ddof=1) / np.sqrt(seeds)
        mean = values.mean(1)
        shares.append(np.mean((mean + half < smallest) & (mean - half > -smallest)))
    error = 4 * np.sqrt(0.8 * 0.2 / 100_000)
    assert shares[0] < 0.8 + error
    assert shares[1] >= 0.8 - error


def test_what_is_undecided_is_told_how_many_seeds_decide():
    assert seeds_to_decide(Estimate(4, 0.0, 1.0, -1.6, 1.6), 1.0) == 11  # for equivalence; a difference: 10
    assert seeds_to_decide(Estimate(4, 0.0, 10.0, -16, 16), 1.0) == 41
    # all of the 11, and still between: half the size. One-sided, against the bound that is as far off, it takes
    # 27 seeds (G*Power, an effect of 0.5), two-sided against 0 it would take 34
    between = Estimate(11, 0.5, 1.0, -0.172, 1.172)
    assert decide(between, 1.0).verdict == "undecided"
    assert seeds_to_decide(between, 1.0) == 27
    assert decide(Estimate(27, 0.5, 1.0, 0.104, 0.896), 1.0).verdict == "equivalent"


@pytest.mark.parametrize(
    ("p", "adjusted"),
    [
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),  # 3 x 0.01, then at least 2 x 0.03, ..., 4 x 0.005
        ([0.5, 0.6, 0.01], [1.0, 1.0, 0.03]),
        ([0.02, np.nan, 0.03], [0.04, np.nan, 0.04]),
        ([0.02], [0.02]),
        ([], []),
    ],
)
def test_holms_correction_by_hand(p, adjusted):
    np.testing.assert_allclose(holm(p), adjusted)


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

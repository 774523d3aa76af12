"""Figures by hand-worked arrays that tell the candidate formulas apart."""

import numpy as np
import pytest

from noisy_student.robustness import scores
from noisy_student.robustness.severities import ALEXNET, STANDARD

ERRORS = {"fog": [0.1, 0.3], "snow": [0.2, 0.6]}
REFERENCE = {"fog": [0.2, 0.2], "snow": [0.4, 0.4]}


def test_mean_corruption_error():
    assert scores.mean_corruption_error(ERRORS) == pytest.approx(0.3)
    # a mean of means: a corruption with fewer severities counts as much
    assert scores.mean_corruption_error({"fog": [0.1], "snow": [0.2, 0.6]}) == pytest.approx(0.25)


def test_mce_divides_sums_not_single_errors():
    uneven = {"fog": [0.1, 0.3], "snow": [0.2, 0.6]}
    other = {"fog": [0.1, 0.1], "snow": [0.2, 0.6]}
    # fog 0.4 / 0.2 = 2, snow 1: mean 1.5; ratio of the means would be 1.2 / 1.0, mean of ratios (1+3+1+1)/4
    assert scores.mce(uneven, other) == pytest.approx(1.5)
    other = {"fog": [0.05, 0.35], "snow": [0.2, 0.6]}
    # sums: fog 1; ratios by severity would give (2 + 0.857) / 2
    assert scores.mce(uneven, other) == pytest.approx(1.0)
    assert scores.mce(uneven, {"fog": 0.1, "snow": 0.4}) == pytest.approx(1.5)  # means do as well
    assert scores.mce(uneven, {"fog": [0, 0], "snow": [1, 1]}) is None


def test_relative_mce():
    # fog (0.2 - 0.1) / (0.2 - 0.15) = 2, snow (0.4 - 0.1) / (0.4 - 0.15) = 1.2
    assert scores.relative_mce(ERRORS, 0.1, REFERENCE, 0.15) == pytest.approx(1.6)
    assert scores.relative_mce(ERRORS, 0.1, REFERENCE, 0.2) is None


def test_alexnet_is_worth_one_against_itself():
    errors = {name: [error] * 5 for name, error in ALEXNET.items()}
    assert scores.mce(errors, ALEXNET) == pytest.approx(1.0)
    published = [89, 89, 92, 82, 83, 79, 80, 87, 83, 82, 56, 85, 65, 72, 61]  # table 1, in percent
    assert [round(100 * ALEXNET[name]) for name in STANDARD] == published


def test_flips_of_sequences_and_of_noise():
    predicted = np.array([[0, 1], [1, 1], [0, 2], [0, 2]])  # four frames of two images
    assert scores.flips(predicted, noise=False).tolist() == pytest.approx([2 / 3, 1 / 3])
    assert scores.flips(predicted, noise=True).tolist() == pytest.approx([1 / 3, 2 / 3])


def test_mean_flip_rate():
    assert scores.mfr({"tilt": 0.1, "scale": 0.4}, {"tilt": 0.2, "scale": 0.2}) == pytest.approx(1.25)
    assert scores.mfr({"tilt": 0.1}, {"tilt": 0.0}) is None


def _published_distance(before, after):
    """The paper's d: sums over i = 1..5 of the places between i and sigma(i), as far as the sixth."""
    total = 0
    for i in range(1, 6):
        j = after.index(before[i - 1]) + 1
        for place in range(min(i, j) + 1, max(i, j) + 1):
            total += 1 <= place - 1 <= 5
    return total


def test_top5_distance_is_the_papers():
    rng = np.random.default_rng(0)
    probs = rng.dirichlet(np.ones(8), size=(6, 40)).astype(np.float32)
    orders = np.argsort(-probs, axis=-1)
    for noise in (False, True):
        found = scores.top5_distances(probs, noise=noise)
        for i in range(40):
            pairs = [(list(orders[0 if noise else frame - 1, i]), list(orders[frame, i])) for frame in range(1, 6)]
            assert found[i] == pytest.approx(np.mean([_published_distance(*pair) for pair in pairs]))


def test_top5_distance_by_hand():
    first = np.array([0.4, 0.2, 0.15, 0.1, 0.08, 0.05, 0.02])
    swapped = first[[1, 0, 2, 3, 4, 5, 6]]  # best and second change places: 1 + 1
    gone = first[[6, 1, 2, 3, 4, 5, 0]]  # the best falls to the last place: 5 to the sixth
    probs = np.stack([first, swapped, first, gone])[:, None]
    assert scores.top5_distances(probs, noise=True)[0] == pytest.approx((2 + 0 + 5) / 3)


def test_brier_and_confident_errors():
    probs = np.array([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8]], np.float32)
    found = scores.brier(probs, np.array([0, 1]))
    assert found.tolist() == pytest.approx([0.09 + 0.04 + 0.01, 0.01 + 0.81 + 0.64])
    confidence, wrong = np.array([0.9, 0.8, 0.95, 0.7]), np.array([True, True, False, True])
    assert scores.confident_errors(confidence, wrong, 0.8) == 0.25  # above, not at, the threshold

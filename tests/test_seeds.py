"""Keys and uniform numbers against SplitMix64 in plain Python, and by statistics."""

import numpy as np
import pytest
from scipy.stats import chisquare, kstest

from noisy_student.runtime.seeds import derive_seed, image_keys, uniforms

# A correct generator fails a test with probability 1e-4; the seeds are fixed, so it does not flicker.
SIGNIFICANCE = 1e-4
MASK = 2**64 - 1


def splitmix64(state, count):
    """The generator in Python's whole numbers, which do not overflow."""
    numbers = []
    for _ in range(count):
        state = (state + 0x9E3779B97F4A7C15) & MASK
        z = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        numbers.append(z ^ (z >> 31))
    return numbers


def test_the_oracle_gives_the_published_numbers():
    # widely published first outputs for the seed 1234567
    assert splitmix64(1234567, 3) == [6457827717110365317, 3203168211198807973, 9817491932198370423]


@pytest.mark.parametrize("seed", [0, 1, 2**63 - 1, -5, 2**70 + 3])
def test_keys_are_two_rounds_of_splitmix(seed):
    """Output number `row` of the generator seeded by output number `epoch` of the one seeded by the seed."""
    for epoch in (0, 1, 7):
        second = splitmix64(seed & MASK, epoch + 1)[epoch]
        expected = splitmix64(second, 50)
        assert image_keys(seed, epoch, np.arange(50)).tolist() == expected
    keys = image_keys(seed, np.array([7, 0]), np.array([49, 3]))
    assert keys[0] == expected[49]
    assert keys.dtype == np.uint64


def test_uniforms_are_the_highest_53_bits_of_splitmix():
    keys = image_keys(1, 2, np.arange(20))
    got = uniforms(keys, "crop", 5)
    for key, numbers in zip(keys.tolist(), got, strict=True):
        # the output's finaliser alone: a state that the first step brings to key ^ word
        start = splitmix64(((key ^ derive_seed(0, "crop")) - 0x9E3779B97F4A7C15) & MASK, 1)[0]
        assert numbers.tolist() == [(z >> 11) / 2**53 for z in splitmix64(start, 5)]
    np.testing.assert_array_equal(uniforms(keys, "crop", 2), got[:, :2])


def test_nothing_warns_of_overflow():
    with np.errstate(all="raise"):
        assert uniforms(image_keys(2**64 - 1, 0, [0]), "flip", 1).shape == (1, 1)


def test_uniforms_are_uniform():
    numbers = uniforms(image_keys(1, 0, np.arange(20_000)), "flip", 3)
    assert 0.0 <= numbers.min() < numbers.max() < 1.0
    for column in numbers.T:
        assert kstest(column, "uniform").pvalue > SIGNIFICANCE


def _pairs(first, second, bins=16):
    """p-value of all pairs of bins being equally likely."""
    counts = np.bincount((first * bins).astype(int) * bins + (second * bins).astype(int), minlength=bins**2)
    return chisquare(counts).pvalue


def test_neighbours_are_independent():
    rows = np.arange(40_000)
    one = uniforms(image_keys(5, 0, rows), "flip", 2)
    others = {
        "next row": uniforms(image_keys(5, 0, rows + 1), "flip", 1)[:, 0],
        "next epoch": uniforms(image_keys(5, 1, rows), "flip", 1)[:, 0],
        "next seed": uniforms(image_keys(6, 0, rows), "flip", 1)[:, 0],
        "another purpose": uniforms(image_keys(5, 0, rows), "crop", 1)[:, 0],
        "next number": one[:, 1],
    }
    for name, other in others.items():
        assert _pairs(one[:, 0], other) > SIGNIFICANCE, name


def test_one_bit_of_a_row_or_an_epoch_changes_half_of_the_bits_of_a_key():
    rows = np.arange(1000)
    for bit in range(20):
        for changed in (image_keys(1, 0, rows ^ (1 << bit)), image_keys(1, 1 << bit, rows)):
            different = np.bitwise_count(image_keys(1, 0, rows) ^ changed)
            # binomial(64, 1/2): standard deviation 4, of the mean of 1000 images 4 / sqrt(1000)
            assert abs(different.mean() - 32) < 5 * 4 / 1000**0.5


def test_no_two_images_have_the_same_key():
    keys = np.concatenate([image_keys(3, epoch, np.arange(50_000)) for epoch in range(4)])
    assert len(np.unique(keys)) == 200_000

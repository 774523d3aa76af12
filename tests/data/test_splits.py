"""Stratification, by hand and by property."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noisy_student.data.splits import stratified
from noisy_student.runtime.errors import DataError


def cut(labels, count, *, seed=0, classes=None):
    labels = np.asarray(labels, np.int64)
    classes = classes or [f"class{k}" for k in range(labels.max() + 1)]
    return stratified(labels, count, rng=np.random.default_rng(seed), name="labelled", classes=classes)


@pytest.mark.parametrize(
    ("frequencies", "count", "expected"),
    [
        ([50, 30, 20], 10, [5, 3, 2]),  # exact shares
        ([53, 31, 16], 10, [5, 3, 2]),  # quotas 5.3, 3.1, 1.6: the largest remainder gets the last
        ([30, 30, 30], 10, [4, 3, 3]),  # a tie goes to the lower label
        ([96, 2, 2], 10, [8, 1, 1]),  # quotas 9.6, 0.2, 0.2: at least 1 each
        ([5, 5, 5], 15, [5, 5, 5]),
        # quotas 6, 3.6, 0.1 (4 times): rounded 6, 3, 1, 1, 1, 1, so 3 too many; taken one by one where the
        # share lies furthest above its quota: from the first (0), the second (-0.6), the first (-1)
        ([60, 36, 1, 1, 1, 1], 10, [4, 2, 1, 1, 1, 1]),
    ],
)
def test_shares_by_hand(frequencies, count, expected):
    labels = np.repeat(np.arange(len(frequencies)), frequencies)
    np.testing.assert_array_equal(np.bincount(labels[cut(labels, count)]), expected)


@settings(deadline=None)
@given(st.lists(st.integers(1, 60), min_size=1, max_size=12), st.data())
def test_shares_are_proportional_within_one(frequencies, draw):
    total, classes = sum(frequencies), len(frequencies)
    count = draw.draw(st.integers(classes, total))
    labels = np.random.default_rng(total).permutation(np.repeat(np.arange(classes), frequencies))
    rows = cut(labels, count)
    assert len(set(rows.tolist())) == len(rows) == count
    shares = np.bincount(labels[rows], minlength=classes)
    quotas = count * np.array(frequencies) / total
    assert shares.min() >= 1
    if quotas.min() >= 1:
        assert (np.abs(shares - quotas) < 1 - 1e-12).all() or count == total
    for a in range(classes):
        for b in range(classes):
            assert frequencies[a] <= frequencies[b] or shares[a] >= shares[b]  # never upside down


def test_every_row_is_equally_likely():
    labels = np.repeat([0, 1], [10, 5])
    drawn = np.concatenate([cut(labels, 6, seed=seed) for seed in range(2000)])
    # 4 of 10 and 2 of 5: 0.4 for every row; standard error sqrt(0.24 / 2000) = 0.011, tolerance 4.5 of it
    np.testing.assert_allclose(np.bincount(drawn) / 2000, 0.4, atol=0.05)


def test_rows_are_ascending():
    rows = cut([2, 1, 0] * 20, 30)
    assert (np.diff(rows) > 0).all()


def test_the_seed_chooses_the_rows():
    labels = np.repeat([0, 1], 50)
    np.testing.assert_array_equal(cut(labels, 20), cut(labels, 20))
    assert set(cut(labels, 20).tolist()) != set(cut(labels, 20, seed=1).tolist())


@pytest.mark.parametrize(
    ("labels", "count", "message"),
    [
        ([0, 1, 2], 4, r"data\.labelled: 4 images asked, found 3"),
        ([0, 0, 2], 3, r"data\.labelled: 3 images asked, but class 1 \(dog\) has no image"),
        ([0, 1, 2], 2, r"data\.labelled: 2 images asked, but there are 3 classes"),
    ],
)
def test_too_few_is_refused(labels, count, message):
    with pytest.raises(DataError, match=message):
        cut(labels, count, classes=["cat", "dog", "emu"])

"""Batches and the loss that Keras makes of them, against NumPy."""

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import log_softmax

from noisy_student.training.batches import Share, ShuffledRows, TrainingBatches
from noisy_student.training.examples import (
    ConcatenatedExamples,
    LabelledExamples,
    PseudoLabelledExamples,
    one_hot,
)


def _numbered(n, *, start=0):
    """Images whose every pixel is the image's number."""
    return np.broadcast_to(np.arange(start, start + n, dtype=np.uint8)[:, None, None, None], (n, 4, 4, 3))


def _untouched(images, rng):
    return images


@given(rows=st.integers(1, 40), batch_size=st.integers(1, 50), epochs=st.integers(1, 4))
def test_every_row_is_seen_once_an_epoch(rows, batch_size, epochs):
    stream = ShuffledRows(rows, batch_size=batch_size, seed=3, name="a")
    steps = -(-rows * epochs // batch_size)
    seen = np.concatenate([stream.at(step) for step in range(steps)])[: rows * epochs]
    for epoch in np.split(seen, epochs):
        assert sorted(epoch) == list(range(rows))


def test_a_step_does_not_depend_on_the_steps_before():
    first, second = (ShuffledRows(50, batch_size=7, seed=1, name="a") for _ in range(2))
    in_order = [first.at(step) for step in range(30)]
    backwards = [second.at(step) for step in reversed(range(30))][::-1]
    np.testing.assert_array_equal(in_order, backwards)


def test_epochs_and_streams_have_different_orders():
    stream = ShuffledRows(100, batch_size=100, seed=1, name="a")
    other = ShuffledRows(100, batch_size=100, seed=1, name="b")
    orders = {tuple(rows) for rows in (stream.at(0), stream.at(1), other.at(0))}
    assert len(orders) == 3


def test_one_hot_smoothed_by_hand():
    expected = [[0.05, 0.05, 0.85, 0.05], [0.85, 0.05, 0.05, 0.05]]
    np.testing.assert_allclose(one_hot([2, 0], 4, smoothing=0.2), expected, rtol=1e-6)


def test_soft_and_hard_pseudo_labels_by_hand():
    images, probs = _numbered(3), np.float32([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
    rows = np.array([2, 1, 1])
    soft = PseudoLabelledExamples(images, probs, rows, kind="soft", smoothing=0.5)
    hard = PseudoLabelledExamples(images, probs, rows, kind="hard", smoothing=0.5)
    taken, targets = soft.take(np.array([0, 2]))
    assert taken[:, 0, 0, 0].tolist() == [2, 1]
    np.testing.assert_array_equal(targets, np.float32([[0.6, 0.4], [0.2, 0.8]]))  # never smoothed
    np.testing.assert_allclose(hard.take(np.array([0, 2]))[1], [[0.75, 0.25], [0.25, 0.75]])


def test_concatenated_examples_keep_images_and_targets_together():
    labelled = LabelledExamples(_numbered(3), np.array([0, 1, 0]), classes=2)
    probs = np.stack([np.arange(5) / 10, 1 - np.arange(5) / 10], axis=1).astype(np.float32)
    pseudo = PseudoLabelledExamples(_numbered(5, start=100), probs, np.array([4, 0, 0]), kind="soft")
    both = ConcatenatedExamples([labelled, pseudo])
    images, targets = both.take(np.array([5, 0, 3, 1]))
    assert len(both) == 6
    assert images[:, 0, 0, 0].tolist() == [100, 0, 104, 1]
    np.testing.assert_array_equal(targets, np.float32([[0, 1], [1, 0], [0.4, 0.6], [0, 1]]))


def _joint_batches(weight=2.0):
    labelled = LabelledExamples(_numbered(6), np.array([0, 1, 2, 0, 1, 2]), classes=3)
    probs = np.random.default_rng(0).dirichlet(np.ones(3), 20).astype(np.float32)
    pseudo = PseudoLabelledExamples(_numbered(20, start=100), probs, np.arange(20), kind="soft")
    shares = [Share("labelled", labelled, 4), Share("pseudo", pseudo, 10, weight)]
    return TrainingBatches(shares, noise=_untouched, round_steps=5, seed=0)


def test_joint_loss_is_mean_labelled_plus_weighted_mean_unlabelled():
    images, targets, weights = _joint_batches(weight=2.0)[1]
    logits = np.random.default_rng(1).normal(size=(14, 3)).astype(np.float32)
    loss = keras.losses.CategoricalCrossentropy(from_logits=True)(targets, logits, sample_weight=weights)
    entropy = -(targets * log_softmax(logits, axis=1)).sum(axis=1)
    is_labelled = images[:, 0, 0, 0] < 100
    expected = entropy[is_labelled].mean() + 2.0 * entropy[~is_labelled].mean()
    assert is_labelled.sum() == 4
    assert float(loss) == pytest.approx(expected, rel=1e-5)


def test_rounds_continue_the_streams():
    batches = _joint_batches()
    batches.round = 1
    continued = batches[0][0][:, 0, 0, 0]
    labelled = ShuffledRows(6, batch_size=4, seed=0, name="labelled").at(5)
    assert continued[:4].tolist() == labelled.tolist()


def test_noise_depends_on_the_step_alone():
    def noisy(images, rng):
        return images + rng.integers(0, 50, len(images), dtype=np.uint8)[:, None, None, None]

    batches, again = _joint_batches(), _joint_batches()
    batches.noise = again.noise = noisy
    again[3]
    np.testing.assert_array_equal(batches[2][0], again[2][0])
    assert (batches[2][0] != batches[3][0]).any()

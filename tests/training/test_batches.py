"""Batches and the loss that Keras makes of them, against NumPy."""

from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import log_softmax

from noisy_student.noise.pipeline import InputNoise
from noisy_student.runtime.seeds import derive_seed, image_keys
from noisy_student.settings.schema import AugmentationParams, RandAugmentParams
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


def _noise(**switches):
    randaugment = RandAugmentParams(
        ops=switches.pop("ops", 0),
        magnitude=9,
        levels=10,
        table="standard",
        magnitude_sampling="fixed",
        fill=0,
    )
    augmentation = AugmentationParams(**{"flip": False, "crop": 0} | switches)
    return InputNoise(augmentation=augmentation, randaugment=randaugment)


@settings(deadline=None)
@given(rows=st.integers(1, 40), batch_size=st.integers(1, 50), epochs=st.integers(1, 4))
def test_every_row_is_seen_once_an_epoch(rows, batch_size, epochs):
    stream = ShuffledRows(rows, batch_size=batch_size, seed=3, name="a")
    steps = -(-rows * epochs // batch_size)
    seen = np.concatenate([stream.at(step) for step in range(steps)], axis=1)[:, : rows * epochs]
    np.testing.assert_array_equal(seen[0], np.repeat(np.arange(epochs), rows))
    for order in np.split(seen[1], epochs):
        assert sorted(order) == list(range(rows))


def test_a_step_does_not_depend_on_the_steps_before():
    first, second = (ShuffledRows(50, batch_size=7, seed=1, name="a") for _ in range(2))
    in_order = [first.at(step) for step in range(30)]
    backwards = [second.at(step) for step in reversed(range(30))][::-1]
    np.testing.assert_array_equal(in_order, backwards)


def test_epochs_and_streams_have_different_orders():
    stream = ShuffledRows(100, batch_size=100, seed=1, name="a")
    other = ShuffledRows(100, batch_size=100, seed=1, name="b")
    orders = {tuple(rows) for _, rows in (stream.at(0), stream.at(1), other.at(0))}
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


def test_rows_that_do_not_exist_are_refused():
    examples = LabelledExamples(_numbered(3), np.array([0, 1, 0, 1]), classes=2)
    for row in (3, -1):
        with pytest.raises(IndexError, match="of 3 images"):
            examples.take(np.array([row]))


def test_batches_read_memory_mapped_images(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (9, 4, 5, 3), np.uint8)
    np.save(tmp_path / "images.npy", images)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    rows = np.array([8, 0, 0, 5])
    taken, _ = LabelledExamples(mapped, np.zeros(9, np.int64), classes=2).take(rows)
    np.testing.assert_array_equal(taken, images[rows])
    assert not isinstance(taken, np.memmap)


def _joint_batches(weight=2.0, **switches):
    labelled = LabelledExamples(_numbered(6), np.array([0, 1, 2, 0, 1, 2]), classes=3)
    probs = np.random.default_rng(0).dirichlet(np.ones(3), 20).astype(np.float32)
    pseudo = PseudoLabelledExamples(_numbered(20, start=100), probs, np.arange(20), kind="soft")
    shares = [Share("labelled", labelled, 4), Share("pseudo", pseudo, 10, weight)]
    return TrainingBatches(shares, noise=_noise(**switches), round_steps=5, seed=0)


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
    labelled = ShuffledRows(6, batch_size=4, seed=0, name="labelled").at(5)[1]
    assert continued[:4].tolist() == labelled.tolist()


def _textured(n, *, seed):
    return np.random.default_rng(seed).integers(0, 256, (n, 8, 8, 3), np.uint8)


def _noised_batches(noise, *, batch_sizes=(3, 4), seed=7):
    examples = [LabelledExamples(_textured(5, seed=s), np.zeros(5, int), classes=2) for s in (0, 1)]
    names = ("labelled", "pseudo")
    shares = [Share(*parts) for parts in zip(names, examples, batch_sizes, strict=True)]
    return TrainingBatches(shares, noise=noise, round_steps=5, seed=seed)


def test_each_image_is_noised_by_its_share_epoch_and_row():
    noise, batch_sizes = _noise(flip=True, crop=2, ops=2), (3, 4)
    images = _noised_batches(noise)[2][0]
    start = 0
    for name, seed, size in zip(("labelled", "pseudo"), (0, 1), batch_sizes, strict=True):
        for position in range(size):
            epoch, place = divmod(2 * size + position, 5)
            rows = ShuffledRows(5, batch_size=5, seed=7, name=name).at(epoch)[1]
            key = image_keys(derive_seed(7, "noise", name), epoch, rows[place : place + 1])
            expected = noise(_textured(5, seed=seed)[rows[place : place + 1]], key)[0]
            np.testing.assert_array_equal(images[start + position], expected)
        start += size


def test_noise_does_not_depend_on_how_many_images_a_batch_holds():
    noise = _noise(flip=True, crop=2, ops=2)
    small, large = _noised_batches(noise, batch_sizes=(1, 1)), _noised_batches(noise, batch_sizes=(4, 4))
    in_ones = np.stack([small[step][0] for step in range(4)], axis=1).reshape(8, 8, 8, 3)
    np.testing.assert_array_equal(in_ones, large[0][0])


def test_batches_depend_on_the_step_alone_whatever_the_order_and_the_threads():
    noise = _noise(flip=True, crop=2, ops=2)
    in_order = [_noised_batches(noise)[step][0] for step in range(30)]
    with ThreadPoolExecutor(4) as pool:
        batches = _noised_batches(noise)
        backwards = list(pool.map(lambda step: batches[step][0], reversed(range(30))))[::-1]
    np.testing.assert_array_equal(in_order, backwards)
    assert (in_order[0] != _noised_batches(noise, seed=8)[0][0]).any()


def test_the_same_image_is_noised_otherwise_in_every_epoch():
    noise = _noise(flip=True, crop=2, ops=2)
    examples = LabelledExamples(_textured(1, seed=0), np.zeros(1, int), classes=2)
    batches = TrainingBatches([Share("one", examples, 1)], noise=noise, round_steps=20, seed=0)
    seen = {batches[step][0].tobytes() for step in range(20)}
    assert len(seen) > 15  # 2 flips x 25 crops x 196 pairs of operations


def test_what_is_written_into_a_batch_changes_no_other():
    """TensorFlow computes in the memory of arrays that it is given."""
    batches, others = _joint_batches(weight=2.0), _joint_batches(weight=2.0)
    for array in batches[0]:
        array[:] = 0
    for array, expected in zip(batches[1], others[1], strict=True):
        np.testing.assert_array_equal(array, expected)


def test_without_noise_the_images_are_as_they_were():
    images = _noised_batches(_noise())[0][0]
    expected = _textured(5, seed=0)[ShuffledRows(5, batch_size=3, seed=7, name="labelled").at(0)[1]]
    np.testing.assert_array_equal(images[:3], expected)

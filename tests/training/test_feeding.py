"""What the training iterates over, and how many steps it takes at a time."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest

from noisy_student import backends
from noisy_student.noise.pipeline import InputNoise
from noisy_student.settings.schema import AugmentationParams
from noisy_student.training.batches import Share, TrainingBatches
from noisy_student.training.examples import LabelledExamples
from noisy_student.training.train import steps_per_execution
from noisy_student.training.within_round import WithinRound


def _batches(**options):
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (20, 8, 8, 3), np.uint8), rng.integers(0, 3, 20)
    share = Share("labelled", LabelledExamples(images, labels, classes=3), 6)
    noise = InputNoise(augmentation=AugmentationParams(flip=True, crop=2), randaugment=None)
    return TrainingBatches([share], noise=noise, round_steps=5, seed=4, **options)


class _Seen(keras.callbacks.Callback):
    """Remembers the sums of the images that the model was trained on, step by step."""

    def __init__(self):
        super().__init__()
        self.losses = []

    def on_train_batch_end(self, batch, logs=None):
        self.losses.append(float(logs["loss"]))


def _mean_of_images():
    """A model whose loss is the mean of what it was fed, so that the logs show it."""
    inputs = keras.Input((8, 8, 3), dtype="uint8")
    means = keras.layers.GlobalAveragePooling2D()(keras.layers.Rescaling(1.0)(inputs))
    same = keras.layers.Dense(3, kernel_initializer="identity", use_bias=False)
    model = keras.Model(inputs, same(means))
    model.compile(
        optimizer=keras.optimizers.SGD(0.0),
        loss=lambda targets, outputs: keras.ops.mean(outputs, axis=-1),
        jit_compile=False,
    )
    return model


def _fit(batches, *callbacks):
    fed, model = backends.current().feed(batches), _mean_of_images()
    for batches.round in (0, 1):
        model.fit(fed, verbose=0, shuffle=False, callbacks=[*callbacks])


def test_a_round_is_fed_in_order_and_the_next_one_follows_it():
    batches, seen = _batches(), _Seen()
    _fit(batches, seen)
    expected = []
    for batches.round in (0, 1):
        # Keras logs the mean over the steps of the round so far
        means = [batches[index][0].mean(dtype=np.float64) for index in range(5)]
        expected += list(np.cumsum(means) / np.arange(1, 6))
    np.testing.assert_allclose(seen.losses, expected, rtol=1e-5)


def test_an_error_in_a_batch_ends_the_training():
    class Broken(LabelledExamples):
        broken = False

        def write(self, rows, images, targets):
            if self.broken:
                raise ValueError("no such image")
            super().write(rows, images, targets)

    batches = _batches()
    sound = batches.shares[0].examples
    examples = Broken(sound.images, sound.labels, classes=3)
    batches.shares = [Share("labelled", examples, 6)]

    class Break(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            examples.broken = True

    with pytest.raises(Exception, match="no such image"):
        _fit(batches, Break())
    assert keras.backend.backend() != "tensorflow" or isinstance(batches.error, ValueError)


@pytest.mark.parametrize(("round_steps", "expected"), [(50, 10), (100, 10), (7, 7), (11, 1), (16, 8), (1, 1)])
def test_steps_at_a_time_divide_a_round(round_steps, expected):
    assert steps_per_execution(round_steps, most=10) == expected


def test_progress_counts_steps_taken_several_at_a_time():
    """And those that were taken before a training went on within a round."""
    shown = SimpleNamespace(n=0)
    shown.update = lambda steps: setattr(shown, "n", shown.n + steps)
    batches, phase = SimpleNamespace(round=0, done=2), SimpleNamespace(round_steps=4)
    within = WithinRound(SimpleNamespace(), phase, batches, save=lambda: None, shown=shown)
    counted = []
    for batches.round, batches.done, lasts in ((0, 2, [1]), (1, 0, [1, 3])):  # Keras names the last step of several
        for last in lasts:
            within.on_train_batch_end(last)
            counted.append(shown.n)
    assert counted == [4, 6, 8]

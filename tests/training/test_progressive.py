"""A training whose images grow: every size has its steps, nothing is lost between two, a kill changes nothing."""

import keras
import numpy as np
import pytest

from noisy_student.data.labelled import LabelledImages
from noisy_student.models.build import check_weights_fit, normalisation_of, normalise
from noisy_student.models.checks import check_training
from noisy_student.runtime.checkpoints import Checkpoints
from noisy_student.runtime.errors import ParamsError
from noisy_student.settings import params
from noisy_student.training import phases, train
from noisy_student.training.batches import TrainingBatches
from noisy_student.training.shares import teacher_shares
from support import with_values

pytestmark = pytest.mark.usefixtures("one_block")
CLASSES = 3
GROWING = {  # with all that has a state; rounds of 4 steps
    "precision": "float32",
    "data.image_size": 8,
    "teacher.model.width": 4,
    "teacher.image_size": 16,
    "teacher.noise": True,
    "teacher.steps": 12,
    "teacher.validate_every": 4,
    "teacher.batch_size": 6,
    "teacher.ema": 0.9,
    "noise.dropout": 0.3,
    "noise.stochastic_depth.survival_probability": 0.5,
    "teacher.progressive.image_size": 8,
    "teacher.progressive.share": 0.7,
}


class Killed(BaseException):
    """Stands for SIGKILL: nothing catches it."""


def _images(seed):
    rng = np.random.default_rng(seed)
    labels = np.arange(30) % CLASSES
    images = (
        rng.integers(0, 90, (30, 8, 8, 3), dtype=np.uint8) + np.uint8(70) * labels.astype(np.uint8)[:, None, None, None]
    )
    return LabelledImages(images, labels.astype(np.int64))


def _train(settings, kept=None):
    labelled = _images(0)
    shares = teacher_shares(settings.teacher, labelled, classes=CLASSES)
    data = {"labelled": labelled, "validation": _images(1), "classes": CLASSES}
    return train.train(settings, settings.teacher, shares, name="teacher", checkpoints=kept, **data)


def _assert_same(first, second):
    for one, other in zip(first.model.get_weights(), second.model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert first.history == second.history


@pytest.fixture
def settings(digits):
    return params.check(with_values(digits, GROWING))


@pytest.fixture(scope="module")
def whole(digits):
    """(a training that was never stopped, {round: shapes of its batches})."""
    seen, real = {}, TrainingBatches.__getitem__

    def noted(self, index):
        batch = real(self, index)
        seen.setdefault(self.round, set()).add(batch[0].shape)
        return batch

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TrainingBatches, "__getitem__", noted)
        return _train(params.check(with_values(digits, GROWING))), seen


def test_images_grow_evenly_at_the_ends_of_rounds(whole):
    """0.7 of three rounds in two sizes: one round each at 8 and 12 pixels, the third at 16."""
    trained, seen = whole
    assert seen == {0: {(6, 8, 8, 3)}, 1: {(6, 12, 12, 3)}, 2: {(6, 16, 16, 3)}}
    assert trained.model.input_shape == (None, 16, 16, 3)


def test_nothing_is_lost_between_two_sizes(settings, digits, monkeypatch):
    """Where the "smaller" size is the full one, it is the training without: schedule, momentum, average."""
    plain = _train(params.check(with_values(digits, GROWING | {"teacher.progressive.image_size": None})))
    monkeypatch.setattr(phases, "smaller_sizes", lambda training, size, rounds: ((size, 2),))
    _assert_same(plain, _train(settings))


@pytest.mark.slow
def test_a_training_killed_between_two_sizes_and_within_one_gives_the_same_bytes(
    settings, whole, tmp_path, monkeypatch
):
    monkeypatch.setattr(train, "steps_per_execution", lambda round_steps, most: min(2, most))
    real = Checkpoints.save
    for step in (4, 6):

        def killed(self, number, *arguments, at=step, **options):
            real(self, number, *arguments, **options)
            if number == at:
                raise Killed

        with monkeypatch.context() as patch:
            patch.setattr(Checkpoints, "save", killed)
            with pytest.raises(Killed):
                _train(settings, Checkpoints(tmp_path, every_minutes=0))
    kept = Checkpoints(tmp_path, every_minutes=0)
    _assert_same(whole[0], _train(settings, kept))
    assert kept.resumed_from == 6


@pytest.mark.slow
def test_noise_on_the_device_grows_too(digits, whole):
    """The host's engine and the graph's give the same training, but for rounding."""
    device = _train(params.check(with_values(digits, GROWING | {"input_noise": "device"})))
    losses = [[row["train_loss"] for row in trained.history] for trained in (device, whole[0])]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"sizes": 3}, r"progressive: sizes=3 within share=0.7 of 3 stretches .*: every size, the full one too, needs"),
        ({"share": 0.9}, r"sizes=2 within share=0.9 of 3 stretches"),
        ({"image_size": 15}, r"teacher.progressive: images cannot grow from 15 to 16 pixels, .* over sizes=2 with"),
        ({"image_size": 32}, r"cannot grow from 32 to 16 pixels.*leave the former empty \(`-S teacher.progressive"),
    ],
)
def test_what_cannot_grow_is_refused(digits, values, message):
    changes = {f"teacher.progressive.{name}": value for name, value in values.items()}
    with pytest.raises(ParamsError, match=message):
        check_training(params.check(with_values(digits, GROWING | changes)).teacher, 8, where="teacher")


def test_smaller_images_are_normalised_as_the_full_ones(settings):
    """A pretrained start brings its own normalisation of the pixels."""
    labelled = _images(0)
    shares = teacher_shares(settings.teacher, labelled, classes=CLASSES)
    phase = phases.main_phase(settings, settings.teacher, shares, name="teacher", stored=8)
    full = train._network(phase, settings, classes=CLASSES, size=16)
    normalise(full, scale=1 / 50, offset=-2.0)
    smaller = train._smaller(full, phase, settings, classes=CLASSES, size=8)
    assert normalisation_of(smaller) == {"scale": 1 / 50, "offset": -2.0}
    np.testing.assert_array_equal(smaller.get_weights()[0], full.get_weights()[0])


def test_a_network_whose_weights_depend_on_the_size_is_refused():
    def network(size):
        images = keras.Input((size, size, 3))
        x = keras.layers.Flatten()(images)
        return keras.Model(images, keras.layers.Dense(CLASSES, name="logits")(x), name="flat")

    with pytest.raises(
        ParamsError, match=r"progressive.image_size: flat cannot be trained at 8 and 16 .* layer logits"
    ):
        check_weights_fit(network(8), network(16), where="teacher.progressive.image_size")

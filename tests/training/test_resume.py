"""A training that is stopped anywhere and goes on gives the bytes of one that never was."""

import contextlib
import os
import re
import signal
import time
from dataclasses import dataclass, field
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from noisy_student import backends
from noisy_student.data.labelled import LabelledImages
from noisy_student.runtime import checkpoints, signals
from noisy_student.runtime.checkpoints import Checkpoints
from noisy_student.runtime.errors import DivergenceError
from noisy_student.settings import params
from noisy_student.training import train, within_round
from noisy_student.training.batches import Share
from noisy_student.training.divergence import check_learning, entropy, guessing_limit
from noisy_student.training.examples import ConcatenatedExamples, LabelledExamples, PseudoLabelledExamples
from noisy_student.training.phases import Phase
from noisy_student.training.shares import student_shares
from noisy_student.training.snapshots import Arrays, State
from support import with_values

pytestmark = pytest.mark.usefixtures("one_block")
CLASSES = 3
EVERYTHING = {  # all that has a state
    "precision": "float32",
    "data.image_size": 8,
    "student.model.width": 4,
    "student.steps": 24,
    "student.validate_every": 8,
    "student.batch_size": 6,
    "student.ema": 0.9,
    "augmentation.crop": 1,
    "noise.dropout": 0.3,
    "noise.stochastic_depth.survival_probability": 0.5,
}
PLATEAU = {
    "student.epochs": 5,
    "student.steps": None,
    "student.validate_every": None,
    "student.schedule": {
        "name": "constant",
        "plateau_from_epoch": 1,
        "plateau_patience": 1,
        "stop_patience": 2,
    },
    "student.optimizer.learning_rate": 0.5,
}


def _images(n, *, seed):
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 90, (n, 8, 8, 3), dtype=np.uint8)
    labels = np.arange(n) % CLASSES
    for image, label in zip(images, labels, strict=True):
        image[2 * label : 2 * label + 3] += 140
    return LabelledImages(images, labels.astype(np.int64))


def _train(settings, kept, *, labels=None, misled=False):
    """`misled`: validation labels are all wrong, so that whoever learns gets worse."""
    labelled = _images(30, seed=0)
    if labels is not None:
        labelled = LabelledImages(labelled.images, labels)
    shares = student_shares(
        settings.student,
        labelled,
        unlabelled=_images(40, seed=2).images,
        probs=np.eye(CLASSES, dtype=np.float32)[np.arange(40) % CLASSES],
        rows=np.arange(40),
        kind="soft",
        classes=CLASSES,
    )
    validation = _images(30, seed=1)
    if labels is not None:
        validation = LabelledImages(validation.images, labels)  # or a network may be right by luck of its seed
    if misled:
        validation = LabelledImages(validation.images, (validation.labels + 1) % CLASSES)
    return train.train(
        settings,
        settings.student,
        shares,
        name="student-gen1",
        labelled=labelled,
        validation=validation,
        classes=CLASSES,
        checkpoints=kept,
    )


class Killed(BaseException):
    """Stands for SIGKILL: nothing catches it."""


class KilledAfter(Checkpoints):
    """Ends the training right after a checkpoint."""

    kill_at: tuple = ()

    def save(self, number, arrays, meta, **options):
        written = super().save(number, arrays, meta, **options)
        if number in self.kill_at:
            raise Killed
        return written


def _resumed(settings, folder, *steps, **options):
    """Train, killed after the checkpoint of each of these steps in turn."""
    for step in steps:
        kept = KilledAfter(folder, every_minutes=0)
        kept.kill_at = (step,)
        with pytest.raises(Killed):
            _train(settings, kept, **options)
    kept = Checkpoints(folder, every_minutes=0)
    trained = _train(settings, kept, **options)
    assert kept.resumed_from == steps[-1]
    return trained


def _assert_same(first, second):
    for one, other in zip(first.model.get_weights(), second.model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert first.history == second.history
    assert first.summary == second.summary


@pytest.fixture(scope="module")
def whole(digits, one_block):
    """The training of EVERYTHING, never stopped and without checkpoints."""
    return _train(params.check(with_values(digits, EVERYTHING)), None)


@pytest.fixture
def small_steps(monkeypatch):
    """Few steps without coming back to Python, so that there is somewhere to stop within a round."""
    monkeypatch.setattr(train, "steps_per_execution", lambda round_steps, most: min(2, most))


@pytest.mark.usefixtures("small_steps")
def test_killed_within_a_round_at_its_end_and_at_the_very_end(digits, tmp_path, whole, capfd):
    settings = params.check(with_values(digits, EVERYTHING))
    _assert_same(whole, _resumed(settings, tmp_path, 6, 8, 24))
    shown = [line for line in capfd.readouterr().err.splitlines() if line.endswith(" of 24 steps")]
    # progress begins where the training does: steps of before took none of this run's time
    assert [line.split()[1] for line in shown[:3]] == ["0", "6", "8"]


WHITENED = {"name": "whitened_convnet", "stage1_filters": 2, "stage2_filters": 2, "stage3_filters": 4}
OTHERS = {
    "noise on the device": {"input_noise": "device"},
    "adam": {"student.optimizer.name": "adam", "student.optimizer.learning_rate": 0.01},
    "fitted to images": {"student.model": WHITENED, "student.image_size": 12},
}
ALL = "noise on the device, adam, fitted to images"


@pytest.mark.parametrize("case", [ALL, *(pytest.param(case, marks=pytest.mark.slow) for case in OTHERS)])
def test_killed_with_other_parts_that_have_a_state(digits, tmp_path, case):
    """All in one; which of them it is, if it fails, the slow tests say."""
    values = {key: value for name in case.split(", ") for key, value in OTHERS[name].items()}
    settings = params.check(with_values(digits, EVERYTHING | values))
    _assert_same(_train(settings, None), _resumed(settings, tmp_path, 8))


def test_plateau_rules_go_on_with_what_they_remember(digits, tmp_path):
    settings = params.check(with_values(digits, EVERYTHING | PLATEAU))
    whole = _train(settings, None, misled=True)
    rates = [row["learning_rate"] for row in whole.history]
    assert len(set(rates)) > 1, "the case must show a reduced rate"
    steps = [row["step"] for row in whole.history]
    _assert_same(whole, _resumed(settings, tmp_path, steps[1], steps[-1], misled=True))


@pytest.mark.usefixtures("small_steps")
def test_a_damaged_checkpoint_falls_back_to_the_one_before(digits, tmp_path, whole, capsys):
    settings = params.check(with_values(digits, EVERYTHING))
    kept = KilledAfter(tmp_path, every_minutes=0)
    kept.kill_at = (14,)
    with pytest.raises(Killed):
        _train(settings, kept)
    before = 14 - min(2, backends.current().STEPS_AT_A_TIME)
    assert kept.numbers() == [before, 14]  # the last two
    newest = max(tmp_path.glob("*.npz"))
    data = bytearray(newest.read_bytes())
    data[len(data) // 2] ^= 1
    newest.write_bytes(data)
    kept = Checkpoints(tmp_path, every_minutes=0)
    _assert_same(whole, _train(settings, kept))
    assert kept.resumed_from == before
    assert f"{newest} is damaged" in capsys.readouterr().err


def test_a_signal_saves_and_ends(digits, tmp_path, whole, monkeypatch):
    number = signal.SIGTERM
    settings = params.check(with_values(digits, EVERYTHING))
    folder = tmp_path / "checkpoints/student@gen1/abc"
    real = within_round.WithinRound.on_epoch_begin

    def signalled(self, epoch, logs=None):
        real(self, epoch, logs)
        if self.batches.round == 1:
            os.kill(os.getpid(), number)

    before = signal.getsignal(number)
    with monkeypatch.context() as patch:
        patch.setattr(within_round.WithinRound, "on_epoch_begin", signalled)
        with pytest.raises(signals.Stopped, match=r"saved at step \d+ of 24.*to go on") as stop:
            _train(settings, Checkpoints(folder, every_minutes=60))
    assert stop.value.number == number
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    step = re.search(r"step (\d+) of 24", str(stop.value))[1]
    assert checkpoints.present()[0]["done"] == f"{step} of 24 steps of student-gen1"
    assert signal.getsignal(number) is before
    kept = Checkpoints(folder)
    _assert_same(whole, _train(settings, kept))
    assert 8 < kept.resumed_from <= 16  # as soon as Keras comes back to Python


def test_a_full_disk_costs_the_checkpoint_but_not_the_training(digits, tmp_path, whole, monkeypatch, capsys):
    settings = params.check(with_values(digits, EVERYTHING))

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    kept = Checkpoints(tmp_path / "kept", every_minutes=0)
    _assert_same(whole, _train(settings, kept))
    said = capsys.readouterr().err
    assert "No space left on device" in said
    assert f"Make room in {kept.folder.parent.parent}" in said
    assert not list(kept.folder.iterdir())


def test_a_training_that_learns_nothing_is_stopped(digits, tmp_path):
    values = {"student.mix": "none", "student.optimizer.learning_rate": 1e-9, "student.ema": 0.0}
    settings = params.check(with_values(digits, EVERYTHING | values | {"student.batch_size": 300}))
    with pytest.raises(DivergenceError, match=r"nothing is learned. At step 24 .*largest class"):
        _train(settings, Checkpoints(tmp_path), labels=np.random.default_rng(0).integers(0, 3, 30))


@pytest.mark.parametrize(("share", "loss", "stopped"), [(0.9, 0.2, False), (0.9, 0.33, True)])
def test_one_class_of_nearly_all_images_is_no_reason_to_stop(share, loss, stopped):
    """Who knows nothing but the shares has a loss of -0.9 ln 0.9 - 0.1 ln 0.1 = 0.325."""
    labels = np.repeat([0, 1], [round(200 * share), 200 - round(200 * share)])
    assert entropy(labels) == pytest.approx(0.32508, abs=1e-5)
    row = {"step": 0, "learning_rate": 0.1, "train_accuracy": 0.88, "validation_accuracy": 0.94}
    history = [row | {"step": step, "validation_loss": loss} for step in (200, 300, 400)]
    training = SimpleNamespace(schedule=SimpleNamespace(warmup=0.25))  # 100 steps
    phase = SimpleNamespace(name="student-gen1", training=training, round_steps=100, steps=400, largest_class=share)
    with pytest.raises(DivergenceError) if stopped else contextlib.nullcontext():
        check_learning(phase, history, labels, batch_size=128)


@pytest.mark.parametrize(
    ("minority", "mix", "train_accuracy", "validation_accuracy", "loss", "stopped"),
    [  # the best that there is of two overlapping classes, if both are equally frequent among the pseudo-labels
        (0.02, "ratio", 0.879, 0.944, 0.149, False),
        (0.02, "pseudo", 0.933, 0.933, 0.166, False),
        (0.05, "pseudo", 0.880, 0.880, 0.281, False),
        (0.05, "ratio", 0.840, 0.919, 0.208, False),
        (0.02, "ratio", 0.620, 0.980, 0.098, True),  # says the larger class of every image
        (0.02, "pseudo", 0.500, 0.980, 0.098, True),
    ],
)
def test_a_student_of_balanced_labels_is_not_held_against_unbalanced_images(
    minority, mix, train_accuracy, validation_accuracy, loss, stopped
):
    def examples(small):
        labels = np.repeat([0, 1], [200 - round(200 * small), round(200 * small)])
        return LabelledExamples(np.zeros((200, 2, 2, 3), np.uint8), labels, classes=2)

    own, pseudo = Share("labelled", examples(minority), 32), Share("pseudo", examples(0.5), 96)
    shares = [own, pseudo] if mix == "ratio" else [pseudo]
    training = SimpleNamespace(schedule=SimpleNamespace(warmup=0.25))
    phase = Phase("student-gen1", training, shares, image_size=2, round_steps=100, rounds=4, seed=0)
    assert phase.largest_class == pytest.approx(0.5 if mix == "pseudo" else 0.25 * (1 - minority) + 0.75 * 0.5)
    row = {"learning_rate": 0.1, "train_accuracy": train_accuracy, "validation_accuracy": validation_accuracy}
    history = [row | {"step": step, "validation_loss": loss} for step in (200, 300, 400)]
    labels = np.repeat([0, 1], [2000 - round(2000 * minority), round(2000 * minority)])
    with pytest.raises(DivergenceError) if stopped else contextlib.nullcontext():
        check_learning(phase, history, labels, batch_size=128)


@pytest.mark.parametrize("kind", ["soft", "hard"])
def test_how_frequent_classes_are_among_targets_by_hand(kind, monkeypatch):
    probs = np.array([[0.6, 0.4, 0], [0, 0.9, 0.1], [0.2, 0.3, 0.5]], np.float32)
    images, rows = np.zeros((3, 2, 2, 3), np.uint8), np.array([0, 1, 1, 1, 2, 1])
    pseudo = PseudoLabelledExamples(images, probs, rows, kind=kind, smoothing=0.1)
    np.testing.assert_allclose(pseudo.frequencies(), [1 / 6, 4 / 6, 1 / 6])
    labelled = LabelledExamples(images, np.array([2, 2, 0]), classes=3)
    both = ConcatenatedExamples([labelled, pseudo])
    np.testing.assert_allclose(both.frequencies(), [2 / 9, 4 / 9, 3 / 9])
    monkeypatch.setattr("noisy_student.training.examples._PIECE", 2)
    np.testing.assert_allclose(both.frequencies(), [2 / 9, 4 / 9, 3 / 9])
    monkeypatch.setattr("noisy_student.training.examples.MOST_COUNTED", 3)
    np.testing.assert_allclose(pseudo.frequencies(), [1 / 3, 2 / 3, 0])  # rows 0, 2 and 5


@pytest.mark.parametrize(("share", "accuracy", "stopped"), [(0.1, 0.12, True), (0.1, 0.2, False), (0.9, 0.8, False)])
def test_without_validation_images_the_training_tells(share, accuracy, stopped):
    """Of 12,800 images three standard deviations are 0.8 points; where most are of one class nothing is concluded."""
    row = {"learning_rate": 0.1, "train_accuracy": accuracy - 0.02, "validation_accuracy": None}
    history = [row | {"step": step, "validation_loss": None} for step in (200, 300, 400)]
    training = SimpleNamespace(schedule=SimpleNamespace(warmup=0.25))
    phase = SimpleNamespace(name="teacher", training=training, round_steps=100, steps=400, largest_class=share)
    expected = pytest.raises(
        DivergenceError, match=r"10\.0 % of the training images are right; the largest class is 10\.0"
    )
    with expected if stopped else contextlib.nullcontext():
        check_learning(phase, history, np.zeros(0, np.int64), batch_size=128)


def test_a_new_field_of_the_state_is_saved_and_restored(tmp_path):
    """To add a field is enough, be it of arrays or of what JSON can hold."""

    @dataclass
    class Longer(State):
        scalars: dict = field(default_factory=dict)
        more: Arrays = field(default_factory=list)

    model = keras.Sequential([keras.Input((2,)), keras.layers.Dropout(0.5), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    arrays = [np.arange(n, dtype=np.float32) + n for n in range(12)]  # in order, though "10" sorts before "2"
    kept = Checkpoints(tmp_path, every_minutes=0)
    Longer(index=3, best_weights=arrays[:2], scalars={"x": 0.1}, more=arrays).save(kept, model, number=3)
    restored = Longer.newest(kept)
    assert (restored.index, restored.scalars, kept.resumed_from) == (3, {"x": 0.1}, 3)
    for found, saved in ((restored.more, arrays), (restored.best_weights, arrays[:2])):
        for one, other in zip(found, saved, strict=True):
            np.testing.assert_array_equal(one, other)


def test_guessing_hardly_exceeds_its_limit():
    """Binomial, by simulation: about 1 in 740 exceeds three standard deviations on one side."""
    right = np.random.default_rng(0).binomial(2000, 0.1, 100_000) / 2000
    assert 0 < (right > guessing_limit(0.1, 2000)).mean() < 0.004


def test_infinite_loss_within_a_round_is_seen_before_its_end(digits, monkeypatch):
    """The step is named to within what was run since the last look, not only the round."""
    monkeypatch.setattr(within_round, "SECONDS", 0.0)
    monkeypatch.setattr(train, "steps_per_execution", lambda round_steps, most: 1)
    values = {"student.optimizer.learning_rate": 1e30, "student.schedule": {"name": "constant"}}
    settings = params.check(with_values(digits, EVERYTHING | values))
    with pytest.raises(DivergenceError, match=r"the loss became (nan|inf) between steps 1 and [2-7] "):
        _train(settings, None)


def test_saving_is_due_by_time_and_never_costs_more_than_a_hundredth(tmp_path, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    kept = Checkpoints(tmp_path, every_minutes=1.0, saved_at=0.0)
    assert (kept.due(), kept.due(natural=True)) == (False, True)
    clock[0] = 60.0
    assert kept.due()
    kept.saved_at, kept.cost = 60.0, 0.9
    clock[0] = 149.0
    assert (kept.due(), kept.due(natural=True)) == (False, False)
    clock[0] = 151.0
    assert kept.due()

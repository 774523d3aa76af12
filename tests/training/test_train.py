"""Whole trainings on a few images: determinism, the best checkpoint, averages, divergence."""

import itertools
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from noisy_student.data.images import resize_image
from noisy_student.data.labelled import LabelledImages
from noisy_student.inference import metrics
from noisy_student.inference.predict import predict_probs
from noisy_student.models.networks.whitened_convnet import whitening_filters
from noisy_student.noise.pipeline import no_input_noise
from noisy_student.runtime.errors import DataError, DivergenceError, ParamsError
from noisy_student.settings import params
from noisy_student.training.batches import TrainingBatches
from noisy_student.training.examples import LabelledExamples
from noisy_student.training.phases import main_phase, round_length
from noisy_student.training.shares import student_shares, teacher_shares
from noisy_student.training.train import fit_rounds, train
from support import with_values

pytestmark = pytest.mark.usefixtures("one_block")
CLASSES = 3


def _images(n, *, seed):
    """Three easy classes: bright top, bright middle, bright bottom, on noise."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 90, (n, 9, 9, 3), dtype=np.uint8)
    labels = np.arange(n) % CLASSES
    for image, label in zip(images, labels, strict=True):
        image[3 * label : 3 * label + 3] += 140
    return LabelledImages(images[:, :8, :8], labels.astype(np.int64))


def _settings(digits, **values):
    small = {
        "precision": "float32",  # auto is that of the machine
        "data.image_size": 8,
        "teacher.model.width": 4,
        "student.model.width": 4,
        "teacher.steps": 12,
        "teacher.validate_every": 3,
        "student.steps": 12,
        "student.validate_every": 3,
        "teacher.batch_size": 12,
        "student.batch_size": 6,
    }
    return params.check(with_values(digits, {**small, **values}))


def _teacher(settings, *, name="teacher", initial=None, validation=None):
    labelled = _images(30, seed=0)
    return train(
        settings,
        settings.teacher,
        teacher_shares(settings.teacher, labelled, classes=CLASSES),
        name=name,
        labelled=labelled,
        validation=validation or _images(30, seed=1),
        classes=CLASSES,
        initial=initial,
    )


def _student(settings, **options):
    pool, probs = _images(40, seed=2).images, np.eye(CLASSES, dtype=np.float32)[np.arange(40) % CLASSES]
    labelled = _images(30, seed=0)
    shares = student_shares(
        settings.student,
        labelled,
        unlabelled=pool,
        probs=probs,
        rows=np.arange(40),
        kind="soft",
        classes=CLASSES,
    )
    return train(
        settings,
        settings.student,
        shares,
        name="student-gen1",
        labelled=labelled,
        validation=_images(30, seed=1),
        classes=CLASSES,
        **options,
    )


def _weights(trained):
    return np.concatenate([w.ravel() for w in trained.model.get_weights()])


@pytest.fixture(scope="module")
def teacher(digits, one_block):
    """A teacher of the settings as they are; not to be changed."""
    return _teacher(_settings(digits))


def test_same_seed_same_model_and_curves_another_seed_another(digits):
    settings = _settings(digits)
    first, again = _student(settings), _student(settings)
    other = _student(_settings(digits, seed=1))
    np.testing.assert_array_equal(_weights(first), _weights(again))
    assert first.history == again.history
    assert (_weights(first) != _weights(other)).any()


@pytest.mark.parametrize("select_by", ["loss", pytest.param("accuracy", marks=pytest.mark.slow), "last"])
def test_the_best_checkpoint_is_what_is_returned(digits, select_by):
    # labels of the validation images are shuffled, so that its loss rises while the training learns
    validation = _images(60, seed=1)
    wrong = LabelledImages(validation.images, np.roll(validation.labels, 1))
    trained = _teacher(_settings(digits, **{"teacher.select_by": select_by}), validation=wrong)
    probs = predict_probs(trained.model, wrong.images, batch_size=60)
    rows = trained.history
    best = {
        "loss": min(rows, key=lambda row: row["validation_loss"]),
        "accuracy": max(rows, key=lambda row: (row["validation_accuracy"], -row["validation_loss"])),
        "last": rows[-1],
    }[select_by]
    assert (best["step"] < rows[-1]["step"]) == (select_by != "last")
    assert trained.summary["best"] == best
    assert metrics.nll(probs, wrong.labels) == pytest.approx(best["validation_loss"], rel=1e-4)


def test_validation_images_change_nothing_where_the_last_weights_are_kept(digits):
    """With the moving average, and with the fine-tuning that follows."""
    tuned = {"teacher.finetune.epochs": 1.0, "teacher.finetune.batch_size": 10}
    settings = _settings(digits, **{"teacher.select_by": "last", "teacher.ema": 0.9, **tuned})
    images = _images(3, seed=1)
    none = LabelledImages(images.images[:0], images.labels[:0])
    validated, blind = _teacher(settings), _teacher(settings, validation=none)
    np.testing.assert_array_equal(_weights(validated), _weights(blind))
    of_training = [[row["train_loss"] for row in trained.history] for trained in (validated, blind)]
    assert of_training[0] == of_training[1]
    assert {row["validation_loss"] for row in blind.history} == {None}
    assert blind.summary["finetune"]["before"] == {}
    assert set(validated.summary["best"]) - set(blind.summary["best"]) == {"validation_loss", "validation_accuracy"}


def test_history_is_a_row_a_validation(teacher):
    assert [row["step"] for row in teacher.history] == [3, 6, 9, 12]
    assert teacher.history[-1]["validation_loss"] < 0.8 * np.log(CLASSES)  # the loss of who knows nothing


def test_average_of_weights_is_validated_while_training_goes_on_without_it(digits, teacher):
    """The plain weights must not be replaced by their average: both trainings see the same losses."""
    averaged = _teacher(_settings(digits, **{"teacher.ema": 0.9}))
    losses = [[row["train_loss"] for row in trained.history] for trained in (teacher, averaged)]
    np.testing.assert_array_equal(*losses)
    assert teacher.history[-1]["validation_loss"] != averaged.history[-1]["validation_loss"]


def test_average_by_hand(digits):
    """Two steps of plain SGD: the first makes the average, of which 2/11 stay in the second, whatever `ema` says."""
    values = {
        "teacher.steps": 1,
        "teacher.validate_every": 1,
        "teacher.optimizer.weight_decay": 0.0,
        "teacher.schedule": {"name": "constant"},
    }
    one = [_weights_after(digits, values, ema) for ema in (0.0, 0.75)]
    two = [_weights_after(digits, values | {"teacher.steps": 2, "teacher.validate_every": 2}, e) for e in (0, 0.75)]
    np.testing.assert_allclose(one[1], one[0], rtol=1e-5)
    np.testing.assert_allclose(two[1], 2 / 11 * one[0] + 9 / 11 * two[0], rtol=1e-4, atol=1e-6)


def test_a_short_training_with_a_long_average_learns_as_much_as_without(digits):
    """Without the warm-up the average would be the random weights: 0.99 of them to the power of 30 is 0.74."""
    values = {"student.noise": False, "student.steps": 30, "student.validate_every": 30}
    plain, averaged = (_student(_settings(digits, **values, **{"student.ema": ema})).history[-1] for ema in (0.0, 0.99))
    assert plain["validation_accuracy"] > 0.9
    assert averaged["validation_accuracy"] > plain["validation_accuracy"] - 0.1
    assert averaged["validation_loss"] < 0.5


def _weights_after(digits, values, ema):
    trained = _teacher(_settings(digits, **values, **{"teacher.ema": float(ema)}))
    return np.concatenate([np.asarray(w).ravel() for w in trained.model.trainable_weights])


def test_diverging_training_stops_with_step_and_rate(digits):
    settings = _settings(digits, **{"teacher.optimizer.learning_rate": 1e30, "teacher.schedule": {"name": "constant"}})
    with pytest.raises(DivergenceError, match=r"teacher: the loss became .* between steps \d+ and \d+ .*rate 1e\+30"):
        _teacher(settings)


def test_student_starts_from_its_teacher(digits, teacher):
    settings = _settings(
        digits,
        **{"student.optimizer.learning_rate": 1e-12, "student.noise": False, "student.init": "teacher"},
    )
    student = _student(settings, initial=teacher.model)
    trainable = [np.concatenate([np.asarray(w).ravel() for w in t.model.trainable_weights]) for t in (teacher, student)]
    np.testing.assert_allclose(*trainable, atol=1e-6)


def test_student_of_another_size_cannot_start_from_its_teacher(digits, teacher):
    with pytest.raises(ParamsError, match=r"student\.init"):
        _student(_settings(digits, **{"student.model.width": 8}), initial=teacher.model)


def test_a_network_is_fitted_to_the_labelled_images_at_the_size_of_the_training_or_has_its_teachers_weights(digits):
    model = {"name": "whitened_convnet", "stage1_filters": 2, "stage2_filters": 2, "stage3_filters": 4}
    values = {f"{section}.model": model for section in ("teacher", "student")}
    settings = _settings(digits, **values, **{"teacher.image_size": 12, "teacher.steps": 3, "student.steps": 3})
    teacher = _teacher(settings)
    resized = np.stack([resize_image(image, size=12) for image in _images(30, seed=0).images])
    expected = whitening_filters(resized, scale=1 / 127.5)
    np.testing.assert_array_equal(teacher.model.get_layer("stem_conv").kernel, expected)
    assert teacher.summary["trainable_parameters"] < teacher.summary["parameters"] - expected.size
    copied = _student(
        _settings(digits, **values, **{"student.image_size": 16, "student.steps": 3}), initial=teacher.model
    )
    np.testing.assert_array_equal(copied.model.get_layer("stem_conv").kernel, expected)


def test_mixes_make_the_batches_that_they_name(digits):
    sizes = {}
    for mix in ("ratio", "concat", "none"):
        student = _settings(digits, **{"student.mix": mix, "student.unlabelled_ratio": 1.5}).student
        shares = student_shares(
            student,
            _images(30, seed=0),
            unlabelled=_images(40, seed=2).images,
            probs=np.eye(CLASSES, dtype=np.float32)[np.arange(40) % CLASSES],
            rows=np.arange(40),
            kind="soft",
            classes=CLASSES,
        )
        sizes[mix] = [(share.name, len(share.examples), share.batch_size) for share in shares]
    assert sizes == {
        "ratio": [("labelled", 30, 6), ("pseudo", 40, 9)],
        "concat": [("concatenated", 70, 6)],
        "none": [("labelled", 30, 6)],
    }


def test_an_epoch_covers_the_longest_share(digits):
    values = {"teacher.epochs": 7, "teacher.steps": None, "teacher.validate_every": None}
    settings = _settings(digits, **values)
    shares = teacher_shares(settings.teacher, _images(30, seed=0), classes=CLASSES)
    assert round_length(settings.teacher, shares) == (3, 7)  # 30 images in batches of 12


def test_article_rules_reduce_the_rate_and_stop(digits):
    """From epoch 4 on: rate x 0.1 after 2 epochs, stop after 3, without a better validation loss."""
    values = {
        "teacher.epochs": 40,
        "teacher.steps": None,
        "teacher.validate_every": None,
        "teacher.optimizer": {"name": "adam", "learning_rate": 1e-20},  # only normalisation changes
        "teacher.schedule": {
            "name": "constant",
            "plateau_from_epoch": 4,
            "plateau_patience": 2,
            "stop_patience": 3,
        },
    }
    history = _teacher(_settings(digits, **values)).history
    losses = [row["validation_loss"] for row in history]
    waited, best = 0, np.inf
    for epoch, loss in enumerate(losses, start=1):
        if epoch >= 4:
            waited, best = (0, loss) if loss < best else (waited + 1, best)
    assert waited == 3
    assert 6 < len(history) < 40
    assert history[-1]["learning_rate"] == pytest.approx(1e-21)
    assert history[3]["learning_rate"] == pytest.approx(1e-20)


class _Scripted:
    """Stands for a model: says what it is told to, and which round it is as its weights."""

    def __init__(self, probs_by_round):
        self.probs_by_round, self.round = probs_by_round, -1
        self.optimizer = keras.optimizers.SGD(0.1)

    def fit(self, feed, **options):
        self.round += 1
        return SimpleNamespace(history={"loss": [1.0], "accuracy": [0.5]})

    def predict_on_batch(self, images):
        return np.log(self.probs_by_round[self.round])

    def get_weights(self):
        return self.round


@pytest.mark.parametrize(("select_by", "best"), [("loss", 1), ("accuracy", 0)])
def test_checkpoints_are_chosen_by_loss_or_by_accuracy(digits, select_by, best):
    """Round 0: all right, hardly sure. Round 1: sure of three, wrong on the fourth by a hair."""
    hardly, sure = [0.55, 0.45], [0.99, 0.01]
    model = _Scripted([np.array([hardly] * 4), np.array([sure, sure, sure, [0.49, 0.51]])])
    settings = _settings(digits, **{"teacher.select_by": select_by, "teacher.steps": 6})
    shares = teacher_shares(settings.teacher, _images(30, seed=0), classes=CLASSES)
    phase = main_phase(settings, settings.teacher, shares, name="teacher", stored=8)
    batches = TrainingBatches(shares, noise=no_input_noise(), round_steps=3, seed=0)
    validation = LabelledImages(np.zeros((4, 8, 8, 3), np.uint8), np.zeros(4, np.int64))
    state = fit_rounds(phase, model, model, batches, validation)
    assert [row["validation_accuracy"] for row in state.history] == [1.0, 0.75]
    assert (state.best_weights, state.best["step"]) == (best, 3 * (best + 1))


@pytest.mark.parametrize("error", [DataError("shard-00000.tar: damaged"), OSError(5, "Input/output error")], ids=str)
def test_what_making_a_batch_raises_is_raised_as_it_is(digits, monkeypatch, error):
    """TensorFlow makes an error of its own of it, which no stage knows for a user's."""
    calls, whole = itertools.count(), LabelledExamples.write

    def write(examples, rows, images, targets):
        if next(calls) > 3:
            raise error
        whole(examples, rows, images, targets)

    monkeypatch.setattr(LabelledExamples, "write", write)
    with pytest.raises(type(error)) as caught:
        _teacher(_settings(digits))
    assert caught.value is error


@pytest.mark.parametrize("ema", [0.0, pytest.param(0.5, marks=pytest.mark.slow)])
def test_noise_on_the_device_gives_the_training_that_noise_on_the_host_gives(digits, ema):
    on = {"teacher.noise": True, "augmentation.flip": True, "augmentation.crop": 1, "teacher.ema": ema}
    on |= {"augmentation.resized_crop": 0.4, "teacher.image_size": 12}  # the stored images have 8 pixels
    host, device = (_teacher(_settings(digits, **on, input_noise=where)) for where in ("host", "device"))
    plain = _teacher(_settings(digits, **on | {"teacher.noise": False}, input_noise="host"))
    losses = [[row["train_loss"] for row in trained.history] for trained in (host, device, plain)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
    assert losses[0] != pytest.approx(losses[2], rel=1e-2)
    validated = [[row["validation_loss"] for row in trained.history] for trained in (host, device)]
    assert validated[0] == pytest.approx(validated[1], rel=1e-3)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="other backends make no graph of their own")
def test_a_step_is_traced_once(digits, monkeypatch):
    """A graph that is made twice costs as much as a hundred steps of a small network."""
    traced, step = [], keras.Model.train_step
    monkeypatch.setattr(keras.Model, "train_step", lambda model, data: traced.append(model) or step(model, data))
    _teacher(_settings(digits, **{"teacher.noise": True}))
    assert len(traced) == 1

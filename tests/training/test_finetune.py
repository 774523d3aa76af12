"""Fine-tuning after a training, trainings at another image size, and pretraining."""

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import accuracy_score, log_loss

from noisy_student.data.labelled import LabelledImages
from noisy_student.models.build import build, model_noise, transfer_weights
from noisy_student.models.checks import check_training
from noisy_student.runtime.checkpoints import Checkpoints
from noisy_student.runtime.errors import ParamsError
from noisy_student.settings import params
from noisy_student.training import train
from noisy_student.training.shares import student_shares, teacher_shares
from support import with_values

CLASSES = 3
SETTINGS = {
    "precision": "float32",
    "data.image_size": 12,
    "teacher.noise": True,
    "teacher.model.width": 4,
    "teacher.image_size": 8,
    "teacher.steps": 8,
    "teacher.validate_every": 4,
    "teacher.batch_size": 12,
    "teacher.select_by": "loss",
}
TUNED = {
    "epochs": 1.5,
    "image_size": 12,
    "augment": False,
    "freeze_blocks": 2,
    "batch_size": 8,
    "learning_rate": 0.05,
}


def _images(number, *, seed, side=12):
    rng = np.random.default_rng(seed)
    labels = np.arange(number) % CLASSES
    images = rng.integers(0, 60, (number, side, side, 3), dtype=np.uint8)
    for label, image in zip(labels, images, strict=True):
        image[3 * label : 3 * label + 3] += 140
    return LabelledImages(images, labels.astype(np.int64))


LABELLED, VALIDATION = _images(30, seed=0), _images(21, seed=1)


def _settings(digits, **tuning):
    return params.check(with_values(digits, SETTINGS | {"teacher.finetune": TUNED | tuning}))


def _train(settings, kept=None):
    return train.train(
        settings,
        settings.teacher,
        teacher_shares(settings.teacher, LABELLED, classes=CLASSES),
        name="teacher",
        labelled=LABELLED,
        validation=VALIDATION,
        classes=CLASSES,
        checkpoints=kept,
    )


@pytest.fixture(scope="module")
def before(digits):
    """The training without fine-tuning."""
    return _train(_settings(digits, epochs=0.0))


@pytest.fixture(scope="module")
def tuned(digits):
    return _train(_settings(digits))


def _figures(model):
    """Loss and accuracy on the validation images, by scikit-learn."""
    side = model.input_shape[1]
    images = [Image.fromarray(i).resize((side, side), Image.Resampling.BICUBIC) for i in VALIDATION.images]
    probs = model.predict(np.stack(images), verbose=0)
    loss = log_loss(VALIDATION.labels, probs.astype(np.float64), labels=range(CLASSES))
    return {
        "validation_loss": pytest.approx(loss, rel=1e-4),
        "validation_accuracy": accuracy_score(VALIDATION.labels, probs.argmax(axis=1)),
    }


def test_a_training_at_another_size_than_the_stored_one(before):
    assert before.model.input_shape == (None, 8, 8, 3)
    assert {key: before.summary["best"][key] for key in ("validation_loss", "validation_accuracy")} == _figures(
        before.model
    )
    assert "finetune" not in before.summary


def test_figures_before_and_after_are_those_of_the_models(digits, before, tuned):
    settings = _settings(digits)
    same_weights = build(
        settings.teacher.model,
        classes=CLASSES,
        image_size=12,
        mode="inference",
        **model_noise(settings.noise),
    )
    transfer_weights(before.model, same_weights)
    record = tuned.summary["finetune"]
    assert record["before"] == _figures(same_weights)
    assert record["after"] == _figures(tuned.model)
    assert record["before"] != record["after"]
    assert (record["image_size"], tuned.summary["image_size"], tuned.model.input_shape[1]) == (12, 12, 12)
    assert record["steps"] == 6  # 1.5 epochs of 30 images at 8 a step are 5.6
    assert tuned.history[:-1] == before.history
    assert (tuned.history[-1]["step"], tuned.summary["steps"]) == (14, 14)
    assert tuned.summary["best"] == before.summary["best"]


slow = pytest.mark.slow


@pytest.mark.parametrize(
    ("blocks", "coin"),
    [(2, "batch"), pytest.param(1, "sample", marks=slow), pytest.param(0, "batch", marks=slow)],
)
def test_stem_and_first_blocks_stay_as_they_are(digits, blocks, coin):
    depth = {"noise.stochastic_depth": {"survival_probability": 0.5, "coin": coin}}
    first, second = (
        _train(params.check(with_values(digits, SETTINGS | depth | {"teacher.finetune": TUNED | tuning})))
        for tuning in ({"epochs": 0.0}, {"freeze_blocks": blocks})
    )
    kept = ("stem_", *(f"stage{n}_" for n in range(1, blocks + 1)))  # depth 8: a block a stage
    compared = 0
    for one, other in zip(first.model.layers, second.model.layers, strict=True):
        for old, new in zip(one.get_weights(), other.get_weights(), strict=True):
            compared += 1
            assert np.array_equal(old, new) == one.name.startswith(kept), one.name
    assert compared > 30


def test_it_sees_labelled_images_as_they_are(digits, monkeypatch):
    made = []
    real = train.TrainingBatches
    monkeypatch.setattr(train, "TrainingBatches", lambda *a, **k: made.append(real(*a, **k)) or made[-1])
    _train(_settings(digits, image_size=None))
    _train(_settings(digits, image_size=None, augment=True))
    own = {Image.fromarray(i).resize((8, 8), Image.Resampling.BICUBIC).tobytes() for i in LABELLED.images}
    seen = [{image.tobytes() for image in batches[0][0]} for batches in made]
    assert [found <= own for found in seen] == [False, True, False, False]  # training, tuning, twice
    assert [len(batches[0][0]) for batches in made[:2]] == [12, 8]


def test_a_resized_crop_goes_from_the_stored_images_to_the_size_of_each_phase(digits, monkeypatch):
    made = []
    real = train.TrainingBatches
    monkeypatch.setattr(train, "TrainingBatches", lambda *a, **k: made.append(real(*a, **k)) or made[-1])
    changes = {"augmentation.resized_crop": 0.3, "teacher.finetune": TUNED | {"augment": True, "epochs": 0.5}}
    changes |= {"teacher.steps": 2, "teacher.validate_every": 2}
    trained = _train(params.check(with_values(digits, SETTINGS | changes)))
    assert [(batches.shares[0].examples.shape[0], *batches[0][0].shape) for batches in made] == [
        (12, 12, 8, 8, 3),  # stored at 12 pixels; the training
        (12, 8, 12, 12, 3),  # the fine-tuning
    ]
    assert trained.model.input_shape[1] == 12


@pytest.mark.parametrize(
    "step",
    [pytest.param(("training", 8), marks=slow), ("finetune", 2), pytest.param(("finetune", 6), marks=slow)],
)
def test_killed_before_within_and_at_the_end_of_it(digits, tmp_path, monkeypatch, tuned, step):
    class Killed(BaseException):
        pass

    monkeypatch.setattr(train, "steps_per_execution", lambda round_steps, most: min(2, most))
    save = Checkpoints.save

    def dying(self, number, *arguments, **options):
        written = save(self, number, *arguments, **options)
        if (self.folder.name, number) == step:
            raise Killed
        return written

    settings = _settings(digits)
    kept = Checkpoints(tmp_path / "training", every_minutes=0)
    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "save", dying)
        with pytest.raises(Killed):
            _train(settings, kept)
    kept = Checkpoints(tmp_path / "training", every_minutes=0)
    trained = _train(settings, kept)
    assert kept.resumed_from == (8 if step[0] == "training" else 8 + step[1])
    for one, other in zip(trained.model.get_weights(), tuned.model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert (trained.history, trained.summary) == (tuned.history, tuned.summary)


def test_more_blocks_than_there_are(digits):
    with pytest.raises(ParamsError, match=r"teacher\.finetune\.freeze_blocks=4: resnet has only 3 blocks"):
        _train(_settings(digits, freeze_blocks=4))


NET = {"name": "efficientnet", "width_coefficient": 0.25, "depth_coefficient": 0.5}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, r"data\.image_size=12: too small for efficientnet, .* 32 times"),
        ({"image_size": 16}, r"teacher\.image_size=16: too small"),
        (
            {"image_size": 32, "finetune": TUNED | {"image_size": 16}},
            r"teacher\.finetune\.image_size=16: too",
        ),
        (
            {"image_size": 32, "finetune": TUNED | {"image_size": 32, "freeze_blocks": 11}},
            "has only 10 blocks",
        ),
    ],
)
def test_sizes_are_checked_before_anything_is_trained(digits, values, message):
    own = {f"teacher.{key}": value for key, value in {"model": NET, "image_size": None, **values}.items()}
    settings = params.check(with_values(digits, SETTINGS | own))
    with pytest.raises(ParamsError, match=message):
        check_training(settings.teacher, settings.data.image_size, where="teacher")


def test_pretraining_uses_pseudo_labels_only_and_tuning_labels_only(digits, monkeypatch):
    made = []
    real = train.TrainingBatches
    monkeypatch.setattr(train, "TrainingBatches", lambda *a, **k: made.append(real(*a, **k)) or made[-1])
    values = {key.replace("teacher.", "student."): value for key, value in SETTINGS.items()}
    values |= {"student.mix": "pseudo", "student.finetune": TUNED | {"image_size": 12}}
    values |= {"student.noise": False, "student.image_size": None, "augmentation.crop": 0}
    settings = params.check(with_values(digits, values))
    pool = _images(40, seed=2)
    shares = student_shares(
        settings.student,
        LABELLED,
        unlabelled=pool.images,
        probs=np.eye(CLASSES, dtype=np.float32)[pool.labels],
        rows=np.arange(40),
        kind="soft",
        classes=CLASSES,
    )
    images = {"labelled": LABELLED, "validation": VALIDATION}
    train.train(settings, settings.student, shares, name="student-gen1", classes=CLASSES, **images)
    for batches, expected in zip(made, (pool, LABELLED), strict=True):
        known = {image.tobytes() for image in expected.images}
        assert all(image.tobytes() in known for image in batches[0][0])

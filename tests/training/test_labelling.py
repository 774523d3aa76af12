"""Predicting many images, and the teacher's labels with and without noise."""

import shutil
import tracemalloc

import keras
import numpy as np
import pytest
from keras.ops import convert_to_numpy
from PIL import Image, ImageOps

from noisy_student import backends
from noisy_student.inference.predict import (
    Predictor,
    automatic_batch_size,
    predict_logits,
    predict_probs,
    to_probs,
)
from noisy_student.inference.saving import save
from noisy_student.models.build import build
from noisy_student.runtime import checkpoints, layout
from noisy_student.runtime.checkpoints import Checkpoints
from noisy_student.runtime.errors import UserError
from noisy_student.runtime.files import array_writer, read_array, write_array, write_json
from noisy_student.settings import params
from noisy_student.steps.labelling import label_pool
from support import sized, with_values

MIRRORED = {"teacher.model.width": 4, "pseudolabel.batch_size": 8, "pseudolabel.test_time_augmentation": "flip"}
IMAGES = np.random.default_rng(0).integers(0, 256, (23, 16, 16, 3), dtype=np.uint8)


def _unsettled(model):
    """The model with random normalisation, as after a training: fresh statistics would hide mistakes."""
    rng = np.random.default_rng(1)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([rng.uniform(0.5, 1.5, weight.shape) for weight in layer.get_weights()])
    return model


@pytest.fixture
def teacher(digits, tmp_path, monkeypatch):
    """A saved teacher of random weights in an empty folder; its parameters and itself."""
    monkeypatch.chdir(tmp_path)
    settings = params.check(with_values(digits, {"teacher.model.width": 4, "pseudolabel.batch_size": 8}))
    model = build(settings.teacher.model, mode="inference", classes=10, image_size=16, seed=1)
    save(_unsettled(model), layout.TEACHER.path)
    write_json(layout.CLASSES, [str(digit) for digit in range(10)])
    return settings, model


def _labels(settings, images=IMAGES):
    write_array(layout.UNLABELLED / "images.npy", images)
    label_pool(settings, "gen1")
    return np.array(read_array(layout.pseudo_labels("gen1") / "shard-00000.npy"))


def _noised(digits, **values):
    changes = {"teacher.model.width": 4, "pseudolabel.batch_size": 8, "pseudolabel.noise": True, **values}
    return params.check(with_values(digits, changes))


@pytest.mark.parametrize("batch_size", [1, 8, 23, 100, "auto"])
def test_batches_do_not_change_the_result(teacher, batch_size):
    whole = teacher[1].predict(IMAGES, verbose=0)
    np.testing.assert_allclose(predict_probs(teacher[1], IMAGES, batch_size=batch_size), whole, atol=1e-6)


def test_all_batches_have_the_same_shape(teacher, monkeypatch):
    """So that nothing is compiled twice, which takes seconds with XLA."""
    model, framework, shapes = teacher[1], backends.current(), []
    step = framework.forward(model)
    monkeypatch.setattr(framework, "forward", lambda _: lambda batch: shapes.append(batch.shape) or step(batch))
    predict_probs(model, IMAGES, batch_size=10)
    assert shapes == 3 * [(10, 16, 16, 3)]
    shapes.clear()
    monkeypatch.setattr(model, "predict_on_batch", lambda batch: shapes.append(batch.shape) or step(batch))
    predict_logits(model, IMAGES, batch_size=10)
    assert shapes == 3 * [(8, 16, 16, 3)]  # shared out: 24 instead of 30 images for 23


def test_probabilities_do_not_depend_on_the_images_around(teacher):
    """Bit for bit: the last batch is filled up, so every batch is computed in the same way."""
    whole = predict_probs(teacher[1], IMAGES, batch_size=8)
    np.testing.assert_array_equal(predict_probs(teacher[1], IMAGES[:9], batch_size=8), whole[:9])
    np.testing.assert_array_equal(predict_probs(teacher[1], IMAGES[8:11], batch_size=8), whole[8:11])


def test_present_weights_are_used(teacher):
    model = teacher[1]
    before = predict_probs(model, IMAGES, batch_size=8)
    model.set_weights([weight + 0.01 for weight in model.get_weights()])
    after = predict_probs(model, IMAGES, batch_size=8)
    np.testing.assert_allclose(after, model.predict(IMAGES, verbose=0), atol=1e-6)
    assert np.abs(after - before).max() > 1e-3


def test_logits_of_a_training_model(teacher):
    settings, model = teacher
    training = build(settings.teacher.model, classes=10, image_size=16, seed=1)
    training.set_weights(model.get_weights())
    logits = predict_logits(training, IMAGES, batch_size=8)  # 8, 8, 7
    np.testing.assert_allclose(to_probs(logits), model.predict(IMAGES, verbose=0), atol=1e-6)


def test_labelling_is_un_noised(teacher):
    settings, model = teacher
    np.testing.assert_allclose(_labels(settings), model.predict(IMAGES, verbose=0), atol=1e-6)


def test_flips_are_averaged_where_that_is_asked_for(teacher, digits):
    """The oracle is Pillow's mirror image and Keras' own prediction."""
    settings = params.check(with_values(digits, MIRRORED))
    mirrored = np.stack([np.asarray(ImageOps.mirror(Image.fromarray(image))) for image in IMAGES])
    plain, other = (teacher[1].predict(images, verbose=0) for images in (IMAGES, mirrored))
    assert np.abs(plain - other).max() > 1e-3
    np.testing.assert_allclose(_labels(settings), (plain + other) / 2, atol=1e-6)
    twice = _labels(settings, mirrored)  # of a mirror image the same, to the bit: a sum has no order
    np.testing.assert_array_equal(twice, _labels(settings))


def test_flips_are_averaged_over_what_noise_has_made(teacher, digits):
    only_input = {"noise.dropout": 0.0, "noise.stochastic_depth.survival_probability": 1.0}
    noised, averaged = (_labels(_noised(digits, **only_input, **more)) for more in ({}, MIRRORED))
    seen = averaged * 2 - noised  # what is left is said of the mirror images: a distribution
    assert seen.min() > -1e-6
    assert np.abs(averaged - noised).max() > 1e-3


def test_noised_labelling_is_noised_and_repeatable(teacher, digits):
    clean = _labels(teacher[0])
    noised, again = (_labels(_noised(digits)) for _ in range(2))
    np.testing.assert_array_equal(noised, again)
    assert np.abs(noised - clean).max() > 0.01
    np.testing.assert_allclose(noised.sum(axis=1), 1.0, atol=1e-5)


def test_noise_in_the_network_differs_from_batch_to_batch(teacher, digits):
    only_dropout = {
        "noise.randaugment.ops": 0,
        "noise.stochastic_depth.survival_probability": 1.0,
        "pseudolabel.batch_size": 1,
    }
    twins = _labels(_noised(digits, **only_dropout), np.repeat(IMAGES[:1], 8, axis=0))
    assert len(np.unique(twins, axis=0)) > 4


def test_noise_of_an_image_depends_on_its_row_only(teacher, digits):
    """Neither on the batch size nor on the pool: the draws are made by keys."""
    only_input = {"noise.dropout": 0.0, "noise.stochastic_depth.survival_probability": 1.0}
    by_eight = _labels(_noised(digits, **only_input))
    by_five = _labels(_noised(digits, **only_input, **{"pseudolabel.batch_size": 5}))
    np.testing.assert_allclose(by_five, by_eight, atol=1e-6)
    assert np.abs(by_eight - _labels(teacher[0])).max() > 0.01
    twins = _labels(_noised(digits, **only_input), np.repeat(IMAGES[:1], 8, axis=0))
    assert len(np.unique(twins, axis=0)) > 4


def test_noised_labelling_without_any_noise_is_un_noised(teacher, digits):
    """So batch normalisation is not in training mode."""
    off = {
        "noise.randaugment.ops": 0,
        "noise.dropout": 0.0,
        "noise.stochastic_depth.survival_probability": 1.0,
    }
    np.testing.assert_allclose(_labels(_noised(digits, **off)), _labels(teacher[0]), atol=1e-6)


def test_an_empty_pool_is_refused_and_nothing_written(teacher, tmp_path):
    with pytest.raises(UserError, match=r"pseudolabel gen1: there are 0 images.*data\.unlabelled_from"):
        _labels(teacher[0], IMAGES[:0])
    assert not list(tmp_path.glob("data/prepared/pseudo_labels/*"))
    assert not checkpoints.present()


def _network(name, depth, width, size):
    return build(sized(name, depth, width), mode="inference", classes=10, image_size=size)


@pytest.mark.parametrize(
    ("network", "on_cpu", "on_accelerator"),
    [
        # float32 bytes of an image after the first convolution, by hand: side * side * filters * 4
        (("resnet", 8, 16, 16), 512, 4096),  # 16 KiB: 2**23 / 2**14; 2**28 / 2**14 is cut to the most
        (("resnet", 8, 16, 32), 128, 4096),  # 64 KiB
        (("wide_resnet", 10, 2, 32), 64, 2048),  # 32 filters in its first stage: 128 KiB
        (("resnet", 8, 1, 24), 1024, 4096),  # the normalised image itself, 6,912 bytes: 1,213 fit
        (("resnet", 8, 16, 400), 4, 16),  # 10.24 MB: none fits, but never fewer than 4; 26 fit
    ],
)
def test_automatic_batch_size_by_hand(network, on_cpu, on_accelerator):
    model = _network(*network)
    assert automatic_batch_size(model, accelerator=False) == on_cpu
    assert automatic_batch_size(model, accelerator=True) == on_accelerator


def test_images_of_another_size_are_resized_as_pillow_does(teacher):
    small = IMAGES[:, :12, :12]
    enlarged = np.stack([Image.fromarray(image).resize((16, 16), Image.Resampling.BICUBIC) for image in small])
    expected = predict_probs(teacher[1], enlarged, batch_size=8)
    np.testing.assert_array_equal(predict_probs(teacher[1], small, batch_size=8), expected)
    np.testing.assert_array_equal(Predictor(teacher[1], batch_size=8)(small), expected)


def test_a_model_that_gives_nan_is_refused(teacher):
    _, model = teacher
    model.set_weights([np.full_like(weight, np.nan) for weight in model.get_weights()])
    with pytest.raises(UserError, match="NaN"):
        predict_probs(model, IMAGES, batch_size=8)


def test_neither_images_nor_labels_are_in_memory_as_a_whole(tmp_path):
    """The pool has 61 MB, the labels 80 MB; the framework's own memory is not counted here."""
    images = keras.Input((32, 32, 3), dtype="uint8")
    pooled = keras.layers.GlobalAveragePooling2D()(keras.layers.Rescaling(1 / 255)(images))
    model = keras.Model(images, keras.layers.Dense(1000, "softmax")(pooled))
    with array_writer(tmp_path / "pool.npy", shape=(20_000, 32, 32, 3), dtype="uint8") as pool:
        pool[::100] = 255
    pool = read_array(tmp_path / "pool.npy")
    tracemalloc.start()
    with array_writer(tmp_path / "probs.npy", shape=(20_000, 1000), dtype="float32") as probs:
        predict_probs(model, pool, batch_size=256, out=probs)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16e6
    found = read_array(tmp_path / "probs.npy")
    np.testing.assert_allclose(found[::5000], model.predict(pool[::5000], verbose=0), atol=1e-6)


def test_one_image_that_gives_nan_is_enough():
    """In whatever batch it is."""
    images = keras.Input((2, 2, 3), dtype="uint8")
    brightness = keras.layers.GlobalMaxPooling2D()(keras.layers.Rescaling(1.0)(images))
    model = keras.Model(images, keras.layers.Lambda(lambda x: x / (255.0 - x) * 0.0)(brightness))  # 0 / 0
    dark = np.zeros((9, 2, 2, 3), np.uint8)
    predict_probs(model, dark, batch_size=4)
    dark[5] = 255
    with pytest.raises(UserError, match="predict: the model gives NaN"):
        predict_probs(model, dark, batch_size=4)


def test_softmax_is_that_of_keras():
    logits = np.random.default_rng(0).normal(scale=30, size=(5, 4)).astype(np.float32)
    np.testing.assert_allclose(to_probs(logits), convert_to_numpy(keras.ops.softmax(logits)), atol=1e-6)


class _Killed(BaseException):
    """Stands for SIGKILL."""


def _killed_after(monkeypatch, shards):
    """Let labelling die after so many shards."""
    real, seen = Checkpoints.save, []

    def save(self, *arguments, **options):
        written = real(self, *arguments, **options)
        seen.append(self)
        if len(seen) == shards:
            raise _Killed
        return written

    monkeypatch.setattr(Checkpoints, "save", save)
    return seen


@pytest.mark.parametrize("noised", [False, True])
def test_a_killed_labelling_goes_on_to_the_same_bytes(teacher, digits, tmp_path, monkeypatch, noised):
    """Killed after 8 rows, then after 16; then the second shard is damaged: its rows are labelled again."""
    settings = params.check(
        with_values(
            digits,
            {
                "teacher.model.width": 4,
                "pseudolabel.batch_size": 4,
                "pseudolabel.noise": noised,
                "checkpoint.every_minutes": 0.0,
                "noise.dropout": 0.5,
                "noise.stochastic_depth.survival_probability": 0.5,
            },
        )
    )
    whole = _labels(settings)
    shutil.rmtree(layout.pseudo_labels("gen1"))
    for _ in range(2):
        with monkeypatch.context() as patch:
            _killed_after(patch, 2)
            with pytest.raises(_Killed):
                _labels(settings)
    (folder,) = (tmp_path / "checkpoints/pseudolabel@gen1").iterdir()
    shards = sorted(folder.rglob("*.npz"))
    assert [int(path.name[:12]) for path in shards] == [0, 4, 8, 12]
    assert checkpoints.present()[0]["done"] == f"16 of {len(whole)} rows"  # the newest is named by its first, 12
    shards[1].write_bytes(shards[1].read_bytes()[:-1])
    with monkeypatch.context() as patch:
        _killed_after(patch, 4)  # it reaches row 20, past the shards that lay behind the damaged one
        with pytest.raises(_Killed):
            _labels(settings)
    assert [int(path.name[:12]) for path in sorted(folder.rglob("*.npz"))] == [0, 4, 8, 12, 16]
    np.testing.assert_array_equal(_labels(settings), whole)
    assert not checkpoints.present()
    assert not list(tmp_path.rglob(".tmp-*"))

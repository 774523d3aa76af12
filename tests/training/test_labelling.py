"""Predicting many images, and the teacher's labels with and without noise."""

import keras
import numpy as np
import pytest
from keras.ops import convert_to_numpy

from noisy_student import layout, params
from noisy_student.errors import UserError
from noisy_student.models.build import build
from noisy_student.models.saving import save
from noisy_student.predict import predict_probs, to_probs
from noisy_student.pseudo_label import pseudo_label
from support import with_values

IMAGES = np.random.default_rng(0).integers(0, 256, (23, 16, 16, 3), dtype=np.uint8)


@pytest.fixture
def teacher(digits, tmp_path, monkeypatch):
    """A saved teacher of random weights in an empty folder; its parameters and itself."""
    monkeypatch.chdir(tmp_path)
    settings = params.check(with_values(digits, {"teacher.model.width": 4, "pseudolabel.batch_size": 8}))
    model = build(settings.teacher.model, mode="inference", classes=10, image_size=16, seed=1)
    save(model, layout.model("teacher"))
    return settings, model


def _noised(digits, **values):
    changes = {"teacher.model.width": 4, "pseudolabel.batch_size": 8, "pseudolabel.noise": True, **values}
    return params.check(with_values(digits, changes))


def test_batches_do_not_change_the_result(teacher):
    _, model = teacher
    whole = convert_to_numpy(model(IMAGES))
    np.testing.assert_allclose(predict_probs(model, IMAGES, batch_size=8), whole, atol=1e-6)


def test_labelling_is_un_noised(teacher):
    settings, model = teacher
    np.testing.assert_allclose(
        pseudo_label(settings, "gen1", IMAGES), convert_to_numpy(model(IMAGES)), atol=1e-6
    )


def test_noised_labelling_is_noised_and_repeatable(teacher, digits):
    clean = pseudo_label(teacher[0], "gen1", IMAGES)
    noised, again = (pseudo_label(_noised(digits), "gen1", IMAGES) for _ in range(2))
    np.testing.assert_array_equal(noised, again)
    assert np.abs(noised - clean).max() > 0.01
    np.testing.assert_allclose(noised.sum(axis=1), 1.0, atol=1e-5)


def test_noised_labelling_without_any_noise_is_un_noised(teacher, digits):
    """So batch normalisation is not in training mode."""
    off = {
        "noise.randaugment.ops": 0,
        "noise.dropout": 0.0,
        "noise.stochastic_depth.survival_probability": 1.0,
    }
    clean = pseudo_label(teacher[0], "gen1", IMAGES)
    np.testing.assert_allclose(pseudo_label(_noised(digits, **off), "gen1", IMAGES), clean, atol=1e-6)


def test_images_of_another_size_are_refused(teacher):
    with pytest.raises(UserError, match=r"\(16, 16, 3\), found \(12, 12, 3\)"):
        predict_probs(teacher[1], IMAGES[:, :12, :12], batch_size=8)


def test_a_model_that_gives_nan_is_refused(teacher):
    _, model = teacher
    model.set_weights([np.full_like(weight, np.nan) for weight in model.get_weights()])
    with pytest.raises(UserError, match="NaN"):
        predict_probs(model, IMAGES, batch_size=8)


def test_softmax_is_that_of_keras():
    logits = np.random.default_rng(0).normal(scale=30, size=(5, 4)).astype(np.float32)
    np.testing.assert_allclose(to_probs(logits), convert_to_numpy(keras.ops.softmax(logits)), atol=1e-6)

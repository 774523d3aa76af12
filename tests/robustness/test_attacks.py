"""FGSM and PGD: the closed form on a linear model, and the ball."""

import keras
import numpy as np
import pytest
from keras import ops
from PIL import Image

from noisy_student import backends
from noisy_student.robustness import attacks
from noisy_student.robustness.measure import Subject, attack

RNG = np.random.default_rng(0)
WEIGHTS = RNG.normal(size=(4 * 4 * 3, 3)).astype(np.float32) / 50


def linear():
    """uint8 images to the softmax of a linear map."""
    images = keras.Input((4, 4, 3), dtype="uint8")
    x = keras.layers.Rescaling(1 / 100, offset=-1.0, dtype="float32")(images)
    x = keras.layers.Flatten()(x)
    x = keras.layers.Dense(3, use_bias=False, name="logits")(x)
    model = keras.Model(images, keras.layers.Softmax()(x))
    model.get_layer("logits").set_weights([WEIGHTS])
    return model


def gradient_of(network):
    def loss(images, labels):
        return attacks.cross_entropy(network(images, training=False), labels)

    return backends.current().input_gradient(loss)


def example(number=6):
    images = RNG.integers(0, 256, (number, 4, 4, 3)).astype(np.float32)
    images[0, 0] = 255
    images[1, 0] = 0
    return images, RNG.integers(0, 3, number).astype(np.int32)


def test_logits_model_shares_weights_and_takes_pixels():
    model = linear()
    network = attacks.logits_model(model)
    images = RNG.integers(0, 256, (5, 4, 4, 3)).astype(np.uint8)
    logits = ops.convert_to_numpy(network(images.astype(np.float32)))
    assert np.allclose(logits, (images / 100 - 1).reshape(5, -1) @ WEIGHTS, atol=1e-4)
    assert np.allclose(ops.convert_to_numpy(model(images)), ops.convert_to_numpy(ops.softmax(logits)), atol=1e-5)
    model.get_layer("logits").set_weights([0 * WEIGHTS])
    assert np.abs(ops.convert_to_numpy(network(images.astype(np.float32)))).max() == 0
    with pytest.raises(ValueError, match="not in a softmax"):
        attacks.logits_model(keras.Model(model.inputs[0], model.get_layer("logits").output))


def test_fgsm_on_a_linear_model_is_the_closed_form():
    images, labels = example()
    gradient = gradient_of(attacks.logits_model(linear()))
    logits = (images / 100 - 1).reshape(len(images), -1) @ WEIGHTS
    probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    direction = ((probs - np.eye(3)[labels]) @ WEIGHTS.T).reshape(images.shape)
    found = ops.convert_to_numpy(gradient(*map(ops.convert_to_tensor, (images, labels))))
    assert np.allclose(found, direction / 100, atol=1e-6)
    for epsilon in (1, 8):
        tensors = map(ops.convert_to_tensor, (images, labels))
        attacked = ops.convert_to_numpy(attacks.fgsm(gradient, *tensors, epsilon))
        assert np.array_equal(attacked, np.clip(images + epsilon * np.sign(direction), 0, 255))


def test_pgd_stays_in_the_ball_and_is_stronger_than_its_start():
    images, labels = example(20)
    network = attacks.logits_model(linear())
    start = RNG.uniform(-1, 1, images.shape).astype(np.float32)
    tensors = [ops.convert_to_tensor(a) for a in (images, labels)]
    for epsilon in (1, 4, 16):
        begun = ops.convert_to_numpy(
            attacks.pgd(gradient_of(network), *tensors, epsilon, ops.convert_to_tensor(start), steps=0)
        )
        assert np.allclose(begun, np.clip(images + epsilon * start, 0, 255), atol=1e-4)
        attacked = ops.convert_to_numpy(
            attacks.pgd(gradient_of(network), *tensors, epsilon, ops.convert_to_tensor(start))
        )
        assert np.abs(attacked - images).max() <= epsilon + 1e-4
        assert attacked.min() >= 0
        assert attacked.max() <= 255

        def loss(x):
            return float(attacks.cross_entropy(network(x), ops.convert_to_tensor(labels)))

        assert loss(attacked) > loss(begun) > 0
        # a linear model's worst image is a corner of the ball: ten steps of a quarter reach it
        corner = ops.convert_to_numpy(attacks.fgsm(gradient_of(network), *tensors, epsilon))
        assert np.mean(np.abs(attacked - corner) < 1e-3) > 0.9


def test_accuracy_falls_with_epsilon_and_batches_do_not_matter():
    model = linear()
    images = RNG.integers(0, 256, (50, 4, 4, 3)).astype(np.uint8)
    labels = ops.convert_to_numpy(model(images)).argmax(axis=1)
    rows = np.arange(50)
    for kind in ("fgsm", "pgd"):
        found = [
            attack(Subject(model, batch_size=16), images, labels, rows, kind, epsilon, seed=0)["correct"]
            for epsilon in (0, 1, 4, 16, 64)
        ]
        accuracy = [c.mean() for c in found]
        assert accuracy[0] == 1.0
        assert accuracy == sorted(accuracy, reverse=True)
        assert accuracy[-1] < 0.5
        again = attack(Subject(model, batch_size=7), images, labels, rows, kind, 4, seed=0)["correct"]
        assert np.array_equal(again, found[2])


def test_a_model_that_is_sure_has_a_gradient():
    """Through the softmax's outputs it would be 0, and the attack none."""
    model = linear()
    model.get_layer("logits").set_weights([WEIGHTS * 500])
    images, labels = example(20)
    labels = ops.convert_to_numpy(model(images.astype(np.uint8))).argmax(axis=1).astype(np.int32)
    found = gradient_of(attacks.logits_model(model))(*map(ops.convert_to_tensor, (images, labels)))
    assert (np.abs(ops.convert_to_numpy(found)).max(axis=(1, 2, 3)) > 0).mean() > 0.8


def test_a_model_of_another_size_is_attacked_at_its_own():
    """Fine-tuned models may be larger than the stored images: those are resized as for labelling."""
    stored = RNG.integers(0, 256, (9, 7, 7, 3), dtype=np.uint8)
    resized = np.stack([Image.fromarray(i).resize((4, 4), Image.Resampling.BICUBIC) for i in stored])
    labels, rows, subject = RNG.integers(0, 3, 9), np.arange(9), Subject(linear(), batch_size=4)
    for kind, epsilon in (("fgsm", 0), ("fgsm", 8), ("pgd", 8)):
        first, second = (
            attack(subject, images, labels, rows, kind, epsilon, seed=0)["correct"] for images in (stored, resized)
        )
        np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(subject.probs(stored), subject.probs(resized))

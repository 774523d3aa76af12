"""A small network and a few images, shared by the tests of the models."""

import keras
import numpy as np
import pytest

from noisy_student.models.build import build
from noisy_student.settings.schema import ModelParams

SMALL = ModelParams(name="resnet", depth=8, width=4)
NOISE = {"survival_probability": 0.5, "dropout": 0.5}


@pytest.fixture
def images():
    """uint8 (6, 16, 16, 3)"""
    return np.random.default_rng(0).integers(0, 256, (6, 16, 16, 3), dtype=np.uint8)


@pytest.fixture
def small():
    """`build` for a ResNet-8 of width 4 on 16x16 images and 5 classes."""
    return lambda **changes: build(SMALL, **{"classes": 5, "image_size": 16, **changes})


@pytest.fixture
def run():
    """Call a model, get NumPy."""
    return lambda model, *args, **kwargs: keras.ops.convert_to_numpy(model(*args, **kwargs))


@pytest.fixture
def trained(small, images):
    """A training build with noise whose weights and running statistics all differ from the initial ones."""
    model = small(**NOISE, seed=3)
    draw = np.random.default_rng(1)
    for layer in model.layers:
        layer.set_weights([_changed(weight, draw) for weight in layer.get_weights()])
    return model


def _changed(weight, draw):
    # kernels around their initial values; the statistics stay positive
    change = draw.normal(0, 0.1, weight.shape) if weight.ndim > 1 else draw.uniform(0.05, 0.2, weight.shape)
    return weight + change.astype("float32")

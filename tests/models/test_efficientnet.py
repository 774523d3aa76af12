"""EfficientNet against keras.applications, the papers' figures, and sizes worked out by hand."""

import json

import keras
import numpy as np
import pytest

from noisy_student.inference import saving
from noisy_student.models.build import block_survival, build, transfer_weights
from noisy_student.models.networks.efficientnet import SIZES, scaled_filters
from noisy_student.models.summary import macs, summarise
from noisy_student.settings.schema import ModelParams

SMALL = {"width_coefficient": 0.25, "depth_coefficient": 0.5}
slow = pytest.mark.slow

# what Keras calls the layers of a block
IN_A_BLOCK = {
    "expand_conv": "expand_conv",
    "expand_bn": "expand_bn",
    "depthwise_conv": "dwconv",
    "depthwise_bn": "bn",
    "reduce_conv": "se_reduce",
    "excite_conv": "se_expand",
    "project_conv": "project_conv",
    "project_bn": "project_bn",
}
OUTSIDE = {name: name for name in ("stem_conv", "stem_bn", "top_conv", "top_bn")} | {"logits": "predictions"}


def network(*, classes=5, image_size=32, mode="train", survival_probability=1.0, seed=0, **model):
    return build(
        ModelParams(name="efficientnet", **model),
        classes=classes,
        image_size=image_size,
        mode=mode,
        survival_probability=survival_probability,
        seed=seed,
    )


def trainable(model):
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


@pytest.fixture(scope="module")
def b0():
    """EfficientNet-B0 as published; not to be changed."""
    return network(size="b0", classes=1000, image_size=224)


@pytest.mark.parametrize("size", ["b0", *(pytest.param(f"b{n}", marks=slow) for n in range(1, 8))])
def test_as_many_parameters_as_in_keras_applications(size, b0):
    rival = getattr(keras.applications, f"EfficientNet{size.upper()}")(weights=None, input_shape=(64, 64, 3))
    normalisation = next(layer for layer in rival.layers if isinstance(layer, keras.layers.Normalization))
    model = b0 if size == "b0" else network(size=size, classes=1000, image_size=64)
    assert trainable(model) == trainable(rival)
    assert model.count_params() == rival.count_params() - normalisation.count_params()


# arXiv:1911.04252, table 7, in millions
@pytest.mark.parametrize(
    ("size", "published"),
    [pytest.param(*pair, marks=slow) for pair in (("b7", 66), ("l0", 140), ("l1", 273), ("l2", 480))],
)
def test_as_many_parameters_as_in_the_paper(size, published):
    assert trainable(network(size=size, classes=1000)) == pytest.approx(published * 1e6, rel=0.02)


# Tan & Le (2019), table 2, in billions of multiply-adds
@pytest.mark.parametrize(("size", "side", "published"), [("b0", 224, 0.39), pytest.param("b4", 380, 4.2, marks=slow)])
def test_multiply_accumulates_are_the_published_ones(size, side, published, b0):
    model = b0 if size == "b0" else network(size=size, classes=1000, image_size=side)
    assert macs(model) / 1e9 == pytest.approx(published, rel=0.05)


@slow
def test_outputs_equal_those_of_keras_applications():
    """Strides, order of layers, padding, squeeze and excitation, normalisation of the input.

    In float64 and with seeded weights, for no bound holds for all weights in float32. What is left is the same on
    every CPU: Keras rounds the constants of Rescaling to float32, which is 3.4e-7 in a probability (1.0e-7 to 1.5e-6
    with other seeds; SSE4.1 and AVX2 alike).
    """
    keras.utils.set_random_seed(0)
    usual = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float64")
    try:
        rival = keras.applications.EfficientNetB0(weights=None, classes=7, input_shape=(96, 96, 3))
    finally:
        keras.config.set_dtype_policy(usual)
    draw = np.random.default_rng(0)
    for layer in rival.layers:
        if isinstance(layer, keras.layers.Normalization):
            mean, variance = [0.485, 0.456, 0.406], [0.229**2, 0.224**2, 0.225**2]
            layer.mean, layer.variance = (np.reshape(v, (1, 1, 1, 3)) for v in (mean, variance))
        elif isinstance(layer, keras.layers.BatchNormalization):
            scale, offset, *statistics = layer.get_weights()
            scale, offset = draw.uniform(0.5, 1.5, scale.shape), draw.uniform(-0.5, 0.5, offset.shape)
            layer.set_weights([scale, offset, *statistics])
            layer.momentum = 0.0  # the statistics become those of the next batch
    shape, most = (4, 96, 96, 3), np.reshape([32, 96, 160, 256], (4, 1, 1, 1))
    images = draw.integers(0, most, shape, dtype=np.uint8)
    rival(images.astype("float64"), training=True)
    model = _in_float64(network(size="b0", classes=7, image_size=96, mode="inference"))
    copied = 0
    for layer in model.layers:
        if layer.weights:
            layer.set_weights(rival.get_layer(_theirs(layer.name)).get_weights())
            copied += layer.count_params()
    assert copied == model.count_params()
    ours, theirs = (m.predict(x, verbose=0) for m, x in ((model, images), (rival, images.astype("float64"))))
    assert np.ptp(theirs, axis=0).max() > 1e-2  # the images are told apart at all
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=5e-6)


def _in_float64(model):
    """The same layers, which are stock Keras ones, with their arithmetic in float64."""
    return keras.Model.from_config(json.loads(json.dumps(model.get_config()).replace('"float32"', '"float64"')))


def _theirs(name):
    if name in OUTSIDE:
        return OUTSIDE[name]
    stage, block, layer = name.split("_", 2)
    return f"block{stage.removeprefix('stage')}{chr(96 + int(block.removeprefix('block')))}_{IN_A_BLOCK[layer]}"


# worked out by hand: a multiple of 8, never less than nine tenths
@pytest.mark.parametrize(
    ("filters", "width", "expected"),
    [
        (32, 1.0, 32),
        (32, 1.1, 32),
        (32, 1.2, 40),
        (24, 1.1, 24),
        (40, 1.4, 56),
        (16, 0.25, 8),
        (40, 0.27, 16),
    ],
)
def test_filters_are_rounded_to_eight(filters, width, expected):
    assert scaled_filters(filters, width) == expected


@pytest.mark.parametrize(
    ("small_images", "sides"), [(False, [112, 56, 28, 14, 14, 7, 7]), (True, [16, 16, 16, 8, 8, 4, 4])]
)
def test_strides(small_images, sides, b0):
    """Of 224 pixels, where they are those of the paper's table 1, and of 32."""
    model = network(**SMALL, small_images=True) if small_images else b0
    assert [model.get_layer(f"stage{n}_block1_project_bn").output.shape[1] for n in range(1, 8)] == sides


def test_depth_is_rounded_up_and_only_some_blocks_have_shortcuts():
    params = ModelParams(name="efficientnet", width_coefficient=0.25, depth_coefficient=1.1)
    model = build(params, classes=3, image_size=32)
    names = {layer.name for layer in model.layers}
    numbers = [sum(f"stage{s}_block{b}_project_bn" in names for b in range(1, 9)) for s in range(1, 8)]
    assert numbers == [2, 3, 3, 4, 4, 5, 2]  # ceil(1.1 * (1, 2, 2, 3, 3, 4, 1))
    adds = [layer.name for layer in model.layers if isinstance(layer, keras.layers.Add)]
    # 8 filters after the stem and after stages 1 and 2: the first block keeps their number
    expected = [f"stage{s + 1}_block{b}" for s, n in enumerate(numbers) for b in range(1 if s == 0 else 2, n + 1)]
    assert adds == [f"{name}_add" for name in expected]
    survival = block_survival(params, 0.8)
    assert list(survival) == expected
    assert survival["stage7_block2"] == pytest.approx(0.8)
    assert survival["stage1_block1"] == pytest.approx(1 - 0.2 / sum(numbers))
    assert survival["stage2_block2"] == pytest.approx(1 - 0.2 * 4 / sum(numbers))
    assert summarise(model, survival=survival)["survival_probability"] == survival


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(SMALL | {"small_images": True}, id="small"),
        *(pytest.param({"size": size}, marks=slow, id=size) for size in SIZES),
    ],
)
def test_trains_a_step_and_survives_saving_bit_for_bit(model, tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
    training = network(**model)
    for layer in training.layers:
        if hasattr(layer, "momentum"):
            layer.momentum = 0.0  # the statistics become those of the batch
    before = [weight.copy() for weight in training.get_weights()[:2]]
    # a small step: untrained, 32 pixels are one at the end of these networks, and their gradients are huge
    optimizer = keras.optimizers.SGD(1e-3, global_clipnorm=1.0)
    training.compile(optimizer, keras.losses.CategoricalCrossentropy(from_logits=True))
    assert np.isfinite(training.train_on_batch(images, np.eye(5)[[0, 1, 2, 3]]))
    assert any((old != new).any() for old, new in zip(before, training.get_weights()[:2], strict=True))
    final = network(mode="inference", **model)
    transfer_weights(training, final)
    saving.save(final, tmp_path / "model.keras")
    loaded = saving.load(tmp_path / "model.keras", classes=list("abcde"))
    for one, other in zip(final.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(final.predict(images, verbose=0), loaded.predict(images, verbose=0))
    np.testing.assert_allclose(loaded.predict(images, verbose=0).sum(axis=1), 1.0, rtol=1e-5)

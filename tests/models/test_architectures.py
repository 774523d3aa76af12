"""Sizes, strides and wiring of the three architectures."""

import keras
import numpy as np
import pytest

from noisy_student.models.build import build
from noisy_student.models.summary import macs
from support import sized


def network(name, depth=None, width=None, **changes):
    return build(sized(name, depth, width), **{"classes": 10, "image_size": 32, **changes})


def trainable(model):
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


def resnet_by_hand(blocks):
    """(trainable parameters, running statistics) of a width-16 ResNet with `blocks` blocks a stage."""
    pairs = 2 * blocks - 1  # 3x3 convolutions of a stage after its first one
    convolutions = (3 * 9 * 16) + (pairs + 1) * 9 * 16 * 16
    convolutions += 9 * 16 * 32 + pairs * 9 * 32 * 32 + 16 * 32
    convolutions += 9 * 32 * 64 + pairs * 9 * 64 * 64 + 32 * 64
    channels = 16 + 2 * blocks * (16 + 32 + 64) + 32 + 64  # normalised: stem, blocks, two shortcuts
    dense = 64 * 10 + 10
    return convolutions + 2 * channels + dense, 2 * channels


@pytest.mark.parametrize(("depth", "published"), [(20, 0.27e6), (56, 0.85e6)])
def test_resnet_parameters(depth, published):
    model = network("resnet", depth, 16)
    expected, statistics = resnet_by_hand((depth - 2) // 6)
    assert trainable(model) == expected
    assert model.count_params() == expected + statistics
    assert trainable(model) == pytest.approx(published, abs=0.01e6)


def test_resnet20_macs_by_hand():
    stem, dense = 3 * 9 * 16 * 32 * 32, 64 * 10
    full = 9 * 16 * 16 * 32 * 32  # of one 3x3 convolution that keeps its stage's shape, the same in all stages
    first = full // 2  # of the first one of stages 2 and 3: half the input channels
    shortcuts = 16 * 32 * 16 * 16 + 32 * 64 * 8 * 8
    found = macs(network("resnet", 20, 16))
    assert found == stem + 6 * full + 2 * (first + 5 * full) + shortcuts + dense
    assert found == pytest.approx(40.8e6, abs=0.05e6)


# Zagoruyko & Komodakis (2016) count the trainable parameters, in millions
@pytest.mark.parametrize(("depth", "width", "published"), [(28, 2, 1.47), (28, 10, 36.5), (16, 8, 10.96)])
def test_wide_resnet_parameters_are_the_published_ones(depth, width, published):
    model = network("wide_resnet", depth, width)
    digits = len(str(published).split(".")[1])
    assert round(trainable(model) / 1e6, digits) == published
    n, stages = (depth - 4) // 6, [16 * width, 32 * width, 64 * width]
    normalised = 16 + sum((2 * n - 1) * w for w in stages) + stages[0] + stages[1] + stages[2]
    assert model.count_params() - trainable(model) == 2 * normalised


@pytest.fixture(scope="module")
def article():
    """A ResNet-50 of ten classes for 32 pixels; not to be changed."""
    return network("article_resnet50")


def test_article_resnet50_size(article):
    model = article
    assert model.count_params() == 23_590_794
    assert macs(model) == pytest.approx(3.98e9, abs=0.005e9)


def test_article_resnet50_strides_sit_on_the_last_convolution_of_a_block(article):
    model = article
    side = {name: model.get_layer(name).output.shape[1] for name in (layer.name for layer in model.layers)}
    blocks = [f"stage{s}_block{b}" for s, n in ((1, 3), (2, 4), (3, 6), (4, 3)) for b in range(1, n + 1)]
    assert [side[f"{block}_add"] for block in blocks] == 3 * [32] + 10 * [16] + 3 * [8]
    assert (side["stage2_block1_conv2"], side["stage2_block1_conv3"]) == (32, 16)
    assert (side["stage4_block1_conv2"], side["stage4_block1_conv3"]) == (16, 8)


def test_article_resnet50_penalises_and_he_initialises_the_shortcuts_only(article):
    model = article
    convolutions = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    assert all(layer.use_bias for layer in convolutions)
    shortcuts = [layer for layer in convolutions if layer.kernel_regularizer is not None]
    assert [layer.name for layer in shortcuts] == [f"stage{s}_block1_shortcut_conv" for s in (1, 2, 3, 4)]
    he_normal = [layer for layer in convolutions if isinstance(layer.kernel_initializer, keras.initializers.HeNormal)]
    assert he_normal == shortcuts
    penalty = 1e-4 * sum(np.square(layer.get_weights()[0]).sum() for layer in shortcuts)
    assert float(sum(model.losses)) == pytest.approx(penalty, rel=1e-5)


@pytest.mark.parametrize(("name", "depth"), [("resnet", 20), ("wide_resnet", 16)])
def test_two_strides_of_two_and_no_biases(name, depth):
    model = network(name, depth, 2, image_size=10)
    adds = [layer.output.shape[1] for layer in model.layers if isinstance(layer, keras.layers.Add)]
    n = len(adds) // 3
    assert adds == n * [10] + n * [5] + n * [3]
    convolutions = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    assert not any(layer.use_bias for layer in convolutions)
    assert sum(layer.kernel_size == (1, 1) for layer in convolutions) == (2 if name == "resnet" else 3)


def block_ends(model, block, shortcut):
    """A model that returns what enters the last addition as shortcut, and what leaves the block."""
    block_end = f"{block}_relu" if model.name.startswith("resnet") else f"{block}_add"
    return keras.Model(model.input, [model.get_layer(shortcut).output, model.get_layer(block_end).output])


@pytest.mark.parametrize(
    ("name", "depth", "shortcut"),
    [("resnet", 14, "stage3_block1_relu"), ("wide_resnet", 16, "stage3_block1_add")],
)
def test_a_block_without_its_branch_is_its_shortcut(name, depth, shortcut, images):
    """A dead branch leaves the block's own input: where ReLU and stochastic depth sit, identity shortcuts."""
    model = network(name, depth, 2, image_size=16, survival_probability=1e-9)
    ends = block_ends(model, "stage3_block2", shortcut)
    entered, left = (keras.ops.convert_to_numpy(x) for x in ends(images, training=True))
    assert np.ptp(entered) > 0
    np.testing.assert_array_equal(left, entered)
    assert (entered.min() < 0) == (name == "wide_resnet")  # only a post-activation block ends in a ReLU

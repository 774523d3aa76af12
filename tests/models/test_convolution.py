import keras
import numpy as np
import pytest

from noisy_student.models.build import build
from noisy_student.models.convolution import SubsampledConv2D
from support import sized

RNG = np.random.default_rng(0)


def by_hand(images, kernel, bias, stride):
    """A 1x1 convolution in NumPy: of 'same' padding, which is none, the places 0, stride, 2 * stride ... remain."""
    return np.einsum("nijc,co->nijo", images[:, ::stride, ::stride].astype("float64"), kernel[0, 0]) + bias


def gradients_by_hand(images, kernel, cotangent, stride):
    """Of sum(convolution * cotangent): in kernel, bias and images."""
    in_images = np.zeros(images.shape)
    in_images[:, ::stride, ::stride] = np.einsum("nijo,co->nijc", cotangent.astype("float64"), kernel[0, 0])
    in_kernel = np.einsum("nijc,nijo->co", images[:, ::stride, ::stride].astype("float64"), cotangent)
    return in_kernel[None, None], cotangent.astype("float64").sum((0, 1, 2)), in_images


@pytest.mark.parametrize("side", [8, 7, 1])
@pytest.mark.parametrize("stride", [2, 3])
def test_values_by_hand_and_of_keras_layer(side, stride):
    images = RNG.normal(size=(4, side, side + 1, 5)).astype("float32")
    kernel, bias = RNG.normal(size=(1, 1, 5, 6)).astype("float32"), RNG.normal(size=6).astype("float32")
    for kind in (SubsampledConv2D, keras.layers.Conv2D):
        layer = kind(6, 1, strides=stride, padding="same")
        layer.build(images.shape)
        layer.set_weights([kernel, bias])
        values = keras.ops.convert_to_numpy(layer(images))
        assert values.shape == layer.compute_output_shape(images.shape)
        np.testing.assert_allclose(values, by_hand(images, kernel, bias, stride), atol=1e-5)


@pytest.mark.parametrize("channels", [4, 16])
def test_gradients_by_hand_in_every_call(channels):
    """Called again and again while other tensors come and go: where a kernel reads more than it should, they differ."""
    if keras.config.backend() != "tensorflow":
        pytest.skip("TensorFlow's kernels, on TensorFlow")
    tf = pytest.importorskip("tensorflow")
    images = RNG.normal(size=(64, 8, 8, channels)).astype("float32")
    cotangent = RNG.normal(size=(64, 4, 4, 2 * channels)).astype("float32")
    layer = SubsampledConv2D(2 * channels, 1, strides=2, padding="same")
    layer.build(images.shape)
    expected = gradients_by_hand(images, layer.kernel.numpy(), cotangent, 2)

    @tf.function
    def gradients(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            total = tf.reduce_sum(layer(x) * cotangent)
        return tape.gradient(total, [layer.kernel, layer.bias, x])

    beside = []
    for _ in range(100):
        for found, exact in zip(gradients(tf.constant(images)), expected, strict=True):
            np.testing.assert_allclose(found.numpy(), exact, atol=1e-4 * np.abs(exact).max())
        beside = [*beside[-20:], tf.zeros([int(RNG.integers(1, 50))])]


@pytest.mark.parametrize(("name", "depth", "width"), [("resnet", 14, 4), ("wide_resnet", 10, 1)])
def test_networks_train_with_it_in_their_shortcuts(name, depth, width):
    model = build(sized(name, depth, width), classes=3, image_size=16, precision="mixed_bfloat16")
    found = {layer.name: layer for layer in model.layers if isinstance(layer, SubsampledConv2D)}
    assert found.keys() == {f"stage{number}_block1_shortcut_conv" for number in (2, 3)}
    assert {layer.dtype_policy.name for layer in found.values()} == {"mixed_bfloat16"}
    strided = [layer for layer in layers_of(model) if isinstance(layer, keras.layers.Conv2D) and max(layer.strides) > 1]
    assert strided
    assert all(isinstance(layer, SubsampledConv2D) or max(layer.kernel_size) > 1 for layer in strided)


def layers_of(model):
    """Also of the branches that stochastic depth skips."""
    for layer in model.layers:
        yield layer
        yield from layers_of(layer.branch) if hasattr(layer, "branch") else ()

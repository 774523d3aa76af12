import keras
import numpy as np
import pytest

from noisy_student.models.normalisation import FusedBatchNormalization, by_one_kernel

RNG = np.random.default_rng(0)
OPTIONS = {"momentum": 0.9, "epsilon": 1e-3}


def pair(dtype="float32", **options):
    """Our layer and Keras' own with the same weights, none of them trivial."""
    kinds = (FusedBatchNormalization, keras.layers.BatchNormalization)
    layers = [kind(**OPTIONS, **options, dtype=dtype) for kind in kinds]
    weights = [RNG.uniform(0.5, 1.5, 5).astype("float32") for _ in range(4 if options.get("scale", True) else 3)]
    for layer in layers:
        layer.build((None, 6, 7, 5))
        layer.set_weights(weights)
    return layers


def images():
    return RNG.normal(3.0, 2.0, (4, 6, 7, 5)).astype("float32")


def numpy(value):
    return keras.ops.convert_to_numpy(keras.ops.cast(value, "float32"))


def trained(layer, batch, aims):
    """Weights of this layer and of a convolution below it, after a step down their gradient."""
    below = keras.layers.Conv2D(5, 1)
    inputs = keras.Input(batch.shape[1:])
    model = keras.Model(inputs, layer(below(inputs)))
    below.set_weights([np.eye(5, dtype="float32")[None, None], np.zeros(5, "float32")])
    model.compile(optimizer=keras.optimizers.SGD(1.0), loss="mse")
    model.train_on_batch(batch, aims)
    return below.get_weights() + layer.get_weights()


def test_training_output_and_statistics_by_hand():
    layer, _ = pair()
    gamma, beta, mean, variance = layer.get_weights()
    batch = images()
    result = numpy(layer(batch, training=True))
    own_mean, own_variance = batch.mean((0, 1, 2), dtype=np.float64), batch.var((0, 1, 2), dtype=np.float64)
    expected = (batch - own_mean) / np.sqrt(own_variance + 1e-3) * gamma + beta
    np.testing.assert_allclose(result, expected, atol=2e-5)
    moved = layer.get_weights()
    np.testing.assert_allclose(moved[2], 0.9 * mean + 0.1 * own_mean, rtol=1e-5)
    np.testing.assert_allclose(moved[3], 0.9 * variance + 0.1 * own_variance, rtol=1e-5)


def test_inference_output_by_hand_leaves_the_statistics_alone():
    layer, _ = pair()
    gamma, beta, mean, variance = before = layer.get_weights()
    batch = images()
    expected = (batch - mean) / np.sqrt(variance + 1e-3) * gamma + beta
    np.testing.assert_allclose(numpy(layer(batch, training=False)), expected, atol=2e-5)
    np.testing.assert_allclose(numpy(layer(batch)), expected, atol=2e-5)
    np.testing.assert_array_equal(layer.get_weights(), before)


def test_frozen_layer_uses_its_stored_statistics_as_keras_does():
    for layer in (layers := pair()):
        layer.trainable = False
    batch = images()
    ours, stock = (numpy(layer(batch, training=True)) for layer in layers)
    np.testing.assert_allclose(ours, stock, atol=2e-5)
    np.testing.assert_array_equal(layers[0].get_weights(), layers[1].get_weights())


@pytest.mark.parametrize("scale", [True, False])
def test_gradients_are_those_of_keras_layer(scale):
    batch, aims = images(), images()
    ours, stock = (trained(layer, batch, aims) for layer in pair(scale=scale))
    untouched = np.eye(5, dtype="float32")[None, None]
    assert np.abs(ours[0] - untouched).max() > 1e-3  # the gradient reaches what lies below
    for one, other in zip(ours, stock, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("training", [True, False])
def test_bfloat16_as_keras_layer_in_bfloat16(training):
    ours, stock = pair("mixed_bfloat16")
    batch = keras.ops.cast(images(), "bfloat16")
    result = ours(batch, training=training)
    assert keras.backend.standardize_dtype(result.dtype) == "bfloat16"
    expected = numpy(stock(batch, training=training))
    # bfloat16 has 8 bits of mantissa: neighbouring values differ by 2**-8 of their size
    np.testing.assert_allclose(numpy(result), expected, rtol=2**-7, atol=2**-7)
    for one, other in zip(ours.get_weights(), stock.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-2)


def test_large_offsets_do_not_cancel():
    # the variance by mean(x**2) - mean(x)**2 would lose all digits here
    layer = FusedBatchNormalization(**OPTIONS)
    batch = 1000.0 + np.random.default_rng(0).normal(0.0, 0.1, (2, 2, 2, 5)).astype("float32")
    result = numpy(layer(batch, training=True))
    mean, deviation = batch.mean((0, 1, 2), dtype=np.float64), np.sqrt(batch.var((0, 1, 2), dtype=np.float64) + 1e-3)
    # A sum of 8 numbers in any order is rounded 7 times, the mean once more: by 2**-24 of 1000 each time. As much
    # again is for kernels that multiply before they subtract.
    bound = 2 * 8 * 2**-24 * 1000 / deviation
    assert bound.max() < 0.03
    assert (np.abs(result - (batch - mean) / deviation) < bound).all()


def test_a_mask_is_refused():
    layer, _ = pair()
    with pytest.raises(ValueError, match="takes no mask"):
        layer(images(), mask=keras.ops.ones((4, 6, 7), "bool"))


def a_model(layer):
    inputs = keras.Input((6, 7, 5))
    return keras.Model(inputs, keras.layers.ReLU(name="last")(layer(inputs)))


def test_by_one_kernel_gives_the_same_model():
    _, stock = pair()
    model = a_model(stock)
    fused = by_one_kernel(model)
    assert [type(layer) for layer in fused.layers[1:]] == [FusedBatchNormalization, keras.layers.ReLU]
    assert [layer.name for layer in fused.layers[1:]] == [layer.name for layer in model.layers[1:]]
    assert [weight.path for weight in fused.weights] == [weight.path for weight in model.weights]
    batch = images()
    np.testing.assert_allclose(numpy(fused(batch)), numpy(model(batch)), atol=2e-5)
    assert type(model.layers[1]) is keras.layers.BatchNormalization  # as it was


@pytest.mark.parametrize("options", [{"axis": 1}, {"axis": 2}, {"center": False}])
def test_what_the_kernel_cannot_normalise_stays(options):
    model = a_model(keras.layers.BatchNormalization(**options))
    assert type(by_one_kernel(model).layers[1]) is keras.layers.BatchNormalization


def test_what_is_no_image_stays():
    inputs = keras.Input((5,))
    model = keras.Model(inputs, keras.layers.BatchNormalization()(inputs))
    assert type(by_one_kernel(model).layers[1]) is keras.layers.BatchNormalization

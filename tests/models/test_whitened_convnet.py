"""The whitened network against scikit-learn's PCA, Keras' own layers, and sizes worked out by hand."""

import keras
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from sklearn.decomposition import PCA
from sklearn.feature_extraction.image import extract_patches_2d

from noisy_student.inference import saving
from noisy_student.models.build import build, fit_to_images, freeze, transfer_weights
from noisy_student.models.networks import network_of, whitened_convnet
from noisy_student.models.networks.whitened_convnet import whitening_filters
from noisy_student.models.summary import macs, summarise
from noisy_student.runtime.errors import ParamsError
from noisy_student.settings.schema import ModelParams

MODEL = ModelParams(name="whitened_convnet")
SMALL = ModelParams(name="whitened_convnet", stage1_filters=4, stage2_filters=6, stage3_filters=8)
SCALE = 1 / 127.5


def network(model=SMALL, **changes):
    return build(model, **{"classes": 10, "image_size": 16, **changes})


def coloured(n=40, side=12, seed=0):
    """Smooth images whose colours go together, as in photos, and noise: no direction of the patches lacks variance."""
    rng = np.random.default_rng(seed)
    smooth = gaussian_filter(rng.normal(0, 160, (n, side, side, 3)), (0, 1.5, 1.5, 0))
    mixed = smooth @ np.array([[0.6, 0.3, 0.2], [0.3, 0.6, 0.3], [0.1, 0.2, 0.6]]) + rng.normal(0, 9, smooth.shape)
    return np.clip(mixed + 118, 0, 255).astype(np.uint8)


def patches(images):
    """All 2x2 patches of normalised images, (n, 12), by scikit-learn."""
    normalised = images.astype(np.float64) / 127.5 - 1
    return np.concatenate([extract_patches_2d(image, (2, 2)).reshape(-1, 12) for image in normalised])


def by_hand(a, b, c, classes=10):
    """(trainable parameters, running statistics) with a, b and c filters; the whitening's kernel is neither."""
    convolutions = 9 * (24 * a + a * a + a * b + b * b + b * c + c * c)
    offsets = 24 + 2 * (a + b + c)
    return convolutions + offsets + c * classes + classes, 2 * 2 * (a + b + c)


@pytest.mark.parametrize("filters", [(32, 128, 256), (64, 256, 256), (4, 6, 8)])
def test_parameters_by_hand(filters):
    model = ModelParams(
        name="whitened_convnet",
        **dict(zip(("stage1_filters", "stage2_filters", "stage3_filters"), filters, strict=True)),
    )
    built = network(model, image_size=32)
    trainable, statistics = by_hand(*filters)
    assert built.count_params() == trainable + statistics + 2 * 2 * 3 * 24
    assert summarise(built, survival={})["trainable_parameters"] == trainable
    assert built.name == "whitened_convnet_" + "_".join(map(str, filters))


def test_macs_by_hand():
    sides = [31, 15, 7, 3]  # 32 pixels without the whitening's border, then halved three times and rounded down
    whitening = 12 * 24 * sides[0] ** 2
    first = 9 * (24 * 32 * sides[0] ** 2 + 32 * 128 * sides[1] ** 2 + 128 * 256 * sides[2] ** 2)
    second = 9 * (32 * 32 * sides[1] ** 2 + 128 * 128 * sides[2] ** 2 + 256 * 256 * sides[3] ** 2)
    assert macs(network(MODEL, image_size=32)) == whitening + first + second + 256 * 10 == 44_274_208


@pytest.mark.parametrize(
    ("size", "sides"), [(9, [8, 4, 2, 1]), (16, [15, 7, 3, 1]), (32, [31, 15, 7, 3]), (64, [63, 31, 15, 7])]
)
def test_shapes(size, sides):
    built = network(image_size=size)
    ends = ["stem_relu", *(f"stage{stage}_block1_2_relu" for stage in (1, 2, 3))]
    assert [built.get_layer(name).output.shape[1:] for name in ends] == [
        (side, side, filters) for side, filters in zip(sides, (24, 4, 6, 8), strict=True)
    ]


def test_too_small_images_are_refused():
    with pytest.raises(
        ParamsError, match=r"=8: too small for whitened_convnet, whose strides .* 8 times.*to 9 or more"
    ):
        network(image_size=8)


def test_head_takes_maxima_and_divides_by_nine():
    images, built = coloured(6, 32), network(image_size=32)  # 3x3 places are left
    names = ("stage3_block1_2_relu", "pool", "logits")
    features, pooled, logits = keras.Model(built.input, [built.get_layer(name).output for name in names])(images)
    np.testing.assert_allclose(pooled, np.asarray(features).max(axis=(1, 2)), rtol=1e-6)
    np.testing.assert_allclose(built(images), np.asarray(logits) / 9, rtol=1e-5)


def test_normalisation_has_no_scale_and_is_kerass_own(images):
    """Training and inference builds agree, once the running statistics are those of a batch."""
    training, inference = network(), network(mode="inference")
    for layer in training.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            assert layer.gamma is None
            layer.momentum = 0.0
    expected = keras.ops.convert_to_numpy(keras.ops.softmax(training(images, training=True)))
    transfer_weights(training, inference)
    np.testing.assert_allclose(inference(images), expected, atol=1e-4)


# --- whitening ---------------------------------------------------------------------------------------


def test_outputs_on_the_training_patches_have_the_identity_as_covariance():
    images = coloured()
    built = network(image_size=12, mode="inference")
    fit_to_images(built, SMALL, images)
    whitened = keras.ops.convert_to_numpy(keras.Model(built.input, built.get_layer("stem_conv").output)(images))
    np.testing.assert_allclose(whitened[..., 12:], -whitened[..., :12], atol=1e-5)
    flat = whitened[..., :12].reshape(-1, 12)
    variances = np.linalg.eigvalsh(np.cov(patches(images).T))
    assert variances.min() > 20 * whitened_convnet.EPSILON * variances.mean()
    np.testing.assert_allclose(np.cov(flat.T), np.eye(12), atol=0.05)  # the smallest is a twentieth short at most
    # scikit-learn's whitening gives the same components, up to sign, mean and that little
    theirs = PCA(whiten=True).fit_transform(patches(images))
    np.testing.assert_allclose(np.abs(np.corrcoef(flat.T, theirs.T)[:12, 12:]), np.eye(12), atol=1e-3)


def test_filters_are_orthogonal_and_their_lengths_are_the_roots_of_one_over_the_variances():
    images = coloured(seed=1)
    filters = whitening_filters(images, scale=SCALE).reshape(12, 24).astype(np.float64)
    np.testing.assert_array_equal(filters[:, 12:], -filters[:, :12])
    lengths = np.linalg.norm(filters[:, :12], axis=0)
    np.testing.assert_allclose((filters[:, :12] / lengths).T @ (filters[:, :12] / lengths), np.eye(12), atol=1e-5)
    pca = PCA().fit(patches(images))
    least = 5e-4 * pca.explained_variance_.mean()
    np.testing.assert_allclose(lengths, (pca.explained_variance_ + least) ** -0.5, rtol=1e-3)


def test_grey_images_and_images_of_one_colour_have_finite_filters():
    grey = np.repeat(coloured()[..., :1], 3, axis=-1)
    filters = whitening_filters(grey, scale=SCALE).reshape(12, 24)[:, :12]
    whitened = patches(grey) @ filters
    np.testing.assert_allclose(np.cov(whitened[:, :4].T), np.eye(4), atol=0.05)  # the rest is between the colours
    assert np.abs(whitened[:, 4:]).max() < 1e-3
    assert np.abs(filters).max() < (5e-4 * np.var(patches(grey), axis=0).mean()) ** -0.5
    assert np.isfinite(whitening_filters(np.full((3, 9, 9, 3), 7, np.uint8), scale=SCALE)).all()


def test_filters_depend_neither_on_how_many_patches_are_in_memory_nor_on_the_order(monkeypatch):
    images = coloured()
    whole = whitening_filters(images, scale=SCALE)
    monkeypatch.setattr(whitened_convnet, "PATCHES", 500)
    np.testing.assert_array_equal(whitening_filters(images[::-1], scale=SCALE), whole)


def test_a_large_set_is_sampled_evenly(monkeypatch):
    images = coloured()
    monkeypatch.setattr(whitened_convnet, "SAMPLE", 10)
    np.testing.assert_array_equal(whitening_filters(images, scale=SCALE), whitening_filters(images[::4], scale=SCALE))


# --- noise, freezing, files --------------------------------------------------------------------------


def test_stochastic_depth_changes_nothing_and_dropout_acts(images, run):
    assert network_of(SMALL).shortcuts() == []
    plain, deep = network(), network(survival_probability=0.1)
    assert [layer.name for layer in plain.layers] == [layer.name for layer in deep.layers]
    np.testing.assert_array_equal(run(plain, images, training=True), run(deep, images, training=True))
    dropped = network(dropout=0.5)
    assert len({run(dropped, images, training=True).tobytes() for _ in range(4)}) > 1


def test_a_step_moves_all_but_the_whitening_and_frozen_blocks():
    images, targets = coloured(16, 16), np.eye(10, dtype=np.float32)[np.arange(16) % 10]
    built = network()
    fit_to_images(built, SMALL, images)
    freeze(built, SMALL, 1)
    before = {layer.name: layer.get_weights() for layer in built.layers if layer.weights}
    built.compile(optimizer=keras.optimizers.SGD(0.1), loss=keras.losses.CategoricalCrossentropy(from_logits=True))
    built.train_on_batch(images, targets)
    still = [
        name for name, weights in before.items() if np.array_equal(weights[0], built.get_layer(name).get_weights()[0])
    ]
    assert still == [name for name in before if name.startswith(("stem_", "stage1_"))]
    other = network()
    other.compile(optimizer=keras.optimizers.SGD(0.1), loss=keras.losses.CategoricalCrossentropy(from_logits=True))
    kernel, bias = other.get_layer("stem_conv").get_weights()
    other.train_on_batch(images, targets)
    np.testing.assert_array_equal(other.get_layer("stem_conv").get_weights()[0], kernel)
    assert (other.get_layer("stem_conv").get_weights()[1] != bias).any()


def test_the_saved_file_holds_stock_layers_and_the_whitening(images, tmp_path):
    training, inference = network(), network(mode="inference")
    fit_to_images(training, SMALL, coloured())
    transfer_weights(training, inference)
    saving.save(inference, tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", compile=False, safe_mode=True)
    assert all(type(layer) is getattr(keras.layers, type(layer).__name__, None) for layer in loaded.layers)
    np.testing.assert_array_equal(loaded.get_layer("stem_conv").kernel, whitening_filters(coloured(), scale=SCALE))
    np.testing.assert_array_equal(loaded(images), inference(images))

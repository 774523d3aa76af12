"""The modes of a network, its weights and its noise."""

import keras
import numpy as np
import pytest

from noisy_student.models.build import block_survival, build, start_from, survival_of, transfer_weights
from noisy_student.runtime.errors import ParamsError
from noisy_student.settings.schema import ModelParams
from support import sized

ARTICLE = pytest.param("article_resnet50", None, None, marks=pytest.mark.slow)
TINY = ModelParams(name="efficientnet", width_coefficient=0.25, depth_coefficient=0.5, small_images=True)
NAMES = [("resnet", 8, 4), ("wide_resnet", 10, 1), ARTICLE]


def kinds(model, kind):
    return [layer for layer in model.layers if isinstance(layer, kind)]


def softmax(logits):
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def weights(model):
    """{(layer name, position in the layer): weight}; the layers' order may differ between modes."""
    found = {}
    for layer in model.layers:
        inside = getattr(layer, "branch", None)
        found |= weights(inside) if inside else {(layer.name, i): w for i, w in enumerate(layer.get_weights())}
    return found


def same_weights(first, second):
    first, second = weights(first), weights(second)
    return first.keys() == second.keys() and all(np.array_equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize(
    ("name", "depth", "width", "normalise"),
    [
        ("resnet", 8, 4, lambda pixels: pixels / 127.5 - 1),
        ("wide_resnet", 10, 1, lambda pixels: pixels / 127.5 - 1),
        ("article_resnet50", None, None, lambda pixels: pixels / 255),
    ],
)
def test_uint8_images_are_normalised_inside(name, depth, width, normalise, images):
    model = build(sized(name, depth, width), classes=2, image_size=16)
    assert (model.input.name, model.input.dtype, model.input.shape) == ("images", "uint8", (None, 16, 16, 3))
    inside = keras.Model(model.input, model.get_layer("normalise").output)
    np.testing.assert_allclose(inside(images), normalise(images.astype("float64")), atol=1e-6)


def test_inference_is_softmax_of_the_training_model_without_noise(small, trained, images, run):
    inference = small(mode="inference", survival_probability=0.5, dropout=0.5)
    transfer_weights(trained, inference)
    probabilities = run(inference, images)
    np.testing.assert_allclose(probabilities, softmax(run(trained, images, training=False)), atol=1e-6)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)
    assert np.ptp(probabilities, axis=0).max() > 1e-3  # the images matter at all


def test_inference_holds_stock_layers_only(small):
    model = small(mode="inference", survival_probability=0.5, dropout=0.5, precision="mixed_bfloat16")
    assert all(type(layer) is getattr(keras.layers, type(layer).__name__, None) for layer in model.layers)
    assert not kinds(model, (keras.layers.Dropout, keras.layers.Lambda))
    assert {layer.compute_dtype for layer in model.layers} <= {"float32", "uint8"}
    assert [model.get_layer(f"stage{s}_block1_survival").scale for s in (1, 2, 3)] == pytest.approx([5 / 6, 2 / 3, 0.5])


def test_training_noise_acts_in_training_only(small, images, run):
    model = small(survival_probability=0.5, dropout=0.5)
    quiet = [run(model, images, training=False) for _ in range(2)]
    np.testing.assert_array_equal(*quiet)
    assert len({run(model, images, training=True).tobytes() for _ in range(6)}) > 1


def test_dropout_sits_before_the_dense_layer_and_drops_at_its_rate(small, images, run):
    model = small(dropout=0.25)
    assert model.get_layer("dropout").output is model.get_layer("logits").input
    ends = keras.Model(model.input, [model.get_layer("pool").output, model.get_layer("dropout").output])
    dropped = total = 0
    for _ in range(20):
        pooled, left = (keras.ops.convert_to_numpy(x) for x in ends(images, training=True))
        alive = pooled != 0
        dropped, total = dropped + (alive & (left == 0)).sum(), total + alive.sum()
        np.testing.assert_allclose(left[left != 0], pooled[left != 0] / 0.75, rtol=1e-5)
    assert abs(dropped - 0.25 * total) < 5 * np.sqrt(total * 0.25 * 0.75)


def test_noised_model_varies_with_training_off_and_leaves_the_statistics_alone(small, trained, images, run):
    noised = small(mode="noised", survival_probability=0.5, dropout=0.5)
    transfer_weights(trained, noised)
    calls = [run(noised, images, training=False) for _ in range(8)]
    calls += [noised.predict(images, verbose=0) for _ in range(2)]
    assert len({call.tobytes() for call in calls}) > 5
    np.testing.assert_allclose(np.sum(calls, axis=-1), 1, atol=1e-5)
    run(noised, images, training=True)
    assert same_weights(noised, trained)


@pytest.mark.parametrize("noise", [{"survival_probability": 0.5}, {"dropout": 0.5}])
def test_each_noise_of_the_noised_model_works_alone(small, images, run, noise):
    model = small(mode="noised", **noise)
    assert len({run(model, images, training=False).tobytes() for _ in range(8)}) > 1


@pytest.mark.parametrize("training", [True, False])
def test_noised_model_at_rates_of_no_noise_is_the_inference_model(small, trained, images, run, training):
    noised, inference = small(mode="noised"), small(mode="inference")
    for model in (noised, inference):
        transfer_weights(trained, model)
    expected = run(inference, images, training=False)
    np.testing.assert_allclose(run(noised, images, training=training), expected, atol=1e-6)


def test_no_noise_layers_without_noise(small):
    for mode in ("train", "inference", "noised"):
        names = {layer.name for layer in small(mode=mode).layers}
        assert not any("survival" in name or "dropout" in name for name in names)


def test_survival_of_the_blocks():
    params = sized("wide_resnet", 16, 1)  # 6 blocks
    survival = block_survival(params, 0.4)
    assert list(survival) == [f"stage{s}_block{b}" for s in (1, 2, 3) for b in (1, 2)]
    assert list(survival.values()) == pytest.approx([0.9, 0.8, 0.7, 0.6, 0.5, 0.4])
    assert len(block_survival(ModelParams(name="article_resnet50"), 0.8)) == 16
    model = build(params, classes=2, image_size=8, survival_probability=0.4)
    found = {name: model.get_layer(f"{name}_add").survival_probability for name in survival}
    assert found == survival


@pytest.mark.parametrize(
    "network", [sized("resnet", 8, 4), sized("wide_resnet", 10, 1), TINY], ids=lambda own: own.name
)
@pytest.mark.parametrize("coin", ["batch", "sample"])
@pytest.mark.parametrize(("before", "after"), [(1.0, 0.5), (0.5, 1.0), (0.8, 0.6)])
def test_a_start_gives_the_same_with_other_stochastic_depth(network, coin, before, after, images, run):
    """At inference; and the model that is saved from it gives it, too."""
    options = {"classes": 4, "image_size": 16, "coin": coin}
    source = build(network, mode="inference", survival_probability=before, seed=1, **options)
    rng = np.random.default_rng(0)
    source.set_weights([w + rng.uniform(-0.05, 0.05, w.shape) for w in source.get_weights()])
    trained = build(network, mode="train", survival_probability=after, seed=2, **options)
    start_from(source, trained)
    assert survival_of(trained) == pytest.approx(block_survival(network, after))
    assert survival_of(source) == pytest.approx(block_survival(network, before))
    expected = run(source, images)
    np.testing.assert_allclose(softmax(run(trained, images, training=False)), expected, atol=1e-5)
    final = build(network, mode="inference", survival_probability=after, **options)
    transfer_weights(trained, final)
    np.testing.assert_allclose(run(final, images), expected, atol=1e-5)
    transfer_weights(source, final)
    assert np.abs(run(final, images) - expected).max() > 5e-5  # so it matters


@pytest.mark.parametrize(("name", "depth", "width"), NAMES)
def test_two_builds_in_one_process_are_equal(name, depth, width):
    params = sized(name, depth, width)
    for mode in ("train", "inference", "noised"):
        noise = {"survival_probability": 0.5, "dropout": 0.5}
        first, second = (build(params, classes=2, image_size=8, mode=mode, **noise) for _ in range(2))
        assert first.get_config() == second.get_config()


def test_weights_depend_on_the_seed_only(small):
    first = small(seed=7)
    small(seed=8)
    keras.random.normal((3,))
    assert same_weights(first, small(seed=7))
    assert same_weights(first, small(seed=7, mode="inference"))
    kernels = [[w for w in model.get_weights() if w.ndim > 1] for model in (first, small(seed=8))]
    assert not any(np.array_equal(a, b) for a, b in zip(*kernels, strict=True))


def test_weights_are_he_normal_and_differ_between_layers():
    model = build(ModelParams(name="resnet", depth=8, width=32), classes=2, image_size=8)
    first, second = (model.get_layer(f"stage1_block1_conv{i}").get_weights()[0] for i in (1, 2))
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.05  # 9,216 pairs: 5 standard errors
    for kernel in (first, second):
        assert kernel.std() == pytest.approx(np.sqrt(2 / (9 * 32)), rel=0.05)


def test_noise_depends_on_the_seed_only(small, images, run):
    def noise(seed):
        model = small(seed=seed, survival_probability=0.5, dropout=0.5)
        model.set_weights([np.full(w.shape, 0.1, "float32") for w in model.get_weights()])
        return np.stack([run(model, images, training=True) for _ in range(3)])

    np.testing.assert_array_equal(noise(1), noise(1))
    assert not np.array_equal(noise(1), noise(2))


def test_mixed_precision_computes_in_bfloat16_and_returns_float32(small, images, run):
    noise = {"survival_probability": 0.5, "dropout": 0.5}
    mixed, full = (small(precision=precision, **noise) for precision in ("mixed_bfloat16", "float32"))
    assert {layer.compute_dtype for layer in kinds(mixed, (keras.layers.Conv2D, keras.layers.Add))} == {"bfloat16"}
    assert {str(w.dtype) for w in mixed.weights} == {"float32"}
    logits = run(mixed, images, training=False)
    assert logits.dtype == run(mixed, images, training=True).dtype == np.float32
    np.testing.assert_allclose(logits, run(full, images, training=False), atol=0.05)  # 8 bits of precision


def test_image_size_below_the_strides(small):
    with pytest.raises(ParamsError, match=r"data.image_size=3: too small for resnet.*4 or more"):
        small(image_size=3)
    assert small(image_size=4).output.shape == (None, 5)


def test_unknown_mode(small):
    with pytest.raises(ValueError, match="'eval'"):
        small(mode="eval")


@pytest.mark.parametrize("mode", ["train", "inference", "noised"])
def test_transfer_copies_every_weight(small, trained, mode):
    target = small(mode=mode, seed=9)
    assert not same_weights(trained, target)
    transfer_weights(trained, target)
    assert same_weights(trained, target)
    back = small(seed=10)
    transfer_weights(target, back)
    assert same_weights(trained, back)


def test_transfer_to_another_size_names_both_and_copies_nothing(small, trained):
    wider = build(ModelParams(name="resnet", depth=8, width=6), classes=5, image_size=16)
    before = wider.get_weights()
    with pytest.raises(ParamsError, match=r"resnet_8_4 do not fit resnet_8_6: layer stem_conv .*4\).*6\)"):
        transfer_weights(trained, wider)
    assert all(np.array_equal(a, b) for a, b in zip(before, wider.get_weights(), strict=True))


def test_transfer_to_another_depth_or_number_of_classes(small, trained):
    deeper = build(ModelParams(name="resnet", depth=14, width=4), classes=5, image_size=16)
    with pytest.raises(ParamsError, match="stage1_block2_conv1 has shapes no weights in the one"):
        transfer_weights(trained, deeper)
    with pytest.raises(ParamsError, match="layer logits"):
        transfer_weights(trained, small(classes=4))

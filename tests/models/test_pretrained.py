"""Weight files of keras.applications, timm and this project: the teacher's network gives what the file's own gives.

The files are made here, with weights drawn at random. All is compared in float64, as in `test_efficientnet.py`.
"""

import hashlib
import json
import shutil
import sys

import h5py
import keras
import numpy as np
import pytest
import timm_logits
from keras.src.applications import efficientnet as shipped
from keras.src.legacy.saving import legacy_h5_format
from safetensors.numpy import save_file

from noisy_student.inference import saving
from noisy_student.inference.description import Description
from noisy_student.models.build import build, start_from, transfer_weights
from noisy_student.models.networks.efficientnet import EfficientNet
from noisy_student.pretrained import fitting, timm_files
from noisy_student.pretrained.files import find
from noisy_student.pretrained.start import pretrained
from noisy_student.runtime.errors import UserError
from noisy_student.runtime.seeds import derive_seed
from noisy_student.settings import params
from noisy_student.settings.schema import ModelParams
from support import with_values

TINY = {"width_coefficient": 0.25, "depth_coefficient": 0.5}
SIDE, CLASSES = 40, 6
NAMES = list("abcdef")
slow = pytest.mark.slow


def in_float64(model):
    """The same layers, which are stock Keras ones, with their arithmetic in float64; weights are float32 still."""
    twin = keras.Model.from_config(json.loads(json.dumps(model.get_config()).replace('"float32"', '"float64"')))
    twin.set_weights(model.get_weights())
    return twin


def float64_of_keras(**options):
    """An EfficientNet of keras.applications in float64."""
    usual = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float64")
    try:
        name = options.pop("size", None)
        if name:
            return getattr(keras.applications, f"EfficientNet{name.upper()}")(**options)
        return shipped.EfficientNet(**TINY, default_size=SIDE, name="tiny", **options)
    finally:
        keras.config.set_dtype_policy(usual)


def fill(model, images, *, mean, variance):
    """Weights that tell the images apart, exact in float32, as all files' are."""
    draw = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, keras.layers.Normalization):
            layer.set_weights([np.array(mean), np.array(variance), np.array(0)])
            layer.finalize_state()
        elif isinstance(layer, keras.layers.BatchNormalization):
            scale, offset, *statistics = layer.get_weights()
            layer.set_weights([draw.uniform(0.5, 1.5, scale.shape), draw.uniform(-0.5, 0.5, offset.shape), *statistics])
            layer.momentum = 0.0  # the statistics become those of the next batch
    model(images.astype("float64"), training=True)
    for layer in model.layers:
        if not isinstance(layer, keras.layers.Normalization):
            layer.set_weights([weight.astype(np.float32) for weight in layer.get_weights()])


def images(side=SIDE):
    most = np.reshape([32, 96, 160, 256], (4, 1, 1, 1))
    return np.random.default_rng(1).integers(0, most, (4, side, side, 3), dtype=np.uint8)


def settings(digits, model, **values):
    section = {"init": "pretrained", "model": {"name": "efficientnet", **model}}
    tree = with_values(digits, {f"teacher.{key}": value for key, value in section.items()})
    return params.check(with_values(tree, {key.replace("__", "."): value for key, value in values.items()}))


def outputs(model, pixels, dtype="uint8"):
    return keras.ops.convert_to_numpy(model(pixels.astype(dtype), training=False))


def assert_equal_outputs(ours, theirs, *, bound=5e-6):
    assert np.ptp(theirs, axis=0).max() > 1e-2  # the images are told apart at all
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=bound * max(1.0, np.abs(theirs).max()))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """(folder with files of one network of keras.applications in both formats, what it gives)."""
    folder = tmp_path_factory.mktemp("keras")
    keras.utils.set_random_seed(0)
    model = float64_of_keras(weights=None, classes=CLASSES, input_shape=(SIDE, SIDE, 3))
    fill(model, images(), mean=[0.4, 0.5, 0.6], variance=[0.04, 0.05, 0.06])
    model.save_weights(folder / "tiny.weights.h5")
    with h5py.File(folder / "tiny.h5", "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, model)
    return folder, outputs(model, images(), "float64")


@pytest.mark.parametrize("name", ["tiny.weights.h5", "tiny.h5"])
def test_outputs_equal_those_of_keras_applications(tiny, digits, name):
    """Both formats, with a normalisation of the file's own."""
    folder, expected = tiny
    network, told = pretrained(settings(digits, TINY), folder / name, classes=NAMES, image_size=SIDE)
    assert_equal_outputs(outputs(in_float64(network), images()), expected)
    assert told["last_layer"] == "kept"
    digest = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    assert (told["origin"], told["sha256"]) == ("keras.applications", digest)
    np.testing.assert_allclose(np.square(told["deviation"]), [0.04, 0.05, 0.06])


@pytest.mark.slow
@pytest.mark.parametrize("size", [f"b{number}" for number in range(8)])
def test_outputs_of_the_published_sizes(digits, tmp_path, size):
    """As of the tiny one above, and of timm's B0 below."""
    keras.utils.set_random_seed(0)
    options = {"weights": None, "classes": CLASSES, "input_shape": (64, 64, 3), "classifier_activation": None}
    model = float64_of_keras(size=size, **options)
    fill(model, images(64), mean=[0.5, 0.5, 0.5], variance=[0.25, 0.25, 0.25])
    model.save_weights(tmp_path / "file.weights.h5")
    chosen = settings(digits, {"size": size})
    network, _ = pretrained(chosen, tmp_path / "file.weights.h5", classes=NAMES, image_size=64)
    expected = outputs(model, images(64), "float64")
    logits = keras.Model(
        network.input, network.get_layer("logits").output
    )  # probabilities of such deep ones are 0 or 1
    assert_equal_outputs(outputs(in_float64(logits), images(64)), expected)


def test_the_shipped_files_are_read_as_keras_reads_them(tiny, digits, tmp_path, monkeypatch):
    """Their Normalization has the deviation for the variance, and Keras divides once more; here without last layer."""
    path = tmp_path / "efficientnetb0_notop.h5"
    shutil.copy(tiny[0] / "tiny.h5", path)
    with h5py.File(path, "a") as file:
        (layer,) = (name for name in file if name.startswith("normalization"))  # numbered, if it is not the first here
        file[f"{layer}/{layer}/mean"][...] = [0.485, 0.456, 0.406]
        file[f"{layer}/{layer}/variance"][...] = [0.229, 0.224, 0.225]
        file.attrs["layer_names"] = [name for name in file.attrs["layer_names"] if name != "predictions"]
        del file["predictions"]
    monkeypatch.setattr(shipped.file_utils, "get_file", lambda *_, **__: path)
    options = {"include_top": False, "pooling": "avg", "input_shape": (SIDE, SIDE, 3), "weights_name": "b0"}
    theirs = float64_of_keras(weights="imagenet", **options)
    network, told = pretrained(settings(digits, TINY), path, classes=NAMES, image_size=SIDE)
    features = keras.Model(network.input, network.get_layer("pool").output)
    ours = outputs(in_float64(features), images())
    assert_equal_outputs(ours, outputs(theirs, images(), "float64"))
    assert told["last_layer"] == "new"
    assert told["deviation"] == [0.229, 0.224, 0.225]


@pytest.mark.parametrize("name", ["tf_efficientnet_b0", pytest.param("tf_efficientnet_b2", marks=slow)])
def test_outputs_equal_those_of_timm(digits, tmp_path, name):
    answers = json.loads(timm_logits.FILE.read_text())["models"][name]
    path = tmp_path / "model.safetensors"
    save_file(timm_logits.filled(answers["shapes"]), path)
    size = {"classes": NAMES[: timm_logits.CLASSES], "image_size": timm_logits.SIDE}
    network, told = pretrained(settings(digits, {"size": name[-2:]}), path, **size)
    logits = keras.Model(network.input, network.get_layer("logits").output)
    # 9e-6 of the largest: the constants of Rescaling are in float32, and such logits differ by hundreds
    assert_equal_outputs(outputs(in_float64(logits), timm_logits.images()), answers["logits"], bound=5e-5)
    assert (told["origin"], told["last_layer"], told["mean"]) == ("timm", "kept", [0.485, 0.456, 0.406])


@pytest.mark.parametrize("size", timm_logits.SIZES)
def test_the_sizes_are_timms(size):
    outline = json.loads(timm_logits.FILE.read_text())["sizes"][size]
    names, stem, top = fitting.outline_of(EfficientNet(name="efficientnet", size=size))
    assert [sum(name.startswith(f"stage{stage}_") for name in names) for stage in range(1, 8)] == outline["blocks"]
    assert (stem, top) == (outline["stem"], outline["top"])


def test_the_configuration_beside_a_file_of_timms_is_heeded(digits, tmp_path):
    shapes = json.loads(timm_logits.FILE.read_text())["models"]["tf_efficientnet_b0"]["shapes"]
    path = tmp_path / "model.safetensors"
    save_file(timm_logits.filled(shapes), path)
    told = {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5], "interpolation": "bicubic", "crop_pct": 0.875}
    entries = {"architecture": "tf_efficientnet_b0", "pretrained_cfg": told}
    (tmp_path / "config.json").write_text(json.dumps(entries))
    network, record = pretrained(
        settings(digits, {"size": "b0"}), find(str(tmp_path)), classes=["a", "b", "c"], image_size=32
    )
    pixels = keras.Model(network.input, network.get_layer("normalise").output)
    white_and_black = np.stack([np.full((32, 32, 3), 255, np.uint8), np.zeros((32, 32, 3), np.uint8)])
    np.testing.assert_allclose(pixels(white_and_black)[:, 0, 0], [[1.0] * 3, [-1.0] * 3], atol=1e-6)
    assert (record["crop_share"], record["last_layer"]) == (0.875, "new")
    (tmp_path / "config.json").write_text(json.dumps(entries | {"architecture": "efficientnet_b0"}))
    with pytest.raises(UserError, match="Put the weights of tf_efficientnet_b0 there"):
        pretrained(settings(digits, {"size": "b0"}), path, classes=["a", "b", "c"], image_size=32)


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors", None)
    missing = pytest.raises(UserError, match="needs the Python package safetensors")
    with missing, timm_files.opened(tmp_path / "model.safetensors"):
        pass


def test_stochastic_depth_does_not_change_what_the_weights_give(tiny, digits):
    """A noised teacher's branches are multiplied by their survival probability at inference."""
    folder, expected = tiny
    noised = settings(digits, TINY, teacher__noise=True, noise__stochastic_depth__survival_probability=0.5)
    network, _ = pretrained(noised, folder / "tiny.h5", classes=NAMES, image_size=SIDE)
    final = build(
        noised.teacher.model, classes=CLASSES, image_size=SIDE, mode="inference", survival_probability=0.5, seed=9
    )
    start_from(network, final)
    assert [layer.name for layer in final.layers if layer.name.endswith("_survival")]
    assert_equal_outputs(outputs(in_float64(final), images()), expected)


@pytest.mark.parametrize(("before", "after"), [(0.5, 1.0), (1.0, 0.5), (0.5, 0.8)])
def test_nor_what_a_file_of_this_project_gives(digits, tmp_path, before, after):
    """Whatever it was trained with."""
    noised = settings(digits, TINY, teacher__noise=True, noise__stochastic_depth__survival_probability=after)
    options = {"classes": CLASSES, "image_size": SIDE, "mode": "inference"}
    own = build(noised.teacher.model, survival_probability=before, seed=3, **options)
    draw = np.random.default_rng(2)
    for layer in own.layers:
        if layer.name.endswith("_bn"):
            scale, offset, *rest = layer.get_weights()
            layer.set_weights([draw.uniform(0.5, 1.5, scale.shape), draw.uniform(-0.5, 0.5, offset.shape), *rest])
    saving.save(own, tmp_path / "own.keras")
    network, _ = pretrained(noised, tmp_path / "own.keras", classes=NAMES, image_size=SIDE)
    expected = outputs(own, images())
    np.testing.assert_allclose(outputs(network, images()), expected, atol=1e-5)
    final = build(noised.teacher.model, survival_probability=after, seed=9, **options)
    start_from(network, final)
    np.testing.assert_allclose(outputs(final, images()), expected, atol=1e-5)
    transfer_weights(own, final)
    assert np.abs(outputs(final, images()) - expected).max() > 5e-5  # so it matters


@pytest.mark.parametrize("mode", ["train", "inference", "noised"])
def test_the_normalisation_of_the_origin_goes_with_the_weights(mode, tmp_path):
    model = ModelParams(name="resnet", depth=8, width=4)
    options = {"classes": 3, "image_size": 8}
    first, second = build(model, mode="train", **options), build(model, mode=mode, **options)
    first.get_layer("normalise").scale, first.get_layer("normalise").offset = [0.1, 0.2, 0.3], [1.0, 2.0, 3.0]
    transfer_weights(first, second)
    pixels = keras.Model(second.input, second.get_layer("normalise").output)
    ones = np.full((1, 8, 8, 3), 10, np.uint8)
    np.testing.assert_allclose(np.asarray(pixels(ones))[0, 0, 0], [2.0, 4.0, 6.0], rtol=1e-6)
    if mode == "inference":
        saving.save(second, tmp_path / "model.keras")
        loaded = saving.load(tmp_path / "model.keras")
        np.testing.assert_array_equal(loaded.predict(ones, verbose=0), second.predict(ones, verbose=0))


@pytest.mark.parametrize(
    ("classes", "named", "last"),
    [
        (["a", "b", "c"], None, "kept"),
        (["a", "b", "c"], ["a", "b", "c"], "kept"),
        (["a", "b", "c"], ["a", "c", "b"], "new"),
        (["a", "b", "c", "d"], None, "new"),
    ],
)
def test_own_models_start_a_teacher_of_other_classes_too(digits, tmp_path, classes, named, last):
    model = {"name": "resnet", "depth": 8, "width": 4}
    chosen = params.check(with_values(digits, {"teacher.init": "pretrained", "teacher.model": model}))
    path = tmp_path / "own.keras"
    own = build(chosen.teacher.model, classes=3, image_size=8, mode="inference", seed=5)
    described = named and Description(name="teacher", classes=tuple(named), image_size=8, resize="squash")
    saving.save(own, path, described)
    network, told = pretrained(chosen, path, classes=classes, image_size=12)
    seed = derive_seed(chosen.seed, "teacher")
    at_random = build(chosen.teacher.model, classes=len(classes), image_size=12, seed=seed)
    assert network.output_shape == (None, len(classes))
    assert told["last_layer"] == last
    for layer in network.layers:
        if layer.weights:
            source = at_random if layer.name == "logits" and last == "new" else own
            for before, after in zip(source.get_layer(layer.name).get_weights(), layer.get_weights(), strict=True):
                np.testing.assert_array_equal(before, after)

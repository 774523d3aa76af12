import json
import os
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest

from noisy_student.inference import saving
from noisy_student.inference.description import Description
from noisy_student.models.build import build, transfer_weights
from noisy_student.runtime.errors import DataError
from noisy_student.settings.schema import ModelParams

REPOSITORY = Path(__file__).parents[2]
NOISE = {"survival_probability": 0.5, "dropout": 0.5}

SAVE_ELSEWHERE = """
import sys
from noisy_student.models.build import build
from noisy_student.inference.saving import save
from noisy_student.settings.schema import ModelParams

params = ModelParams(name="resnet", depth=8, width=4)
build(params, classes=2, image_size=8)  # whatever was built before must not matter
save(build(params, classes=5, image_size=16, mode="inference", survival_probability=0.5, seed=3), sys.argv[1])
"""

LOAD_WITH_STOCK_KERAS = """
import importlib.util, sys
assert importlib.util.find_spec("noisy_student") is None
import keras
import numpy as np
model = keras.saving.load_model(sys.argv[1], safe_mode=True)
np.save(sys.argv[3], model.predict(np.load(sys.argv[2], allow_pickle=False), verbose=0), allow_pickle=False)
"""


@pytest.fixture
def inference(small, trained):
    model = small(mode="inference", **NOISE)
    transfer_weights(trained, model)
    return model


def python(*arguments, **options):
    subprocess.run([sys.executable, *map(str, arguments)], check=True, timeout=120, **options)


def test_equal_models_are_equal_bytes_at_any_time_and_in_any_process(small, tmp_path):
    model = small(mode="inference", survival_probability=0.5, seed=3)
    start = time.monotonic()
    saving.save(model, tmp_path / "first.keras")
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "PYTHONHASHSEED": "1"}
    python("-c", SAVE_ELSEWHERE, tmp_path / "elsewhere.keras", env=environment, cwd=tmp_path)
    time.sleep(max(0.0, 3.0 - (time.monotonic() - start)))
    saving.save(model, tmp_path / "later.keras")
    first = (tmp_path / "first.keras").read_bytes()
    assert (tmp_path / "later.keras").read_bytes() == first
    assert (tmp_path / "elsewhere.keras").read_bytes() == first
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "elsewhere.keras",
        "first.keras",
        "later.keras",
    ]


def test_stock_keras_loads_it_in_safe_mode_without_this_package(inference, images, run, tmp_path):
    saving.save(inference, tmp_path / "model.keras")
    np.save(tmp_path / "images.npy", images, allow_pickle=False)
    files = [tmp_path / name for name in ("model.keras", "images.npy", "probs.npy")]
    python("-I", "-c", LOAD_WITH_STOCK_KERAS, *files, cwd=tmp_path)
    found = np.load(files[2], allow_pickle=False)
    np.testing.assert_allclose(found, run(inference, images), atol=1e-6)


def test_load_gives_the_saved_model(inference, trained, images, run, tmp_path):
    saving.save(inference, tmp_path / "new" / "model.keras")
    loaded = saving.load(tmp_path / "new" / "model.keras")
    np.testing.assert_array_equal(run(loaded, images), run(inference, images))
    trained.compile(loss="mse")
    saving.save(trained, tmp_path / "train.keras")
    loaded = saving.load(tmp_path / "train.keras")
    assert not loaded.compiled
    np.testing.assert_array_equal(run(loaded, images, training=False), run(trained, images, training=False))


def test_saving_what_was_loaded_gives_the_same_bytes(inference, tmp_path):
    saving.save(inference, tmp_path / "a.keras")
    saving.save(saving.load(tmp_path / "a.keras"), tmp_path / "b.keras")
    assert (tmp_path / "a.keras").read_bytes() == (tmp_path / "b.keras").read_bytes()


DESCRIPTION = Description(
    name="student-gen1",
    classes=("a", "b é", "c", "d", "e"),
    image_size=16,
    resize="crop",
    levels=4096,
    parameters={"seed": 3, "noise": {"dropout": 0.5, "stochastic_depth": None}},
)


def test_the_description_comes_back_and_stock_keras_passes_over_it(inference, images, run, tmp_path):
    saving.save(inference, tmp_path / "plain.keras")
    saving.save(inference, tmp_path / "model.keras", DESCRIPTION)
    model, described = saving.load_described(tmp_path / "model.keras")
    assert described == DESCRIPTION
    np.testing.assert_array_equal(run(model, images), run(inference, images))
    assert saving.read_description(tmp_path / "plain.keras") is None
    with zipfile.ZipFile(tmp_path / "model.keras") as archive:
        assert set(archive.namelist()) == saving.MEMBERS  # with one more Keras unpacks the archive onto the disk
    np.save(tmp_path / "images.npy", images, allow_pickle=False)
    files = [tmp_path / name for name in ("model.keras", "images.npy", "probs.npy")]
    python("-I", "-c", LOAD_WITH_STOCK_KERAS, *files, cwd=tmp_path)
    np.testing.assert_allclose(np.load(files[2], allow_pickle=False), run(inference, images), atol=1e-6)


def test_equal_descriptions_are_equal_bytes(inference, tmp_path):
    saving.save(inference, tmp_path / "a.keras", DESCRIPTION)
    read = saving.read_description(tmp_path / "a.keras")
    saving.save(saving.load(tmp_path / "a.keras"), tmp_path / "b.keras", read)
    other = DESCRIPTION.with_classes(["v", "w", "x", "y", "z"])
    saving.save(inference, tmp_path / "c.keras", other)
    a, b, c = ((tmp_path / f"{name}.keras").read_bytes() for name in "abc")
    assert a == b
    assert a != c
    assert saving.read_description(tmp_path / "c.keras").classes == ("v", "w", "x", "y", "z")


def test_the_classes_that_are_asked_for_are_compared_by_name_and_order(inference, tmp_path):
    path = tmp_path / "model.keras"
    saving.save(inference, path, DESCRIPTION)
    assert saving.load(path, classes=["a", "b é", "c", "d", "e"]).output_shape == (None, 5)
    with pytest.raises(DataError, match=r"class 1 is 'b é' there, 'c' here"):
        saving.load(path, classes=["a", "c", "b é", "d", "e"])
    with pytest.raises(DataError, match=r"tells 5 classes apart, .* lists 2 classes"):
        saving.load(path, classes=["a", "b é"])
    saving.save(inference, path)  # which names none
    assert saving.load(path, classes=list("vwxyz")).output_shape == (None, 5)


DESCRIBED_BADLY = {
    "none": (None, "names no classes, .*--classes"),
    "of a later format": ({"format": 2}, "format 2, this version reads 1"),
    "no size": ({"format": 1, "name": "x", "classes": ["a"] * 5, "resize": "crop"}, "description is damaged"),
    "a class twice": ({**DESCRIPTION.model_dump(mode="json"), "classes": ["a", "a"]}, "the class a stands there twice"),
    "other classes": ({**DESCRIPTION.model_dump(mode="json"), "classes": ["a", "b"]}, "5 probabilities, but names 2"),
    "an escape": ({**DESCRIPTION.model_dump(mode="json"), "classes": ["\x1b[31m"]}, "cannot be printed"),
    "a text": ("student", "description is damaged"),
}


@pytest.mark.parametrize("fault", DESCRIBED_BADLY)
def test_a_description_that_is_missing_or_damaged(inference, tmp_path, fault):
    path, (found, message) = tmp_path / "model.keras", DESCRIBED_BADLY[fault]
    saving.save(inference, path)
    rewrite(path, "metadata.json", json.dumps({} if found is None else {"noisy_student": found}))
    with pytest.raises(DataError, match=message) as error:
        saving.load_described(path)
    assert str(path) in str(error.value)
    if fault != "none":
        with pytest.raises(DataError, match=message):
            saving.load(path)


def test_a_failed_save_leaves_the_old_file(inference, tmp_path, monkeypatch):
    path = tmp_path / "model.keras"
    path.write_bytes(b"old")

    def fail(*arguments):
        raise OSError("disk full")

    monkeypatch.setattr(saving, "_with_fixed_dates", fail)
    with pytest.raises(OSError, match="disk full"):
        saving.save(inference, path)
    assert path.read_bytes() == b"old"
    assert [found.name for found in tmp_path.iterdir()] == ["model.keras"]


def rewrite(path, name, content):
    """Replace one member of a zip archive; None leaves it out."""
    with zipfile.ZipFile(path) as archive:
        members = {member: archive.read(member) for member in archive.namelist()}
    members[name] = content
    with zipfile.ZipFile(path, "w") as archive:
        for member, data in members.items():
            if data is not None:
                archive.writestr(member, data)


def flip_bit(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def pack_and_damage(path, method):
    """Pack the members anew, with bytes in their midst that no unpacking makes sense of."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    data = bytearray(path.read_bytes())
    data[len(data) // 3 : len(data) // 2] = bytes(len(data) // 2 - len(data) // 3)
    path.write_bytes(data)


def change_config(path, change):
    with zipfile.ZipFile(path) as archive:
        config = json.loads(archive.read("config.json"))
    change(config)
    rewrite(path, "config.json", json.dumps(config))


def name_unknown_layer(config):
    config["config"]["layers"][1] |= {"class_name": "Nonsense", "registered_name": "Nonsense"}


def name_a_layer(config):
    config.clear()
    config |= {"class_name": "ReLU", "module": "keras.layers", "config": {}, "registered_name": None}


DAMAGES = {
    "missing": (lambda path: path.unlink(), "no such model"),
    "directory": (lambda path: (path.unlink(), path.mkdir()), "no such model"),
    "empty": (lambda path: path.write_bytes(b""), "truncated, or not a .keras file"),
    "truncated": (lambda path: path.write_bytes(path.read_bytes()[:-100]), "truncated, or not a .keras file"),
    "text": (lambda path: path.write_text("a model"), "truncated, or not a .keras file"),
    "deflated": (lambda path: pack_and_damage(path, zipfile.ZIP_DEFLATED), "truncated, or not|checksum of"),
    "bzip2": (lambda path: pack_and_damage(path, zipfile.ZIP_BZIP2), "truncated, or not|checksum of"),
    "lzma": (lambda path: pack_and_damage(path, zipfile.ZIP_LZMA), "truncated, or not|checksum of"),
    "flipped": (flip_bit, "checksum of model.weights.h5"),
    "no weights": (lambda path: rewrite(path, "model.weights.h5", None), "model.weights.h5 is missing"),
    "cut weights": (lambda path: rewrite(path, "model.weights.h5", b"\x89HDF"), "can load in safe mode"),
    "unknown layer": (lambda path: change_config(path, name_unknown_layer), "Nonsense"),
    "no model": (lambda path: change_config(path, name_a_layer), "holds a ReLU, not a model"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_files(inference, tmp_path, damage):
    path = tmp_path / "model.keras"
    saving.save(inference, path)
    harm, message = DAMAGES[damage]
    harm(path)
    with pytest.raises(DataError, match=message) as error:
        saving.load(path)
    assert str(path) in str(error.value)
    assert "dvc repro" in str(error.value)


def test_code_in_a_file_is_not_run(tmp_path):
    path = tmp_path / "lambda.keras"
    mark = tmp_path / "mark"
    source = f"lambda x: (open({str(mark)!r}, 'w'), x)[1]"
    keras.Sequential([keras.Input((2,)), keras.layers.Lambda(eval(source), output_shape=(2,))]).save(path)
    mark.unlink(missing_ok=True)
    with pytest.raises(DataError, match=r"(?i)lambda"):
        saving.load(path)
    assert not mark.exists()


@pytest.mark.parametrize("pinned", [True, False])
def test_portable_arithmetic_leaves_no_stock_normalisation(tmp_path, monkeypatch, pinned):
    """Keras composes it of rsqrt, whose bits depend on the CPU."""
    path = tmp_path / "model.keras"
    model = build(ModelParams(name="resnet", depth=8, width=4), classes=3, image_size=8, mode="inference")
    saving.save(model, path)
    monkeypatch.setattr("noisy_student.runtime.arithmetic.is_pinned", lambda: pinned)
    kinds = {type(layer).__name__ for layer in saving.load(path).layers if "Normalization" in type(layer).__name__}
    assert kinds == {"FusedBatchNormalization" if pinned else "BatchNormalization"}

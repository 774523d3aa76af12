"""Exports, run by their own runtimes: what the file says of itself, any batch, the model's numbers."""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest

from deployed import CLASSES, SIDE
from noisy_student.deployment import exporting
from noisy_student.deployment.formats import FORMATS, Reader, module_of
from noisy_student.inference.description import Description
from noisy_student.inference.saving import read_description
from support import ROOT

INSTALLED = {
    name: all(importlib.util.find_spec(p) for p in module_of(name).PACKAGES.get(keras.config.backend(), ["?"]))
    for name in FORMATS
}


@pytest.fixture
def images():
    """Eleven, of the model's size."""
    return np.random.default_rng(5).integers(0, 256, (11, SIDE, SIDE, 3), np.uint8)


def exported(call, model, name, *arguments):
    if not INSTALLED[name]:
        pytest.skip(f"{name} on {keras.config.backend()} needs requirements/requirements-export.in")
    module = module_of(name)
    path = Path(f"out/a{module.SUFFIX}")
    done = call("export", model, "--format", name, "--out", path, *arguments)
    assert done.status == 0, done.err
    return module, path, done


def slow(*names):
    """Formats whose conversion takes ten seconds."""
    return [pytest.param(name, marks=pytest.mark.slow) for name in names]


@pytest.mark.parametrize("name", ["onnx", "savedmodel", *slow("litert", "openvino")])
def test_an_export_gives_what_stock_keras_gives(name, model, images, call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    module, path, done = exported(call, model, name)
    expected = keras.saving.load_model(model).predict(images, verbose=0)
    run, takes, gives = module.reader(path)
    assert (takes, gives) == ((None, SIDE, SIDE, 3), (None, len(CLASSES)))
    np.testing.assert_allclose(run(images), expected, atol=1e-4)
    np.testing.assert_allclose(run(images[:1]), expected[:1], atol=1e-4)
    assert Description.model_validate_json(module.read_description(path)) == read_description(model)
    assert "checked on 256 patches of photographs: largest difference" in done.out
    assert not list(tmp_path.rglob(".tmp*"))
    assert len(list(Path("out").iterdir())) == (2 if name == "openvino" else 1)


def test_what_onnx_runtime_sees(model, images, call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _, path, _ = exported(call, model, "onnx")
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (inward,), (outward,) = session.get_inputs(), session.get_outputs()
    assert (inward.name, inward.type, inward.shape) == ("images", "tensor(uint8)", ["batch", SIDE, SIDE, 3])
    assert (outward.name, outward.shape) == ("probs", ["batch", 5])
    assert json.loads(session.get_modelmeta().custom_metadata_map["names"]) == list(CLASSES)


@pytest.mark.slow
def test_what_the_litert_interpreter_sees(model, images, call, tmp_path, monkeypatch):
    interpreter = pytest.importorskip("ai_edge_litert.interpreter", reason="ai-edge-litert is not installed")
    monkeypatch.chdir(tmp_path)
    _, path, _ = exported(call, model, "litert")
    with zipfile.ZipFile(path) as archive:
        assert archive.read("labels.txt").decode().split("\n") == [*CLASSES, ""]
    run = interpreter.Interpreter(str(path)).get_signature_runner("serving_default")
    (probs,) = run(images=images[:1]).values()
    np.testing.assert_allclose(probs, keras.saving.load_model(model).predict(images[:1], verbose=0), atol=1e-4)


@pytest.mark.slow
def test_without_the_litert_interpreter_tensorflows_own_serves(model, images, call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for package in ("ai_edge_litert", "ai_edge_litert.interpreter"):
        monkeypatch.setitem(sys.modules, package, None)
    module, path, _ = exported(call, model, "litert")
    expected = keras.saving.load_model(model).predict(images, verbose=0)
    np.testing.assert_allclose(module.reader(path).run(images), expected, atol=1e-4)


@pytest.mark.parametrize("name", ["onnx", *slow("litert")])
def test_kernels_have_8_bits_and_the_accuracy_is_that_of_the_file(name, plain_set, model, call):
    module, path, done = exported(call, model, name, "--int8", "--images", "set")
    measured = exporting.read_images(["set"], read_description(model), SIDE)
    others, _ = exporting._split(measured)
    known = others.labels >= 0
    probs = [keras.saving.load_model(model).predict(others.images[known], verbose=0)]
    probs.append(module.reader(path).run(others.images[known]))
    own, given = ((each.argmax(axis=1) == others.labels[known]).mean() for each in probs)
    assert f"accuracy {100 * own:.2f} % before, {100 * given:.2f} % after" in done.out
    assert own == 1  # the labels are the model's own
    assert sum(len(shape) == 4 for shape in _shapes_of_8_bits(name, path)) >= 7  # a ResNet-8's convolutions


def test_images_of_every_class_calibrate_and_are_measured():
    labels = np.tile(np.arange(4), 50)  # in turn, as they are read
    images = np.arange(200, dtype=np.uint8).reshape(200, 1, 1, 1).repeat(3, axis=3)
    others, calibration = exporting._split(exporting.CheckImages(images, labels))
    numbers = calibration[:, 0, 0, 0]
    assert len(numbers) == 50
    assert set(numbers) | set(others.images[:, 0, 0, 0]) == set(range(200))
    assert np.bincount(labels[numbers]).min() > 5
    assert np.bincount(others.labels).min() > 25
    np.testing.assert_array_equal(others.labels, labels[others.images[:, 0, 0, 0]])


def _shapes_of_8_bits(name, path):
    if name == "onnx":
        import onnx

        weights = onnx.load(str(path)).graph.initializer
        return [weight.dims for weight in weights if weight.data_type == onnx.TensorProto.INT8]
    import tensorflow as tf

    return [each["shape"] for each in tf.lite.Interpreter(str(path)).get_tensor_details() if each["dtype"] == np.int8]


@pytest.fixture
def plain_set(network, tmp_path, monkeypatch):
    """A folder a class, but for d/e, of what the network says of smooth images."""
    from PIL import Image

    monkeypatch.chdir(tmp_path)
    coarse = np.random.default_rng(6).integers(0, 256, (120, 4, 4, 3), np.uint8)
    images = np.stack([np.asarray(Image.fromarray(each).resize((SIDE, SIDE))) for each in coarse])
    for row, k in enumerate(network.predict(images, verbose=0).argmax(axis=1)):
        folder = Path("set", CLASSES[k].replace("/", "-"))
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(images[row]).save(folder / f"{row}.png")


def _tampered(images):
    return np.full((len(images), 5), 0.2, np.float32)


def test_an_export_that_differs_is_not_written(model, call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    module = module_of("savedmodel")
    monkeypatch.setattr(module, "PACKAGES", {keras.config.backend(): ()})
    monkeypatch.setattr(module, "write", lambda model, path, *rest: path.mkdir())
    monkeypatch.setattr(module, "reader", lambda path: Reader(_tampered, (), ()))
    done = call("export", model, "--format", "savedmodel")
    assert done.status == 1
    assert "a probability of the export differs by" in done.err
    assert not list(Path("exports").iterdir())


def _full(monkeypatch):
    usage = shutil.disk_usage(".")._replace(free=2**20)
    monkeypatch.setattr(exporting.shutil, "disk_usage", lambda path: usage)


def _no_packages(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "onnxruntime" else find(name, *a))


def _failing(monkeypatch):
    def fail(*arguments):
        raise RuntimeError("op Foo is not known\nat length")

    monkeypatch.setattr(module_of("savedmodel"), "write", fail)


def _no_room(monkeypatch):
    def fail(*arguments):
        raise OSError(28, os.strerror(28), "a")

    monkeypatch.setattr(module_of("savedmodel"), "write", fail)


def _no_room_below_python(monkeypatch):
    def fail(*arguments):
        raise RuntimeError("a.data: No space left on device; while writing")

    monkeypatch.setattr(module_of("savedmodel"), "write", fail)


SAVED = ["--format", "savedmodel"]
MISTAKES = {
    "a missing package": (_no_packages, ["--format", "onnx"], ["onnxruntime", "pip install", "requirements-export"]),
    "too little room": (_full, SAVED, ["1 MiB are free", "Free some space"]),
    "a disk that fills up": (_no_room, SAVED, ["No space left", "Nothing was written"]),
    "a converter's disk that fills up": (_no_room_below_python, SAVED, ["No space left", "Free some space"]),
    "a converter that fails": (_failing, SAVED, ["(RuntimeError: op Foo is not known at length). Another"]),
    "what is there": (lambda _: Path("there").mkdir(), [*SAVED, "--out", "there"], ["there: exists already"]),
    "another suffix": (lambda _: None, ["--format", "litert", "--out", "a.onnx"], ["a.onnx", "ends in .tflite"]),
    "8 bits without images": (lambda _: None, ["--format", "litert", "--int8"], ["--int8: give images"]),
    "8 bits of a format without": (lambda _: None, [*SAVED, "--int8", "--images", "x"], ["not made for savedmodel"]),
    "no images": (lambda _: None, [*SAVED, "--images", "nowhere"], ["nowhere: no image there"]),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_mistakes(case, model, call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("savedmodel", "litert"):
        monkeypatch.setattr(module_of(name), "PACKAGES", {keras.config.backend(): ()})
    prepare, arguments, words = MISTAKES[case]
    prepare(monkeypatch)
    if case == "a missing package" and keras.config.backend() == "tensorflow":
        words = [*words, "needs the Python package"]
    done = call("export", model, *arguments)
    assert done.status == 1
    assert done.err.count("error: ") == 1
    for word in words:
        assert word in done.err
    assert {path.name for path in Path().iterdir()} <= {"exports", "there"}
    assert not list(Path().glob("exports/*"))


def test_the_requirements_name_every_package():
    declared = (ROOT / "requirements/requirements-export.in").read_text()
    for name in FORMATS:
        for packages in module_of(name).PACKAGES.values():
            for package in packages:
                assert re.search(rf"^(# )?{package}\b", declared, re.MULTILINE) or package == "tensorflow"


def test_every_format_is_tried():
    assert set(FORMATS) == {"onnx", "savedmodel", "litert", "openvino"}


def test_exports_are_ignored_by_git():
    assert subprocess.run(["git", "check-ignore", "-q", "exports/a.onnx"], cwd=ROOT, check=False).returncode == 0

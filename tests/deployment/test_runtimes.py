"""Predictions by exports: what stock Keras says of the images, with no framework started."""

import json
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from test_export import exported, slow
from test_predict import distributions, table

from deployed import CLASSES, SIDE
from noisy_student.deployment import formats, runtimes
from noisy_student.inference.description import Description
from support import ROOT


def write_onnx(path, *, shape=("batch", SIDE, SIDE, 3), classes=5, named=CLASSES, value=0.2):
    """A model that gives every class of every image the same value."""
    onnx = pytest.importorskip("onnx")
    kinds, make = onnx.TensorProto, onnx.helper.make_node
    nodes = [
        make("Shape", ["images"], ["all"]),
        make("Slice", ["all", "zero", "one"], ["number"]),
        make("Concat", ["number", "classes"], ["size"], axis=0),
        make("Expand", ["value", "size"], ["probs"]),
    ]
    fixed = {"zero": [0], "one": [1], "classes": [classes]}
    constants = [onnx.numpy_helper.from_array(np.array(each, np.int64), name) for name, each in fixed.items()]
    constants.append(onnx.numpy_helper.from_array(np.array(value, np.float32), "value"))
    inward = onnx.helper.make_tensor_value_info("images", kinds.UINT8, shape)
    outward = onnx.helper.make_tensor_value_info("probs", kinds.FLOAT, ("batch", classes))
    graph = onnx.helper.make_graph(nodes, "equal", [inward], [outward], constants)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 15)], ir_version=8)
    if named:
        said = Description(name="student-gen1", classes=named, image_size=SIDE, resize="crop").model_dump_json()
        onnx.helper.set_model_props(model, {"noisy_student": said})
    onnx.save(model, path)


@pytest.mark.parametrize("name", ["onnx", *slow("litert", "openvino")])
def test_an_export_predicts_what_stock_keras_does(name, model, expected, call):
    _, path, _ = exported(call, model, name)
    done = call("predict", path, "photos", "--csv", "out.csv", "--sheet", "sheet.png")
    assert (done.status, done.out) == (0, ""), done.err
    found = distributions(table())
    assert set(found) == set(expected)
    for file, probs in expected.items():
        np.testing.assert_allclose(found[file], probs, atol=1e-4)
    labelled = call("label", "photos", path)
    assert labelled.status == 0, labelled.err
    assert {row["file"]: row["class"] for row in table("labels/labels.csv")} == {
        file: CLASSES[probs.argmax()] for file, probs in expected.items()
    }


def test_more_images_than_a_step_takes(tmp_path):
    write_onnx(tmp_path / "a.onnx")
    opened = runtimes.open_any(tmp_path / "a.onnx")
    assert (opened.side, opened.described.resize) == (SIDE, "crop")
    assert opened.size > 1
    batches = [(key, np.zeros((number, SIDE, SIDE, 3), np.uint8)) for key, number in (("a", opened.size), ("b", 1))]
    found = list(opened.stream(batches))
    assert [(key, probs.shape) for key, probs in found] == [("a", (opened.size, 5)), ("b", (1, 5))]
    np.testing.assert_array_equal(found[1][1], np.full((1, 5), 0.2, np.float32))


def test_neither_keras_nor_a_framework_is_imported(photos):
    write_onnx("a.onnx")
    code = (
        "import sys; from noisy_student.__main__ import main; sys.argv[1:] = ['predict', 'a.onnx', 'photos']; status = "
        "main(); print(sorted({'keras', 'tensorflow', 'jax', 'torch'} & set(sys.modules)), status)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONPATH": str(ROOT)}
    )
    assert done.stdout.splitlines()[-1] == "[] 0", done.stderr
    assert len(done.stdout.splitlines()) == 8


def _saved_model():
    keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten()]).export("saved", verbose=False)
    return "saved"


def _cut(target):
    write_onnx(target)
    whole = Path(target).read_bytes()
    Path(target).write_bytes(whole[: len(whole) // 2])
    return target


def _made(**changes):
    write_onnx("a.onnx", **changes)
    return "a.onnx"


def _text(name):
    Path(name).write_text("no model")
    return name


MISTAKES = {
    "nowhere": (lambda: "nowhere.onnx", ["nowhere.onnx: no such model", "noisy_student export"]),
    "truncated": (lambda: _cut("a.onnx"), ["a.onnx: truncated, or of another format", "anew"]),
    "a text": (lambda: _text("a.onnx"), ["a.onnx: truncated, or of another format"]),
    "another project's": (lambda: _made(named=()), ["a.onnx: does not say how its images are read", "export"]),
    "another number of classes": (lambda: _made(classes=4), ["gives (None, 4)", "5 probabilities"]),
    "grey images": (lambda: _made(shape=("batch", SIDE, SIDE, 1)), [f"takes (None, {SIDE}, {SIDE}, 1)"]),
    "images that are not square": (lambda: _made(shape=("batch", SIDE, 9, 3)), [f"takes (None, {SIDE}, 9, 3)"]),
    "NaN": (lambda: _made(value=np.nan), ["a.onnx: gives NaN"]),
    "no probabilities": (lambda: _made(value=0.7), ["no probabilities", "softmax"]),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_mistakes(case, photos, call):
    pytest.importorskip("onnxruntime")
    prepare, words = MISTAKES[case]
    done = call("predict", prepare(), "photos", "--csv", "out.csv")
    assert (done.status, done.out) == (1, "")
    (message,) = done.err.splitlines()
    assert message.startswith("error: ")
    for word in words:
        assert word in message
    assert not list(Path().glob("*out.csv*"))


def test_a_description_that_is_damaged(photos, call):
    onnx = pytest.importorskip("onnx")
    write_onnx("a.onnx")
    model = onnx.load("a.onnx")
    said = json.loads(model.metadata_props[0].value) | {"resize": "stretch"}
    model.metadata_props[0].value = json.dumps(said)
    onnx.save(model, "a.onnx")
    done = call("predict", "a.onnx", "photos")
    assert done.status == 1
    assert "a.onnx: what it says of itself cannot be read (resize: " in done.err


@pytest.mark.skipif(keras.config.backend() != "tensorflow", reason="Keras writes SavedModel on TensorFlow")
def test_a_saved_model_is_a_program(photos, call):
    done = call("predict", _saved_model(), "photos")
    assert done.status == 1
    assert "saved: a SavedModel is a program, which is not run here" in done.err
    assert "litert, onnx, openvino" in done.err


@pytest.mark.parametrize("name", [name for name in formats.FORMATS if formats.module_of(name).RUNTIME])
def test_a_missing_runtime_is_named(name, photos, call, monkeypatch):
    module = formats.module_of(name)
    _text(f"a{module.SUFFIX}")
    monkeypatch.setattr(runtimes.importlib.util, "find_spec", lambda package: None)
    done = call("predict", f"a{module.SUFFIX}", "photos")
    assert done.status == 1
    package = module.RUNTIME[0].replace("_", "-")
    assert f"needs the Python package {package}. Run `pip install {package}`" in done.err


def test_other_names_for_the_classes(photos, call):
    write_onnx("a.onnx")
    Path("names.txt").write_text("a\nb\nc\nd\ne\n")
    done = call("predict", "a.onnx", "photos", "--classes", "names.txt")
    assert done.status == 0, done.err
    assert {line.split("\t")[1] for line in done.out.splitlines()} == {"a"}
    Path("few.txt").write_text("a\nb\n")
    done = call("predict", "a.onnx", "photos", "--classes", "few.txt")
    assert done.status == 1
    assert "few.txt: names 2 classes, but a.onnx gives 5 probabilities" in done.err

"""A pretrained start through `dvc repro`: a file of keras.applications' kind, and one of ours, each in its place."""

import hashlib
import json
import shutil

import keras
import numpy as np
import pytest

from clones import TINY, make_clone

pytestmark = pytest.mark.slow

SHORT = {
    **TINY,
    "data.image_size": 32,
    "teacher.steps": 3,
    "teacher.validate_every": 3,
    "teacher.batch_size": 8,
    "teacher.optimizer.learning_rate": 0.01,
    "teacher.init": "pretrained",
    "teacher.body_rate": 0.1,
    "generations": {"gen1": {"teacher": "teacher"}},
    "release": "student-gen1",
}


@pytest.fixture
def clone(tmp_path):
    """A tiny clone that has not run yet."""
    (tmp_path / "home").mkdir()
    made = make_clone(tmp_path / "home/project", TINY)
    made.folder.joinpath("data/raw/weights").mkdir(parents=True, exist_ok=True)
    return made


def _digest(clone, path):
    record = json.loads(clone.read("metrics/run.json"))["teacher"]["weights"]
    return record["sha256"], hashlib.sha256(clone.read(path)).hexdigest()


def _random_b0():
    """keras.applications' EfficientNet-B0 with weights that are all drawn."""
    model = keras.applications.EfficientNetB0(weights=None, classes=10, input_shape=(32, 32, 3))
    for layer in model.layers:
        layer.set_weights([_drawn(w) for w in layer.get_weights()])
    return model


def _drawn(w):
    if w.ndim == 0:  # a count
        return w
    draw = np.random.default_rng(w.size)
    return (draw.normal(0, 0.05, w.shape) if w.ndim > 1 else draw.uniform(0.5, 1.5, w.shape)).astype(w.dtype)


def test_a_body_of_keras_applications_that_is_frozen_stays_as_it_is_in_the_file(clone):
    path, theirs = "data/raw/weights/b0.weights.h5", _random_b0()
    theirs.save_weights(clone.folder / path)
    network = {"teacher.model.name": "efficientnet", "teacher.model.size": "b0", "teacher.model.width": 16}
    clone.set(**SHORT | network | {"teacher.freeze_blocks": 16})
    clone.forked("repro")
    recorded, expected = _digest(clone, path)
    assert recorded == expected
    ours = keras.saving.load_model(clone.folder / "models/teacher.keras")
    last = [layer.name for layer in ours.layers if layer.name.startswith("stage7_block1")][-1]
    images = np.random.default_rng(1).integers(0, 256, (6, 32, 32, 3), np.uint8)
    found = keras.Model(ours.input, ours.get_layer(last).output).predict(images, verbose=0)
    body = keras.Model(theirs.input, theirs.get_layer("block7a_project_bn").output)
    wanted = body.predict(images.astype("float32"), verbose=0)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-4 * np.abs(wanted).max())
    assert clone.forked("status").strip().endswith("Data and pipelines are up to date.")
    assert "student-gen1" in json.loads(clone.read("metrics/eval.json"))


def test_a_student_of_ours_is_the_next_start(clone):
    first = {"teacher.model.name": "resnet", "teacher.model.depth": 8, "teacher.model.width": 4}
    clone.set(**SHORT | first | {"teacher.init": "random"})
    clone.forked("repro")
    path = "data/raw/weights/own.keras"
    shutil.copy(clone.folder / "models/student-gen1.keras", clone.folder / path)
    clone.set(**{"teacher.init": "pretrained", "teacher.weights": path, "teacher.steps": 1})
    clone.set(**{"teacher.validate_every": 1, "teacher.optimizer.learning_rate": 1e-6})
    clone.forked("repro", "teacher")
    recorded, expected = _digest(clone, path)
    assert recorded == expected
    start, teacher = (keras.saving.load_model(clone.folder / each) for each in (path, "models/teacher.keras"))
    before, after = ({layer.name: layer.get_weights() for layer in each.layers} for each in (start, teacher))
    kernels = {name for name, weights in after.items() if any(w.ndim > 1 for w in weights)}
    assert len(kernels) >= 8
    for name in kernels:
        for w, v in zip(before[name], after[name], strict=True):
            np.testing.assert_allclose(v, w, atol=1e-4)  # one step at a rate of 1e-6 hardly moves them

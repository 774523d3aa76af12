"""A teacher that starts from weights, through its stage: what is frozen stays, what is recorded, what starts anew."""

import hashlib
import json
import shutil
from pathlib import Path

import keras
import numpy as np

from small import stage
from support import set_params

WEIGHTS, TEACHER = Path("data/raw/weights/first.keras"), Path("models/teacher.keras")


def _weights(path):
    model = keras.saving.load_model(path)
    return {layer.name: layer.get_weights() for layer in model.layers if layer.weights}


def _equal(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_frozen_blocks_keep_the_weights_of_the_file(workspace):
    shutil.copy(TEACHER, WEIGHTS)
    before = _weights(WEIGHTS)
    set_params({"teacher.init": "pretrained", "teacher.freeze_blocks": 2, "teacher.body_rate": 0.1, "seed": 1})
    assert stage("teacher") is None
    after = _weights(TEACHER)
    frozen = {name for name in after if _equal(before[name], after[name])}
    assert frozen == {name for name in after if name.startswith(("stem_", "stage1_block1_", "stage2_block1_"))}
    assert len(frozen) < len(after)
    record = json.loads(Path("metrics/run.json").read_text())["teacher"]["weights"]
    expected = {"file": "first.keras", "origin": "this project", "last_layer": "kept"}
    assert record == expected | {"sha256": hashlib.sha256(WEIGHTS.read_bytes()).hexdigest()}


def test_a_smaller_rate_moves_the_body_less(workspace):
    shutil.copy(TEACHER, WEIGHTS)
    before, moved = _weights(WEIGHTS), {}
    for rate in (1.0, 0.01):
        set_params({"teacher.init": "pretrained", "teacher.body_rate": rate})
        assert stage("teacher") is None
        after = _weights(TEACHER)
        moved[rate] = {
            name: np.abs(after[name][0] - before[name][0]).max() for name in ("stage2_block1_conv1", "logits")
        }
    assert moved[0.01]["stage2_block1_conv1"] < 0.05 * moved[1.0]["stage2_block1_conv1"]
    assert moved[0.01]["logits"] > 0.2 * moved[1.0]["logits"]


def test_equal_weights_give_equal_bytes(workspace):
    shutil.copy(TEACHER, WEIGHTS)
    set_params({"teacher.init": "pretrained"})
    assert stage("teacher") is None
    first = TEACHER.read_bytes()
    assert stage("teacher") is None
    assert TEACHER.read_bytes() == first
    shutil.copy("models/student-gen1.keras", WEIGHTS)
    assert stage("teacher") is None
    assert TEACHER.read_bytes() != first

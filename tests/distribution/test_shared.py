"""Two devices of one process, two processes, and one device train the same network."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from support import ROOT

HERE = Path(__file__).parent
NOISED = {"noise.dropout": 0.3, "noise.stochastic_depth.survival_probability": 0.5}
PLAIN = {"student.noise": False, "student.ema": 0.0, "student.steps": 50, "student.validate_every": 25}
JAX = pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="jax is not installed (requirements-jax.txt)")
pytestmark = pytest.mark.slow  # each training is a process of its own, which makes its graph


def _train(folder, kind, launch="", **values):
    """(weights, learning curve, what the stage records) of a training in processes of its own."""
    folder.mkdir(exist_ok=True)
    file = folder / f"{kind}.npz"
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, "LAUNCH": launch, "DVC_ROOT": "."}
    environment.pop("KERAS_BACKEND", None)  # of the test suite
    command = [sys.executable, HERE / "shared_training.py", kind, file, json.dumps(values)]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=500, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    saved = dict(np.load(file))
    history = json.loads(str(saved.pop("history")))
    found = json.loads(done.stdout.splitlines()[-1]) if kind == "processes" else {}
    return list(saved.values()), history, found


def _assert_same(one, other):
    for first, second in zip(one[0], other[0], strict=True):
        np.testing.assert_array_equal(first, second)
    assert one[1] == other[1]


@pytest.fixture(scope="module")
def devices(tmp_path_factory):
    return _train(tmp_path_factory.mktemp("devices"), "devices", "devices=2", **NOISED)


@JAX
def test_two_processes_are_two_devices_to_the_bit(tmp_path, devices):
    """With dropout, stochastic depth, input noise, a moving average and the statistics of normalisation."""
    found = _train(tmp_path, "processes", "workers=2", **NOISED)
    assert found[2] == {"resumed_from": 0, "leads": True, "devices": 2, "workers": 2, "restarts": 0}
    _assert_same(devices, found)


@JAX
def test_a_killed_worker_costs_no_bit(tmp_path, devices):
    found = _train(tmp_path, "processes", "workers=2", kill_at=13, **NOISED)
    assert (found[2]["restarts"], found[2]["resumed_from"]) == (1, 10)
    _assert_same(devices, found)


@JAX
def test_without_dropout_one_device_is_within_1e_5_after_50_steps(tmp_path):
    _assert_close(tmp_path, {"backend": "jax"} | PLAIN, rows=[25, 50])


@pytest.mark.parametrize("coin", ["batch", "sample"])
def test_tensorflow_draws_and_normalises_for_the_whole_batch(tmp_path, coin):
    """Two replicas have the coins, the dropout and the statistics of one device: else they would differ by far."""
    values = {"backend": "tensorflow", "noise.stochastic_depth.coin": coin} | NOISED
    _assert_close(tmp_path, values, rows=[10, 20])


def _assert_close(folder, values, *, rows):
    """One device and two end with the same weights, up to rounding."""
    alone = _train(folder / "1", "none", **values)
    shared = _train(folder / "2", "devices", "devices=2", **values)
    for first, second in zip(alone[0], shared[0], strict=True):
        np.testing.assert_allclose(first, second, atol=1e-5)
    assert [row["step"] for row in alone[1]] == [row["step"] for row in shared[1]] == rows
    losses = [[row["train_loss"] for row in history] for _, history, _ in (alone, shared)]
    np.testing.assert_allclose(*losses, rtol=1e-5)
    assert any(not np.array_equal(*pair) for pair in zip(alone[0], shared[0], strict=True)), "nothing was shared"


@JAX
def test_noise_on_the_device_is_that_of_one_process(tmp_path):
    values = {"input_noise": "device", "student.steps": 10} | NOISED
    _assert_same(
        _train(tmp_path / "1", "devices", "devices=2", **values),
        _train(tmp_path / "2", "processes", "workers=2", **values),
    )

"""The whole pipeline through DVC, its trainings shared out; slow: real runs in a clone."""

import importlib.util
import json
import os
import signal
import subprocess
import time

import psutil
import pytest

from clones import make_clone

pytestmark = pytest.mark.slow
NO_JAX = pytest.mark.skipif(
    importlib.util.find_spec("jax") is None, reason="jax is not installed (requirements-jax.txt)"
)
CASES = {
    "two devices, TensorFlow": ("tensorflow", "devices", "devices=2"),
    "two devices, JAX": ("jax", "devices", "devices=2"),
    "two processes, JAX": ("jax", "processes", "workers=2"),
    "two processes on Ray, JAX": ("jax", "processes", "name=ray,workers=2"),
}


NO_RAY = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="Ray is not installed (requirements-ray.txt)"
)


@pytest.mark.parametrize(
    "case", [pytest.param(case, marks=[NO_JAX] * ("JAX" in case) + [NO_RAY] * ("Ray" in case)) for case in CASES]
)
def test_the_pipeline(tmp_path, case):
    backend, kind, launch = CASES[case]
    clone = make_clone(tmp_path / "project")
    clone.set(backend=backend, distribution=kind, precision="float32")
    clone.run("dvc", "repro", LAUNCH=launch)
    figures = json.loads(clone.read("metrics/eval.json"))
    assert figures["teacher"]["accuracy"] > 0.4  # ten classes, 60 labels
    for stage in ("teacher", "student@gen1"):
        entry = json.loads(clone.read("metrics/run.json"))[stage]
        assert entry["distribution"] == kind
        assert len(entry["devices"]) == 2
        assert kind == "devices" or (entry["workers"], entry["restarts"]) == (2, 0)
    first = clone.read("models/student-gen1.keras")
    clone.run("dvc", "repro", "--force", "--single-item", "student", LAUNCH=launch)
    assert clone.read("models/student-gen1.keras") == first


@NO_JAX
def test_a_killed_process_under_dvc(tmp_path):
    """A rank is killed in the middle of the teacher's training: the stage succeeds, with the same bytes."""
    clone = make_clone(tmp_path / "project")
    values = {"teacher__steps": 400, "teacher__validate_every": 20, "checkpoint__every_minutes": 0.0}
    clone.set(backend="jax", distribution="processes", precision="float32", **values)
    clone.run("dvc", "repro", "teacher", LAUNCH="workers=2")
    whole = clone.read("models/teacher.keras")
    command = ["dvc", "repro", "--force", "--single-item", "teacher"]
    options = {"cwd": clone.folder, "env": {**clone.env, "LAUNCH": "workers=2"}, "stdout": subprocess.PIPE}
    stage = subprocess.Popen(command, stderr=subprocess.STDOUT, **options)
    saved, until = clone.folder / "checkpoints/teacher", time.monotonic() + 300
    while not list(saved.glob("*/*.npz")):
        assert time.monotonic() < until
        assert stage.poll() is None
        time.sleep(0.02)
    os.kill(max(_ranks(stage.pid)), signal.SIGKILL)
    said = stage.communicate(timeout=600)[0].decode()
    assert stage.returncode == 0, said
    assert "all begin again from the last checkpoint (restart 1 of 3)" in said
    entry = json.loads(clone.read("metrics/run.json"))["teacher"]
    assert entry["restarts"] == 1
    assert entry["resumed_from_step"] > 0
    assert clone.read("models/teacher.keras") == whole


def _ranks(number):
    below = psutil.Process(number).children(recursive=True)
    return [each.pid for each in below if "noisy_student.launching.rank" in each.cmdline()]


def test_devices_are_counted_where_launch_yaml_does_not_say(tmp_path):
    """Another process asks TensorFlow; the other mistakes are in tests/test_mistakes.py."""
    clone = make_clone(tmp_path / "project")
    clone.set(distribution="devices")
    said = clone.run("dvc", "repro", "check", fails=True, LAUNCH="", CUDA_VISIBLE_DEVICES="")
    assert "there is 1 device to share a batch out to" in said
    assert "LAUNCH=devices=2" in said
    assert "Traceback" not in said
    assert not (clone.folder / "data/prepared/checked.json").exists()

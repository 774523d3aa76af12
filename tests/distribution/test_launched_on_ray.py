"""A training's processes on Ray: placed, watched and started again by Ray Train, to the same bytes."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest
from launchers import start_patient
from test_shared import JAX, NOISED, _assert_same, _train

from noisy_student.launching import ray as by_ray
from noisy_student.launching.launcher import LaunchError, launched
from noisy_student.runtime import environment
from noisy_student.runtime.errors import ParamsError, UserError
from support import ROOT

HERE = Path(__file__).parent
pytestmark = [
    pytest.mark.slow,  # Ray Train takes seconds to start
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed (requirements-ray.txt)"),
]


@pytest.fixture(autouse=True)
def _two_workers(monkeypatch, tmp_path):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("LAUNCH", "name=ray,workers=2")
    for name in ("DVC_ROOT", "CUDA_VISIBLE_DEVICES", "RAY_TRAIN_V2_ENABLED"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    yield
    # one that outlives its cluster ends this process, as soon as there is another cluster
    assert by_ray.THREAD not in {thread.name for thread in threading.enumerate()}


def test_ranks_know_who_they_are_and_rank_0_speaks(capfd):
    found = launched("rank_work", "facts", title="t")
    assert (found["rank"], found["of"], found["workers"], found["restarts"]) == (0, 2, 2, 0)
    assert len(found["hosts"]) == 1
    assert "printed by 0\n" in (said := capfd.readouterr().out)
    assert "printed by 1" not in said
    assert not list(Path().rglob("*")), "nothing is left"
    assert not (Path.home() / "ray_results").exists()


@pytest.mark.parametrize("times", [1, 2])
def test_all_begin_again_when_one_is_killed(tmp_path, capfd, times):
    found = launched("rank_work", "deadly", str(tmp_path), str(times), title="student@gen1")
    assert found["restarts"] == times
    said = capfd.readouterr().err
    assert said.count("student@gen1: rank 1 (host ") == times
    assert (
        f"died (killed: signal 9, by the system if the memory was full); all begin again from the last checkpoint "
        f"(restart {times} of 3)" in said
    )


def test_all_begin_again_when_a_worker_of_ray_is_killed(tmp_path, capfd):
    found = launched("rank_work", "deadly_parent", str(tmp_path), title="t")
    assert found["restarts"] == 1
    assert "a worker of Ray, or its host, was lost; all begin again" in capfd.readouterr().err


def test_one_that_fails_each_time_is_named_with_its_last_words(monkeypatch):
    monkeypatch.setenv("LAUNCH", "name=ray,workers=2,restarts=1")
    message = r"t: rank 1 \(host .*\) failed \(ZeroDivisionError: division by zero: ZeroDivision.*\), after 1 restarts"
    with pytest.raises(LaunchError, match=message):
        launched("rank_work", "buggy", title="t")


@pytest.mark.parametrize(("who", "message"), [(0, "^the images are"), (1, r"^rank 1 \(host .*\): the images are")])
def test_a_users_mistake_is_no_reason_to_begin_again(who, message, capfd):
    with pytest.raises(UserError, match=message):
        launched("rank_work", "wrong", str(who), title="t")
    assert "begin again" not in capfd.readouterr().err


def test_a_full_disk_is_that_of_one_process():
    with pytest.raises(OSError, match="No space left") as full:
        launched("rank_work", "full", title="t")
    assert (full.value.errno, full.value.filename) == (28, "models/teacher.keras")


def test_ranks_that_do_not_find_one_another(monkeypatch):
    monkeypatch.setenv("LAUNCH", "name=ray,workers=2,patience=20")
    with pytest.raises(LaunchError, match=r"after 20 s rank 0 \(host .*\), rank 1 \(host .*\) did not find the others"):
        launched("rank_work", "lost", title="t")


def test_other_packages_are_refused(monkeypatch):
    ours = environment.versions() | {"numpy": "1.0.0"}
    monkeypatch.setattr(environment, "versions", lambda: ours)
    with pytest.raises(UserError, match=r"has numpy 2\..* \(here 1\.0\.0\)\. Install the same packages on every node"):
        launched("rank_work", "facts", title="t")


def test_an_address_that_nobody_serves(monkeypatch):
    monkeypatch.setenv("LAUNCH", "name=ray,workers=2,address=127.0.0.1:1")
    with pytest.raises(ParamsError, match=r"launch address: 127\.0\.0\.1:1: no Ray cluster answers there"):
        launched("rank_work", "facts", title="t")


def test_a_signal_lets_rank_0_save_and_ends_all(tmp_path):
    launcher, ranks = start_patient(tmp_path, seconds=120)
    launcher.send_signal(signal.SIGTERM)
    said = launcher.communicate(timeout=90)[1].decode()
    assert "interrupted: saved at step 7" in said
    assert launcher.returncode == 128 + signal.SIGTERM
    assert psutil.wait_procs(ranks, timeout=30)[1] == []


def test_no_rank_outlives_a_killed_launcher(tmp_path):
    launcher, ranks = start_patient(tmp_path, seconds=120)
    launcher.kill()
    launcher.communicate(timeout=90)
    assert psutil.wait_procs(ranks, timeout=60)[1] == []


@JAX
def test_a_training_is_that_of_two_devices_to_the_bit_also_when_a_rank_is_killed(tmp_path):
    expected = _train(tmp_path / "devices", "devices", "devices=2", **NOISED)
    found = _train(tmp_path / "ray", "processes", "name=ray,workers=2", **NOISED)
    assert (found[2]["restarts"], found[2]["devices"]) == (0, 2)
    _assert_same(expected, found)
    found = _train(tmp_path / "killed", "processes", "name=ray,workers=2", kill_at=13, **NOISED)
    assert (found[2]["restarts"], found[2]["resumed_from"]) == (1, 10)
    _assert_same(expected, found)


def test_the_command_passes_the_cluster_on(monkeypatch):
    monkeypatch.delenv("LAUNCH")
    Path("params.yaml").write_text(json.dumps({"distribution": "processes"}))
    path = os.pathsep.join([str(ROOT), os.environ["PYTHONPATH"]])
    command = [sys.executable, "-m", "noisy_student", "launch", "--workers", "2", "--ray"]
    for address, expected in (("local", "name=ray,workers=2"), ("h:6379", "name=ray,address=h:6379,workers=2")):
        done = subprocess.run(
            [*command, address, "--", "env"],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONPATH": path},
        )
        assert f"LAUNCH={expected}" in done.stdout.splitlines()

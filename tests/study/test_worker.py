"""A run whose stages are forked leaves what DVC's own run leaves, and nothing of it stays in the worker."""

import json
import os
import subprocess
import sys

import psutil
import pytest

from clones import make_clone
from experiments.study.worker import Worker
from support import ROOT

OF_STUDENT = ("student@gen1", "eval@gen1", "robustness@gen1", "card@gen1", "results")
TIMES = ("finished", "seconds")
# by it no stage can be started: it has to come from the worker
NO_PYTHON = "#!/bin/sh\necho a stage was started >&2\nexit 1\n"


def _files(clone):
    """{path: bytes} of all that stages and DVC have left in the workspace, but for times."""
    paths = [clone.folder / "dvc.lock", clone.folder / "params.yaml"]
    for name in ("data/prepared", "models", "metrics"):
        paths += [path for path in (clone.folder / name).rglob("*") if path.is_file() and path.name != ".gitignore"]
    files = {path.relative_to(clone.folder).as_posix(): path.read_bytes() for path in paths}
    record = json.loads(files.pop("metrics/run.json"))
    # a stage that failed, and then came out of the run cache, has not run again
    record = {stage: entry for stage, entry in record.items() if "failed" not in entry}
    for entry in record.values():
        assert all(entry.pop(key) for key in TIMES)
        entry.pop("seconds_a_shard", None)
        entry["commit"] = entry["commit"].partition("+")[2]  # two clones have two
    return files | {"metrics/run.json": record}


def _experiments(clone):
    return sorted(clone.run("dvc", "exp", "list", "--name-only").split())


@pytest.fixture
def pair(tmp_path, monkeypatch):
    """(a clone for DVC, one for a worker, a function that runs an experiment there, the worker's process)."""
    by_dvc, by_worker = (make_clone(tmp_path / name / "project") for name in ("dvc", "worker"))
    shim = tmp_path / "bin/python"
    shim.parent.mkdir()
    shim.write_text(NO_PYTHON)
    shim.chmod(0o755)
    for name, value in {**by_worker.env, "PATH": f"{shim.parent}{os.pathsep}{by_worker.env['PATH']}"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    with (tmp_path / "lock").open("w") as lock:
        options = {"backend": "tensorflow", "log": tmp_path / "log", "lock": lock.fileno(), "cores": None}
        worker = Worker(by_worker.folder, **options)

        def run(name):
            worker.start(["exp", "run", "--name", name], tmp_path / name)
            while not worker.ended(1.0):
                pass
            return (tmp_path / name).read_text()

        run.worker = worker
        yield by_dvc, by_worker, run, psutil.Process(worker.process.pid)
        worker.close()


THREADS = """
import os, dvc.cli, dvc.repo, dvc.stage.run
from experiments import forking
forking.import_libraries("tensorflow")
import tensorflow, noisy_student.training
print(len(os.listdir("/proc/self/task")))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="stages are forked on Linux only")
def test_what_forks_stages_has_no_threads():
    """Threads are not forked: a pool that was made before would do no work, or wait for ever.

    But for OpenBLAS's, which makes its own anew in a child.
    """
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "KERAS_BACKEND": "tensorflow"}
    command = [sys.executable, "-c", THREADS]
    assert subprocess.run(command, env=environment, cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout == b"1\n"


@pytest.mark.slow
def test_a_run_is_stopped_and_goes_on(pair, tmp_path):
    """Ctrl-C: the training saves, and goes on in the next run of the same worker; none is left behind."""
    _, clone, run, process = pair
    changes = {"teacher__steps": 2000, "checkpoint__every_minutes": 0.0}
    clone.set(**changes)
    worker = run.worker
    worker.start(["exp", "run", "--name", "stopped"], tmp_path / "stopped")
    while not list((clone.folder / "checkpoints/teacher").glob("*/[0-9]*.npz")):
        assert not worker.ended(0.1), (tmp_path / "stopped").read_text()
    worker.interrupt()
    assert process.children(recursive=True) == []
    said = (tmp_path / "stopped").read_text()
    assert "interrupted: teacher: stopped; saved at step" in said
    assert "Traceback" not in said
    clone.run("git", "checkout", "-q", "-f", "main")
    clone.set(**changes)
    assert "resumed_from_step=" in run("again")


@pytest.mark.slow
def test_runs_of_a_worker_leave_what_those_of_dvc_leave(pair):
    by_dvc, by_worker, run, process = pair
    by_dvc.run("dvc", "exp", "run", "--name", "one")
    output = run("one")
    assert "a stage was started" not in output
    assert output.count("Running stage") == 12
    assert _files(by_worker) == _files(by_dvc)
    memory = process.memory_info().rss

    by_worker.set(pseudolabel__threshold=0.9999, balance__on_empty="error")
    output = run("failing")  # this one only
    assert "error: " in output
    assert "No pseudo-label of any class is above" in output
    assert "failed to reproduce 'balance@gen1'" in output
    assert "Traceback" not in output

    for clone in (by_dvc, by_worker):
        clone.set(pseudolabel__threshold=0.1, balance__on_empty="skip", student__label_smoothing=0.1)
    by_dvc.run("dvc", "exp", "run", "--name", "two")
    output = run("two")
    assert all(f"Running stage '{stage}'" in output for stage in OF_STUDENT)
    assert "Running stage 'teacher'" not in output
    assert _files(by_worker)["models/student-gen1.keras"] == _files(by_dvc)["models/student-gen1.keras"]
    assert _files(by_worker)["dvc.lock"] == _files(by_dvc)["dvc.lock"]
    assert _experiments(by_worker) == _experiments(by_dvc) == ["one", "two"]
    assert process.memory_info().rss < memory + 2**24

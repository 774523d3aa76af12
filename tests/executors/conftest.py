"""Tasks for the tests of this folder."""

import os

import pytest
from executors_used import HERE

from noisy_student.executors.tasks import Task


@pytest.fixture(autouse=True)
def _work_is_importable(monkeypatch):
    """In this process, and in those that are started from it."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.syspath_prepend(HERE)
    for variable in ("DVC_ROOT", "EXECUTOR"):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture
def tasks(tmp_path, monkeypatch):
    """A function: tasks of numbers from 0, in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def of(count, **arguments):
        return [
            Task(f"number {n}", tmp_path / f"out/{n}.txt", 10, {"number": n, "log": str(tmp_path / "log"), **arguments})
            for n in range(count)
        ]

    return of

"""How stages end: one message and exit status 1 for what a user can mend, a traceback for a bug."""

import signal
import sys

import pytest

from noisy_student.runtime.errors import UserError
from noisy_student.runtime.signals import Stopped, Terminated
from stages.entry import run


class ResourceExhaustedError(Exception):
    """Named as TensorFlow's."""


MENDABLE = [
    (UserError("lower it"), "error: lower it"),
    (OSError(28, "No space left on device"), "error: .*No space left.*Free some space"),
    (MemoryError(), r"error: out of memory\. Lower batch_size"),
    (
        ResourceExhaustedError("OOM when allocating\nmore"),
        r"error: out of memory \(OOM when allocating\)\. Lower",
    ),
    (RuntimeError("RESOURCE_EXHAUSTED: 3 GB"), r"error: out of memory \(RESOURCE_EXHAUSTED: 3 GB\)\. Lower"),
]
INTERRUPTS = [
    (KeyboardInterrupt(), 130, "interrupted: nothing was written"),
    (Terminated(), 143, "interrupted: nothing was written"),
    (Stopped("teacher: stopped; saved at step 7", 15), 143, "interrupted: teacher: stopped; saved at step 7"),
    (Stopped("prepare: stopped", KeyboardInterrupt()), 130, "interrupted: prepare: stopped"),
]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # a run writes metrics/run.json
    monkeypatch.delenv("DVC_ROOT", raising=False)
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def _end_with(error, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["stage"])

    def main():
        raise error

    run(main)


@pytest.mark.parametrize(("error", "message"), MENDABLE, ids=lambda value: type(value).__name__)
def test_what_a_user_can_mend(error, message, monkeypatch):
    with pytest.raises(SystemExit, match=message):
        _end_with(error, monkeypatch)


@pytest.mark.parametrize(("error", "status", "message"), INTERRUPTS, ids=lambda value: type(value).__name__)
def test_interrupts_have_the_status_of_their_signal(error, status, message, monkeypatch, capsys):
    with pytest.raises(SystemExit) as end:
        _end_with(error, monkeypatch)
    assert end.value.code == status
    assert capsys.readouterr().err.startswith(message)


def test_a_bug_keeps_its_traceback(monkeypatch):
    with pytest.raises(ZeroDivisionError):
        _end_with(ZeroDivisionError(), monkeypatch)


def test_the_generation_comes_from_dvc_or_by_hand(monkeypatch):
    seen = []
    monkeypatch.setenv("DVC_STAGE", "student@gen3")
    monkeypatch.setattr(sys, "argv", ["student"])
    run(lambda generation: seen.append(generation))
    monkeypatch.setattr(sys, "argv", ["student", "gen1"])
    run(lambda generation: seen.append(generation))
    assert seen == ["gen3", "gen1"]

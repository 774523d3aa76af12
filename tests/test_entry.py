"""How stages end: one message and exit status 1 for what a user can mend, a traceback for a bug."""

import signal
import sys

import pytest

from noisy_student.runtime.errors import ParamsError, UserError
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


REFUSED = ParamsError("params.yaml:\n  seed: wrong (found 'x')\nMend params.yaml and run again.")
WHERE = {  # environment of DVC, folder: last line
    "by hand": ({}, ".", "Mend params.yaml and run again."),
    "in the workspace": (
        {"DVC_EXP_BASELINE_REV": "abc", "DVC_EXP_NAME": "tidy-name"},
        ".",
        "These values are of the experiment tidy-name: mend its -S, or params.yaml, which holds them, and run again.",
    ),
    "--temp": (
        {"DVC_EXP_BASELINE_REV": "abc", "DVC_EXP_NAME": "tidy-name"},
        ".dvc/tmp/exps/standalone/tmpabc",
        "This is the copy of the experiment tidy-name: mend its -S or your params.yaml, and start or queue it anew.",
    ),
    "the queue, without a name": (
        {"DVC_EXP_BASELINE_REV": "abc"},
        ".dvc/tmp/exps/tmpabc",
        "This is the copy of the experiment: mend its -S or your params.yaml, and start or queue it anew.",
    ),
}


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("error", [REFUSED, UserError("too fast. Lower teacher.steps in params.yaml.")])
def test_a_message_about_parameters_says_where_they_come_from(where, error, monkeypatch, tmp_path):
    environment, folder, said = WHERE[where]
    for name in ("DVC_EXP_BASELINE_REV", "DVC_EXP_NAME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    monkeypatch.chdir(tmp_path / folder)
    with pytest.raises(SystemExit) as end:
        _end_with(error, monkeypatch)
    lines, plain = str(end.value).splitlines(), f"error: {error}".splitlines()
    assert lines[0] == plain[0]
    assert lines[-1] == (said if environment else plain[-1])
    assert str(end.value).count("and run again") <= 1


def test_other_messages_stay_as_they_are_in_an_experiment(monkeypatch):
    monkeypatch.setenv("DVC_EXP_BASELINE_REV", "abc")
    with pytest.raises(SystemExit, match=r"^error: a\.png cannot be read$"):
        _end_with(UserError("a.png cannot be read"), monkeypatch)


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

"""How stages end: one message and exit status 1 for what a user can mend, a traceback for a bug."""

import sys

import pytest

from noisy_student.errors import UserError
from stages.entry import run


class ResourceExhaustedError(Exception):
    """Named as TensorFlow's."""


MENDABLE = [
    (UserError("lower it"), "error: lower it"),
    (OSError(28, "No space left on device"), "error: .*No space left.*free the space"),
    (MemoryError(), r"error: out of memory\. Lower batch_size"),
    (
        ResourceExhaustedError("OOM when allocating\nmore"),
        r"error: out of memory \(OOM when allocating\)\. Lower",
    ),
    (RuntimeError("RESOURCE_EXHAUSTED: 3 GB"), r"error: out of memory \(RESOURCE_EXHAUSTED: 3 GB\)\. Lower"),
    (KeyboardInterrupt(), "interrupted: nothing was written"),
]


def _end_with(error, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["stage"])

    def main():
        raise error

    run(main)


@pytest.mark.parametrize(("error", "message"), MENDABLE, ids=lambda value: type(value).__name__)
def test_what_a_user_can_mend(error, message, monkeypatch):
    with pytest.raises(SystemExit, match=message):
        _end_with(error, monkeypatch)


def test_a_bug_keeps_its_traceback(monkeypatch):
    with pytest.raises(ZeroDivisionError):
        _end_with(ZeroDivisionError(), monkeypatch)


def test_the_generation_comes_from_dvc_or_by_hand(monkeypatch):
    seen = []
    monkeypatch.setenv("DVC_STAGE", "student@gen3")
    monkeypatch.setattr(sys, "argv", ["student"])
    run(lambda generation: seen.append(generation), generation=True)
    monkeypatch.setattr(sys, "argv", ["student", "gen1"])
    run(lambda generation: seen.append(generation), generation=True)
    assert seen == ["gen3", "gen1"]

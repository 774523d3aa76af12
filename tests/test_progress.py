"""How far the work is, where there is no terminal and where there is one."""

import contextlib
import io
import itertools

import pytest

from noisy_student.runtime import progress


class Terminal(io.StringIO):
    """A stream that claims to be one."""

    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    """A list whose only number is the time."""
    now = [1000.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def lines(capfd):
    return capfd.readouterr().err.splitlines()


def test_a_line_at_the_start_every_thirty_seconds_and_at_the_end(clock, capfd):
    with progress.bar(total=1300, name="pseudolabel gen1", unit="image") as shown:
        for _ in range(130):
            clock[0] += 1.0
            shown.update(10)
    assert lines(capfd) == [
        "pseudolabel gen1: 0 of 1,300 images",
        "pseudolabel gen1: 300 of 1,300 images after 30 s, about 1 min 40 s left",
        "pseudolabel gen1: 600 of 1,300 images after 1 min 0 s, about 1 min 10 s left",
        "pseudolabel gen1: 900 of 1,300 images after 1 min 30 s, about 40 s left",
        "pseudolabel gen1: 1,200 of 1,300 images after 2 min 0 s, about 10 s left",
        "pseudolabel gen1: 1,300 of 1,300 images in 2 min 10 s",
    ]


def test_what_was_resumed_does_not_count_for_the_speed(clock, capfd):
    with progress.bar(total=300, name="eval teacher", unit="image", initial=200) as shown:
        clock[0] += 3600.0
        shown.update(50)
        shown.set_postfix(val_accuracy="0.5")
        clock[0] += 3600.0
        shown.update(25)
        clock[0] += 1800.0
        shown.update(25)
    assert lines(capfd) == [
        "eval teacher: 200 of 300 images",
        "eval teacher: 250 of 300 images after 1 h 0 min, about 1 h 0 min left",
        "eval teacher: 275 of 300 images after 2 h 0 min, about 40 min 0 s left, val_accuracy 0.5",
        "eval teacher: 300 of 300 images in 2 h 30 min, val_accuracy 0.5",
    ]


def test_what_is_brief_says_nothing_and_what_fails_claims_no_end(clock, capfd):
    assert list(progress.progress(range(3), name="read", brief=True)) == [0, 1, 2]
    with contextlib.suppress(ValueError), progress.bar(total=9, name="robustness", unit="step"):
        raise ValueError
    assert lines(capfd) == ["robustness: 0 of 9 steps"]


def test_what_was_to_be_brief_and_is_not(clock, capfd):
    for _ in progress.progress(range(2), name="read cat", unit="image", brief=True):
        clock[0] += 31.0
    assert lines(capfd) == [
        "read cat: 1 of 2 images after 31 s, about 31 s left",
        "read cat: 2 of 2 images in 1 min 2 s",
    ]


def test_bytes_are_counted_in_mebibytes(clock, capfd):
    with progress.bar(total=None, name="x", unit="byte") as shown:
        clock[0] += 30.0
        shown.update(3 * 2**19)
    assert lines(capfd) == ["x: 0.0 MiB", "x: 1.5 MiB after 30 s", "x: 1.5 MiB in 30 s"]


def test_a_terminal_has_a_bar_of_whole_numbers(monkeypatch):
    monkeypatch.setattr(progress.sys, "stderr", terminal := Terminal())
    with progress.bar(total=300, name="teacher", unit="step") as shown:
        shown.update(30)
        shown.refresh()
    last = [text for text in terminal.getvalue().split("\r") if "30/" in text]
    assert last
    assert all(" 30/300 [" in text for text in last)
    assert not any(a + b in terminal.getvalue() for a, b in itertools.product(("30.0", "0.00"), ("/", "k")))

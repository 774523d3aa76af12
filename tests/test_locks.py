"""Locks: one at a time, gone with their process."""

import errno
import fcntl
import os
import signal
import subprocess
import sys
import time

import pytest

from noisy_student.runtime import locks
from support import ROOT

HOLD = """
import sys, time
from pathlib import Path
from noisy_student.runtime import locks
with locks.held(Path(sys.argv[1]), what="stage teacher"):
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
print("done", flush=True)
"""


def _hold(path, seconds):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path), str(seconds)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_process_waits_and_says_for_whom(tmp_path):
    first = _hold(tmp_path / "a.lock", 1.0)
    start = time.monotonic()
    second = _hold(tmp_path / "a.lock", 0)
    assert time.monotonic() - start > 0.5
    assert first.wait() == second.wait() == 0
    message = second.stderr.read()
    assert "stage teacher: already at work in another process" in message
    assert f"pid {first.pid}" in message
    assert not locks.is_held(tmp_path / "a.lock")


def test_a_killed_process_leaves_no_lock(tmp_path):
    path = tmp_path / "a.lock"
    process = _hold(path, 60)
    assert locks.is_held(path)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert path.exists()
    assert not locks.is_held(path)
    with locks.held(path, what="x"):
        assert path.read_text() == str(os.getpid())


def test_who_asks_needs_no_exclusive_lock(tmp_path, monkeypatch):
    """NFS gives none for a file that is open for reading, and whoever lists must not look like a stage at work."""
    path, flock = tmp_path / "a.lock", fcntl.flock

    def nfs(file, how):
        if how & fcntl.LOCK_EX and "+" not in file.mode and "w" not in file.mode:
            raise OSError(errno.EBADF, "Bad file descriptor")
        return flock(file, how)

    monkeypatch.setattr(fcntl, "flock", nfs)
    with locks.held(path, what="x"):
        assert locks.is_held(path)
    assert not locks.is_held(path)
    with path.open("rb") as other:
        flock(other, fcntl.LOCK_SH)
        assert not locks.is_held(path)


def test_an_error_lets_go(tmp_path):
    path = tmp_path / "deep/er/a.lock"
    with pytest.raises(RuntimeError), locks.held(path, what="x"):
        raise RuntimeError
    assert not locks.is_held(path)
    with locks.held(path, what="x", wait=False), pytest.raises(BlockingIOError), locks.held(path, what="x", wait=False):
        raise AssertionError("two hold it")


def test_a_process_that_is_given_the_file_keeps_the_lock(tmp_path):
    """Its starter may have ended or been killed: a study's DVC goes on."""
    path = tmp_path / "a.lock"
    with locks.held(path, what="x") as number:
        process = subprocess.Popen(["sleep", "60"], pass_fds=[number])
    assert locks.is_held(path)
    process.kill()
    process.wait()
    assert not locks.is_held(path)


def test_many_at_once_are_one_after_the_other(tmp_path):
    """A counter in a file, read and written without care: no step is lost."""
    code = """
import sys, time
from pathlib import Path
from noisy_student.runtime import locks
for _ in range(20):
    with locks.held(Path(sys.argv[1], "a.lock"), what="x"):
        file = Path(sys.argv[1], "count")
        count = int(file.read_text())
        time.sleep(0.001)
        file.write_text(str(count + 1))
"""
    (tmp_path / "count").write_text("0")
    started = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, stderr=subprocess.DEVNULL)
        for _ in range(4)
    ]
    assert [process.wait() for process in started] == [0] * 4
    assert (tmp_path / "count").read_text() == "80"

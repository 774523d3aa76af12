"""A stage notices that the DVC that started it is gone, whatever shell stands between them."""

import contextlib
import os
import signal
import subprocess
import sys
import time

import pytest

from noisy_student.runtime.signals import Stopped, deferred
from support import ROOT

STAGE = """
import pathlib, time
from noisy_student.runtime.signals import is_orphaned
print("alone" if is_orphaned() else "started", flush=True)
end = time.monotonic() + 20
while time.monotonic() < end and not is_orphaned():
    time.sleep(0.01)
if is_orphaned():
    pathlib.Path("seen").touch()
"""
DVC = """
import os, subprocess, sys, time
subprocess.Popen(sys.argv[1:], env={**os.environ, "DVC_STAGE": "teacher"})
time.sleep(60)
"""
COMMANDS = {
    "no shell": [sys.executable, "stage.py"],
    "a shell that is replaced": ["/bin/sh", "-c", f"exec {sys.executable} stage.py"],
    "a shell that waits": ["/bin/sh", "-c", f"{sys.executable} stage.py; exit $?"],
}


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
@pytest.mark.parametrize("reaped", [True, False])
def test_an_orphan_knows(tmp_path, command, reaped):
    (tmp_path / "stage.py").write_text(STAGE)
    environment = {k: v for k, v in os.environ.items() if k != "DVC_STAGE"} | {"PYTHONPATH": str(ROOT)}
    dvc = subprocess.Popen(
        [sys.executable, "-c", DVC, *command],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert dvc.stdout.readline() == "started\n"
    assert not (tmp_path / "seen").exists()
    dvc.kill()
    if reaped:
        dvc.wait()
    end = time.monotonic() + 20
    while not (tmp_path / "seen").exists() and time.monotonic() < end:
        time.sleep(0.01)
    dvc.wait()
    assert (tmp_path / "seen").exists()


def test_without_dvc_nobody_is_an_orphan(tmp_path):
    (tmp_path / "stage.py").write_text("from noisy_student.runtime.signals import is_orphaned; print(is_orphaned())")
    environment = {k: v for k, v in os.environ.items() if k != "DVC_STAGE"} | {"PYTHONPATH": str(ROOT)}
    found = subprocess.run(
        [sys.executable, "stage.py"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout == "False\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_that_nobody_served_is_handed_to_the_block_around(number):
    with deferred() as outer:
        with deferred() as inner:
            os.kill(os.getpid(), number)
            assert (inner.pending(), outer.pending()) == (number, None)
        assert outer.pending() == number


def test_a_signal_that_came_before_the_block_asks_in_it_too():
    with deferred() as outer:
        os.kill(os.getpid(), signal.SIGINT)
        with deferred() as inner:
            assert inner.pending() == signal.SIGINT
            with pytest.raises(KeyboardInterrupt):
                os.kill(os.getpid(), signal.SIGINT)  # the second one acts at once
        assert outer.pending() == signal.SIGINT


def test_a_signal_that_was_served_is_not():
    with deferred() as outer:
        with contextlib.suppress(Stopped), deferred() as inner:
            os.kill(os.getpid(), signal.SIGINT)
            raise Stopped("saved", inner.pending())
        assert inner.pending() == signal.SIGINT
        assert outer.pending() is None

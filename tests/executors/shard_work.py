"""What the tests of executors let workers do; each call leaves a line in a log, so that nothing is done in secret."""

import os
import signal
import time
from pathlib import Path

from noisy_student.runtime.errors import UserError


def note(log, line):
    with open(log, "ab") as file:
        file.write(f"{line} {os.getpid()}\n".encode())


def begin(log):
    note(log, "start")


def square(output, *, number, log, seconds=0.0):
    note(log, f"begin {number}")
    time.sleep(seconds)
    Path(output).write_bytes(b"%d\n" % number**2 * 1000)
    return {"square": number**2}


def difficult(output, *, number, log, way):
    """Number 3 goes wrong, always or once, in one of several ways."""
    note(log, f"begin {number}")
    marker = Path(f"{log}.once")
    if number == 3 and not (way.endswith("once") and marker.exists()):
        marker.touch()
        Path(output).write_bytes(b"half")
        if way.startswith("killed"):
            os.kill(os.getpid(), signal.SIGKILL)
        if way.startswith("disk"):
            raise OSError(28, "No space left on device", str(output))
        raise UserError("number 3 is odd. Take another one.")
    Path(output).write_bytes(b"%d\n" % number)


def processors(output, *, number):
    Path(output).write_text(f"{len(os.sched_getaffinity(0))} {os.environ.get('OMP_NUM_THREADS')}")

"""What the tests of executors let workers do; each call leaves a line in a log, so that nothing is done in secret."""

import contextlib
import os
import signal
import time
from pathlib import Path

from noisy_student.runtime.errors import UserError
from noisy_student.runtime.signals import Stopped


def note(log, line):
    with open(log, "ab") as file:
        file.write(f"{line} {os.getpid()}\n".encode())


def begin(log):
    note(log, "start")


def begin_at_last(log):
    """Succeeds the third time."""
    note(log, "start")
    if Path(log).read_text().count("start") < 3:
        raise OSError(5, "Input/output error", "weights")


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
        if way.startswith("memory"):
            raise MemoryError("8 GiB")
        if way.startswith("stopped"):
            raise Stopped("its host goes down", signal.SIGTERM)
        if way.startswith("disk"):
            raise OSError(28, "No space left on device", str(output))
        raise UserError("number 3 is odd. Take another one.")
    Path(output).write_bytes(b"%d\n" % number)


def processors(output, *, number):
    Path(output).write_text(f"{len(os.sched_getaffinity(0))} {os.environ.get('OMP_NUM_THREADS')}")


def own_processors(output, *, number, log):
    """Which they are; all workers are at work at once."""
    note(log, f"begin {number}")
    wait_for(lambda: Path(log).read_text().count("begin") >= 2)
    Path(output).write_text(" ".join(map(str, sorted(os.sched_getaffinity(0)))))


def talkative(output, *, number, log):
    """Prints, by Python and by the system, what its driver could take for an answer."""
    note(log, f"begin {number}")
    print('{"facts": {}}', flush=True)
    os.system("echo '{\"facts\": {}}'")
    Path(output).write_bytes(b"%d\n" % number)


def stopped(output, *, number, log, driver):
    """Number 2 asks the driver to stop, as a scheduler would."""
    note(log, f"begin {number}")
    if number == 2:
        os.kill(driver, signal.SIGTERM)
    time.sleep(0.05)
    Path(output).write_bytes(b"%d\n" % number)


@contextlib.contextmanager
def staying(output, *, number, log):
    """Is left when the file is in its place."""
    Path(output).touch()
    place = Path(log).parent / f"out/{number}.txt"
    yield {"too soon": int(place.exists())}
    note(log, f"left {number} {place.exists()}")


def even(output, *, number, log):
    """Odd numbers go wrong."""
    note(log, f"begin {number}")
    if number % 2:
        raise UserError(f"number {number} is odd.")
    Path(output).touch()


def saved(output, *, number, log, driver):
    """Takes a minute, unless it is asked to stop: then it saves. Number 1 has the driver asked to stop."""
    note(log, f"begin {number}")
    wait_for(lambda: Path(log).read_text().count("begin") >= 2)
    if number == 1:
        os.kill(driver, signal.SIGTERM)
    try:
        time.sleep(60)
    except KeyboardInterrupt:
        time.sleep(0.2)
        note(log, f"saved {number}")
        raise


def killer(output, *, number, log):
    """Number 1 kills the worker that has done number 0 and waits for more."""
    note(log, f"begin {number}")
    if number == 1:
        wait_for(Path(output).parent.joinpath("0.txt").exists)
        time.sleep(0.5)
        line = next(line for line in Path(log).read_text().splitlines() if line.startswith("begin 0"))
        os.kill(int(line.split()[-1]), signal.SIGKILL)
        time.sleep(0.5)
    Path(output).write_bytes(b"%d\n" % number)


def wait_for(condition, seconds=60.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)

"""A process that has DVC and the networks' libraries imported, and forks every run of a lane.

Each stage of `dvc exp run` would start Python and import TensorFlow anew: seconds, a dozen times a run. Here they are
imported once a lane. A run is still DVC's own `exp run`, in a child of this process, and its stages are children of
that, see `experiments.forking`.

    python -m experiments.study.worker FILE BACKEND     # the number of a socket's file, see `Worker`
"""

import contextlib
import importlib
import multiprocessing
import os
import signal
import subprocess
import sys
from multiprocessing.connection import Connection
from pathlib import Path

from experiments.forking import CONTEXT, dvc_of, import_libraries
from noisy_student.runtime import console, environment


class Worker:
    """The other side: starts the process, and tells it what to run.

    Args:
        folder: the lane's clone; its code is what runs.
        backend: what Keras is to run on.
        log: receives what the process says outside of runs.
        lock: number of a locked file, which stays locked until the last run has ended.
        cores: processors that it and its runs may use; None: all.
    """

    def __init__(self, folder: Path, *, backend: str, log: Path, lock: int, cores: list[int] | None) -> None:
        self.backend, self.alive = backend, True
        self._connection, theirs = multiprocessing.Pipe()
        with theirs, log.open("w", encoding="utf-8") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "experiments.study.worker", str(theirs.fileno()), backend],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                pass_fds=[theirs.fileno(), lock],
                start_new_session=True,  # Ctrl-C reaches runs through `interrupt` only
            )
        if cores is not None:
            os.sched_setaffinity(self.process.pid, cores)
        self._run: int | None = None  # the session of the run under way

    def start(self, command: list[str], log: Path) -> None:
        """Start `dvc` with these arguments; what it says goes into the file `log`."""
        with contextlib.suppress(OSError):  # it is dead: `ended` will find that
            self._connection.send((command, str(log.resolve())))

    def ended(self, seconds: float) -> bool:
        """Whether the run has ended, waiting for so long at most; a run without its worker is killed."""
        try:
            while self._connection.poll(seconds):
                kind, number = self._connection.recv()
                self._run = number if kind == "began" else None
                if kind == "ended":
                    return True
        except (EOFError, OSError):
            self._send(signal.SIGKILL)
            self.alive = False
            return True
        return False

    def interrupt(self) -> None:
        """Ctrl-C for DVC and its stage; then wait for their end."""
        while self._run is None:  # it has not yet said what its number is
            if self.ended(1.0):
                return
        self._send(signal.SIGINT)
        while not self.ended(1.0):
            pass

    def _send(self, number):
        if self._run is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._run, number)

    def close(self) -> None:
        """End the process, which has nothing to run."""
        self._connection.close()
        self.process.wait()


def serve(connection: Connection, backend: str) -> None:
    """Run what is asked for, one after the other, until the other side is gone."""
    code, prepared = environment.code_digest(), False
    while True:
        try:
            command, log = connection.recv()
        except EOFError:
            return
        if not prepared:
            for library in ("dvc.cli", "dvc.repo", "dvc.stage.run"):
                importlib.import_module(library)
            import_libraries(backend)
            prepared = True
        child = CONTEXT.Process(target=_run, args=(command, log, connection, code))
        child.start()
        child.join()
        with contextlib.suppress(OSError):  # the study was killed; its run has gone on to its end
            connection.send(("ended", child.exitcode))


def _run(command, log, connection, code):
    """What the child of a run does: DVC, with stages as its own children."""
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a study in the background ignores it, and passes it on
    connection.send(("began", os.getpid()))
    connection.close()
    with open(log, "a", encoding="utf-8") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.exit(dvc_of(code, command))


if __name__ == "__main__":
    console.use_utf8()
    with Connection(int(sys.argv[1])) as socket:
        os.set_inheritable(socket.fileno(), False)  # to what runs start
        serve(socket, sys.argv[2])

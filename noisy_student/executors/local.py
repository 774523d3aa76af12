"""Tasks in this process, or in several of this machine that are started for it.

Each worker is a Python process of its own that is given one task at a time, as a line of JSON. One that dies is
replaced, and its task begins again; one whose driver dies ends with it, for the end of its input says so.
"""

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Generator, Sequence
from typing import IO, Any, cast

from noisy_student.executors.processors import share_of
from noisy_student.executors.settings import ExecutorSettings
from noisy_student.executors.tasks import TRIES, Call, Outcome, Task, Work, may_pass, perform, why
from noisy_student.runtime import environment
from noisy_student.runtime.errors import UserError
from noisy_student.runtime.signals import Requests

_LOOK = 0.5  # seconds between two looks for requests to stop
_PATIENCE = 60.0  # seconds for a worker to save what it has, when it is asked to stop


def here(work: Work, tasks: Sequence[Task], requests: Requests) -> Generator[Outcome, None, None]:
    """Yield an outcome a task, done in this process one after the other; fewer if `requests` ask to stop."""
    for task in tasks:
        try:
            yield Outcome(task, perform(work.call, task.output, task.arguments), tries=1)
        except (UserError, OSError, MemoryError) as error:
            yield Outcome(task, None, tries=1, error=why(error))
        if requests.pending() is not None:
            return


def results(
    work: Work, tasks: Sequence[Task], settings: ExecutorSettings, requests: Requests
) -> Generator[Outcome, None, None]:
    """Yield an outcome a task, in the order in which they end; fewer if `requests` ask to stop."""
    waiting = deque((task, 0) for task in tasks)  # with how often it was begun
    pool = _Pool(work, min(settings.workers, len(tasks)))
    try:
        while waiting or pool.busy:
            pool.hand_out(waiting)
            for task, tries, reply in pool.replies(_LOOK):
                if reply.get("again") and tries < TRIES:
                    print(f"{task.name}: {reply['error']}; begun again", file=sys.stderr, flush=True)
                    waiting.append((task, tries))
                else:
                    yield Outcome(task, reply.get("facts"), tries, reply.get("error", ""))
            if requests.pending() is not None:
                yield from pool.stop()
                return
    finally:
        pool.kill()


class _Pool:
    """Processes, each with its task or none."""

    def __init__(self, work, workers):
        self.work, self.workers = work, workers
        self.selector = selectors.DefaultSelector()
        self.idle: list[_Worker] = []
        self.busy: list[_Worker] = []

    def hand_out(self, waiting):
        """Give every worker that has none a task; begin new workers where there are too few."""
        while waiting and (self.idle or len(self.busy) < self.workers):
            worker = self.idle.pop() if self.idle else self._begun()
            task, tries = waiting.popleft()
            worker.task, worker.tries = task, tries + 1
            self.busy.append(worker)
            worker.send({"output": os.fspath(task.output), "arguments": task.arguments})

    def replies(self, seconds):
        """(task, tries, reply) of the workers that have ended one, or have died, within some seconds."""
        found = []
        for key, _ in self.selector.select(seconds):
            worker = key.data
            line = worker.output.readline()
            if worker not in self.busy:  # an idle one has died
                self._forget(worker)
                continue
            if line.endswith(b"\n"):
                reply = json.loads(line)
                self.busy.remove(worker)
                self.idle.append(worker)
            else:
                reply = {"again": True, "error": self._death(worker)}
                self._forget(worker)
            found.append((worker.task, worker.tries, reply))
        return found

    def stop(self):
        """Ask all workers to save what they have; yield the outcomes of those that end their tasks instead."""
        for worker in self.busy:
            worker.signal(signal.SIGTERM)
        until = time.monotonic() + _PATIENCE
        while self.busy and (left := until - time.monotonic()) > 0:
            for task, tries, reply in self.replies(min(left, _LOOK)):
                if "facts" in reply:
                    yield Outcome(task, reply["facts"], tries)

    def kill(self):
        """End all workers at once."""
        for worker in [*self.busy, *self.idle]:
            worker.signal(signal.SIGKILL)
            worker.close()
        self.selector.close()

    def _begun(self):
        taken = {worker.place for worker in self.busy}
        place = min(set(range(self.workers)) - taken)
        first = {"call": self.work.call, "start": self.work.start}
        worker = _Worker(place, {**first, "processors": share_of(place, self.work.threads)})
        self.selector.register(worker.output, selectors.EVENT_READ, worker)
        return worker

    def _forget(self, worker):
        self.selector.unregister(worker.output)
        for group in (self.busy, self.idle):
            with contextlib.suppress(ValueError):
                group.remove(worker)
        worker.close()

    @staticmethod
    def _death(worker):
        code = worker.process.wait()
        if code == -signal.SIGKILL:
            return "its worker was killed (signal 9: by the system if the memory was full; fewer workers need less)"
        return f"its worker ended with {f'signal {-code}' if code < 0 else f'status {code}'}"


class _Worker:
    def __init__(self, place: int, first: dict[str, Any]) -> None:
        self.place = place
        self.task: Task | None = None
        self.tries = 0
        self.process = subprocess.Popen(
            [sys.executable, "-m", "noisy_student.executors.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            env={**os.environ, "PYTHONPATH": environment.python_path()},
            process_group=0,  # Ctrl-C on the terminal is for the driver, which asks its workers
        )
        self.input, self.output = cast(IO[bytes], self.process.stdin), cast(IO[bytes], self.process.stdout)
        self.send(first)

    def send(self, message):
        with contextlib.suppress(BrokenPipeError):  # it has died: its output says so
            self.input.write(json.dumps(message).encode() + b"\n")

    def signal(self, number):
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)

    def close(self):
        with contextlib.suppress(BrokenPipeError):
            self.input.close()
        self.output.close()
        self.process.wait()


def served(call: Call, message: dict[str, Any], *, start: Call | None) -> dict[str, Any]:
    """What a worker answers to a task; before its first one it calls `start`."""
    try:
        if start is not None:
            start()
        return {"facts": perform(call, message["output"], message["arguments"])}
    except Exception as error:
        return {"again": may_pass(error), "error": why(error)}

"""Tasks on a Ray cluster, or on a small one of this machine for as long as the stage runs.

One Ray task a shard, which carries paths and numbers only: files go to a disk that all nodes see, at the same path.
Retries, placement and back-pressure are Ray's. Ray is an extra: requirements-ray.txt.
"""

import contextlib
import importlib.util
import os
import platform
import secrets
import signal
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from noisy_student.executors.processors import bind, free_place, share_of
from noisy_student.executors.settings import ExecutorSettings
from noisy_student.executors.tasks import TRIES, Call, Outcome, Task, Work, may_pass, perform, why
from noisy_student.runtime import environment
from noisy_student.runtime.errors import ParamsError, UserError
from noisy_student.runtime.signals import Requests

_LOOK = 0.5  # seconds between two looks for requests to stop
_KNOCK = 10.0  # seconds that a cluster has to answer
_EVERY = 10.0  # seconds between two looks whether it still does
_KNOCKS = 3  # in vain, and it is lost: Ray itself would end this process after a minute or more, without a clean end
_IN_FLIGHT = 4  # tasks that are handed to Ray for each of its processors: it needs no list of all
_DIED = (
    "its worker died each time, e.g. killed by the system or by Ray because the memory was full (fewer workers, or a "
    "smaller batch, need less)"
)


class VersionsError(UserError):
    """A worker has other library versions than the driver."""


class LostError(UserError):
    """The cluster has answered, and does so no more."""


def results(
    work: Work, tasks: Sequence[Task], settings: ExecutorSettings, requests: Requests
) -> Generator[Outcome, None, None]:
    """Yield an outcome a task, in the order in which they end; fewer if `requests` ask to stop.

    Raises:
        ParamsError: Ray is not installed, or no cluster answers at the address.
        VersionsError: a worker has other libraries.
        LostError: the cluster's head cannot be reached any more.
    """
    if importlib.util.find_spec("ray") is None:
        raise ParamsError(
            "executor name: ray, but the Python package ray is not installed. Run `pip install -r "
            "requirements-ray.txt`, or set name: local."
        )
    import ray

    _connect(settings)
    try:
        remote = ray.remote(_remote).options(
            num_cpus=(work.threads or 1) if settings.address else 1,
            num_gpus=settings.gpus,
            max_retries=TRIES - 1,
            retry_exceptions=[_Passing],
            runtime_env={"env_vars": _variables()},
        )
        common = ray.put(_Common(work, os.getcwd(), environment.versions(), _variables()))
        most = _IN_FLIGHT * max(1, int(ray.cluster_resources().get("CPU", 1)))
        waiting, running, head = deque(tasks), dict[Any, Task](), _Head(settings)
        while waiting or running:
            while waiting and len(running) < most:
                task = waiting.popleft()
                _tries(task.output).unlink(missing_ok=True)
                running[remote.remote(common, os.path.abspath(task.output), task.arguments)] = task
            ended, _ = ray.wait(list(running), timeout=_LOOK)
            for reference in ended:
                yield _outcome(running.pop(reference), reference)
            if requests.pending() is not None:
                return
            head.check()
    finally:
        ray.shutdown()  # what still runs ends too


def _connect(settings):
    """Join the cluster of the settings, or start one that says nothing, neither here nor to its makers."""
    import ray

    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    handler = signal.getsignal(signal.SIGTERM)
    try:
        if settings.address is None:
            if not {"RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & os.environ.keys():
                os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(
                    32
                )  # else Ray writes one into the home folder, for good
            ray.init(address="local", num_cpus=settings.workers, include_dashboard=False, logging_level="error")
            return
        try:
            _knock(settings.address)
            ray.init(address=settings.address, logging_level="error")
        except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
            first = str(error).strip().partition("\n")[0]
            raise ParamsError(
                f"executor address: {settings.address}: no Ray cluster answers there ({first}). Start one (`ray start "
                "--head`), correct the address, or leave it empty for a cluster of this machine alone."
            ) from error
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)  # Ray's ends the driver at once


class _Head:
    """The cluster's first node, which another machine may be."""

    def __init__(self, settings):
        import ray

        self.given = settings.address
        self.address = ray.get_runtime_context().gcs_address
        self.next = time.monotonic() + _EVERY

    def check(self):
        """Now and then, raise LostError if it cannot be reached."""
        if not self.given or time.monotonic() < self.next:
            return
        for number in range(_KNOCKS):
            try:
                _knock(self.address)
                break
            except OSError as error:
                if number == _KNOCKS - 1:
                    raise LostError(
                        f"executor address: {self.given}: the head of the Ray cluster does not answer any more "
                        f"({error}). What is done is kept: mend the network, or start the cluster anew, and run the "
                        "same command again."
                    ) from error
                time.sleep(1)
        self.next = time.monotonic() + _EVERY


def _knock(address):
    """Raise OSError where nobody listens: Ray would try for minutes."""
    host, _, port = address.rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host.rpartition("/")[2].strip("[]"), int(port)), timeout=_KNOCK).close()


def _variables():
    """What a worker's environment has as this one's: what decides rounding, and where the code lies."""
    rounding = environment.fingerprint()["variables"]
    own = {name: value for name, value in rounding.items() if not name.endswith("_VISIBLE_DEVICES")}  # Ray sets these
    return {"PYTHONPATH": environment.python_path(), **own}


def _outcome(task, reference):
    import ray

    try:
        facts = ray.get(reference)
        outcome = Outcome(task, facts, facts.pop("tries"))
    except (ray.exceptions.WorkerCrashedError, ray.exceptions.NodeDiedError, ray.exceptions.OutOfMemoryError):
        outcome = Outcome(task, None, TRIES, _DIED)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, VersionsError):
            raise error.cause from None
        outcome = Outcome(task, None, _tried(task.output), str(error.cause))
    except ray.exceptions.RayError as error:
        outcome = Outcome(task, None, _tried(task.output), str(error).partition("\n")[0])
    _tries(task.output).unlink(missing_ok=True)
    return outcome


class _Passing(Exception):
    """What another try may mend."""


@dataclass(frozen=True)
class _Common:
    """What all tasks need; lies in Ray's store once.

    Attributes:
        folder: the driver's working directory.
        versions: of its libraries.
        variables: see `_variables`.
    """

    work: Work
    folder: str
    versions: dict[str, str]
    variables: dict[str, str]


_started: list[Call | None] = []  # of this worker's process, which does many tasks


def _remote(common: _Common, output: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """A task, in a worker of Ray."""
    if "OMP_NUM_THREADS" not in common.variables:
        os.environ.pop("OMP_NUM_THREADS", None)  # Ray sets it before each task, to `num_cpus`
    if not _started:
        _check_versions(common.versions)
    try:
        Path(output).parent.mkdir(parents=True, exist_ok=True)
        with _tries(output).open("ab") as file:
            file.write(b".")
        _begin(common)
        facts = perform(common.work.call, output, arguments) | {"tries": _tried(output)}
        _tries(output).unlink(missing_ok=True)  # here, for the driver may be dead
        return facts
    except Exception as error:
        print(f"{Path(output).name}: {why(error)}", file=sys.stderr, flush=True)
        raise (_Passing if may_pass(error) else UserError)(why(error)) from None  # ours, so that the driver knows it


def _begin(common):
    """Make a worker's process ready, once."""
    if _started:
        return
    os.chdir(common.folder)
    bind(share_of(free_place(common.work.threads), common.work.threads))
    if common.work.start is not None:
        common.work.start()
    _started.append(common.work.start)


def _check_versions(expected):
    found = environment.versions()
    other = [
        f"{name} {found.get(name, 'missing')} (here {expected.get(name, 'missing')})"
        for name in sorted(expected.keys() | found.keys())
        if expected.get(name) != found.get(name)
    ]
    if other:
        raise VersionsError(
            f"the Ray worker on {platform.node()} has other versions than this machine: {', '.join(other)}. "
            "Results could differ from worker to worker: install the same requirements*.txt on every node."
        )


def _tries(output):
    """A file with a byte for each time that a task was begun: Ray does not say how often that was."""
    output = Path(output)
    return output.with_name(f".tries-{output.name}")


def _tried(output):
    with contextlib.suppress(FileNotFoundError):
        return max(1, _tries(output).stat().st_size)
    return 1

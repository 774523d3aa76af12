"""Tasks on a Ray cluster, or on a small one of this machine for as long as the stage runs.

One Ray task a shard, which carries paths and numbers only: files go to a disk that all nodes see, at the same path.
Retries, placement and back-pressure are Ray's. Ray is an extra: requirements-ray.txt.
"""

import contextlib
import os
import platform
import sys
import time
from collections import deque
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from noisy_student.executors.processors import bind, free_place, share_of
from noisy_student.executors.settings import FILE, ExecutorSettings
from noisy_student.executors.tasks import TRIES, Call, Outcome, Task, Work, may_pass, perform, why
from noisy_student.runtime import environment, ray_cluster
from noisy_student.runtime.errors import ParamsError, UserError
from noisy_student.runtime.signals import Requests

_ROOM = 300.0  # seconds for a node that can take a task: of a cluster that grows
_LOOK = 0.5  # seconds between two looks for requests to stop
_IN_FLIGHT = 4  # tasks that are handed to Ray for each of its processors: it needs no list of all
_DIED = (
    "its worker died each time, e.g. killed by the system or by Ray because the memory was full (fewer workers, or a "
    "smaller batch, need less)"
)


class VersionsError(UserError):
    """A worker has other library versions than the driver."""


def results(
    work: Work, tasks: Sequence[Task], settings: ExecutorSettings, requests: Requests
) -> Generator[Outcome, None, None]:
    """Yield an outcome a task, in the order in which they end; fewer if `requests` ask to stop.

    Raises:
        ParamsError: Ray is not installed, or no cluster answers at the address.
        VersionsError: a worker has other libraries.
        LostError: the cluster's head cannot be reached any more.
    """
    mend, processors = "name: local", settings.workers
    with ray_cluster.joined(settings.address, processors=processors, what="executor", mend=mend) as head:
        import ray

        room = _Room((work.threads or 1) if settings.address else 1, settings)
        variables = ray_cluster.variables()
        remote = ray.remote(_remote).options(
            num_cpus=room.processors,
            num_gpus=settings.gpus,
            max_retries=TRIES - 1,
            retry_exceptions=[_Passing],
            runtime_env={"env_vars": variables},
        )
        common = ray.put(_Common(work, os.getcwd(), environment.versions(), variables))
        most = _IN_FLIGHT * max(1, int(ray.cluster_resources().get("CPU", 1)))
        waiting, running = deque(tasks), dict[Any, Task]()
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
            if not ended:
                room.check()


class _Room:
    """Whether a node can take a task: Ray itself waits without end for one that can.

    Raises:
        ParamsError: the small cluster of this machine cannot.
    """

    def __init__(self, processors: int, settings: ExecutorSettings) -> None:
        self.processors, self.gpus, self.waits = processors, settings.gpus, bool(settings.address)
        self.until: float | None = None
        self.check()

    def check(self) -> None:
        """Raise ParamsError if there has been none for so long; an autoscaler may bring one."""
        import ray

        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        if any(node.get("CPU", 0) >= self.processors and node.get("GPU", 0) >= self.gpus for node in nodes):
            self.until = None
            return
        self.until = self.until or time.monotonic() + _ROOM
        if self.waits and time.monotonic() < self.until:
            return
        have = "; ".join(f"{node.get('CPU', 0):g} and {node.get('GPU', 0):g}" for node in nodes) or "none"
        after = f" after {_ROOM:g} s" if self.waits else ""
        raise ParamsError(
            f"executor name: ray: a task takes {self.processors} processors and {self.gpus:g} GPUs of a node, but no "
            f"node has so many{after} (they have: {have}). Lower gpus in {FILE} or pseudolabel.threads, or add a node."
        )


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
        variables: see `ray_cluster.variables`.
    """

    work: Work
    folder: str
    versions: dict[str, str]
    variables: dict[str, str]


_started: list[Call | None] = []  # of this worker's process, which does many tasks


def _remote(common: _Common, output: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """A task, in a worker of Ray."""
    ray_cluster.undo_ray_variables(common.variables)
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
    if differing := environment.differing(environment.versions(), expected):
        raise VersionsError(
            f"the Ray worker on {platform.node()} has other versions than this machine: {differing}. Results could "
            "differ from worker to worker: install the same requirements*.txt on every node."
        )


def _tries(output):
    """A file with a byte for each time that a task was begun: Ray does not say how often that was."""
    output = Path(output)
    return output.with_name(f".tries-{output.name}")


def _tried(output):
    with contextlib.suppress(FileNotFoundError):
        return max(1, _tries(output).stat().st_size)
    return 1

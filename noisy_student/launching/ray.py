"""The processes of a training on a Ray cluster: Ray Train places them, watches them, and starts all of them anew.

Each of its workers starts a rank beside itself, as the launcher does on this machine, and passes on what that says: a
rank needs its process for itself, for signals and for the settings that a framework reads when it starts.
"""

import contextlib
import functools
import os
import selectors
import shutil
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from noisy_student.launching.process import HERE, RankProcess, name_of, raise_end
from noisy_student.launching.ranks import PORT, SAVING, LaunchError, Rank, begin_again, missing, too_often, unsaved
from noisy_student.launching.settings import FILE, LaunchSettings
from noisy_student.runtime import checkpoints, environment, ray_cluster
from noisy_student.runtime.errors import UserError
from noisy_student.runtime.files import is_left_over, temporary_name
from noisy_student.runtime.signals import Requests, Stopped, deferred

THREAD = "ray-train"
_LOOK = 0.5  # seconds between two looks for messages and for requests to stop
_LEAVING = 60.0  # seconds for Ray Train to end, when rank 0 has returned
_ENDING = 20.0  # the same, when its workers are told to leave


def launched(module: str, arguments: tuple[str, ...], settings: LaunchSettings, title: str) -> dict[str, Any]:
    """As `launcher.launched`, on Ray."""
    given = ray_cluster.variables()
    options = {"log_to_driver": False, "runtime_env": {"env_vars": given}}
    os.environ.setdefault("RAY_TRAIN_V2_ENABLED", "1")
    with (
        deferred() as requests,
        ray_cluster.joined(
            settings.address, processors=settings.processes, what="launch", mend="name: shell", **options
        ) as head,
        _storage() as storage,
    ):
        first = {"module": module, "arguments": list(arguments)}
        run = _Run(settings, title, head, requests)
        run.start(first, given, storage)
        try:
            result = run.wait()
        except Stopped as stop:  # whom we asked does not know by which signal we were
            raise Stopped(str(stop), requests.pending() or stop.number) from None
        finally:
            run.end()
    return (result or {}) | {"workers": settings.processes, "restarts": run.restarts, "hosts": run.hosts()}


@contextlib.contextmanager
def _storage():
    """A folder for what Ray Train notes, that all hosts see; what killed processes of this host have left goes."""
    above = checkpoints.root().absolute() / ".ray"
    for left in above.glob(".tmp-*"):
        if is_left_over(left.name):
            shutil.rmtree(left, ignore_errors=True)
    own = above / temporary_name("train")
    own.mkdir(parents=True)
    try:
        yield own
    finally:
        shutil.rmtree(own, ignore_errors=True)
        with contextlib.suppress(OSError):
            above.rmdir()
            above.parent.rmdir()


class _Board:
    """An actor between the workers and the driver."""

    def __init__(self) -> None:
        self.messages: list[tuple[int, dict[str, Any]]] = []
        self.wish = ""

    def say(self, number: int, message: dict[str, Any]) -> str:
        """What a rank says; returns "stop" if it shall save and end, "leave" if it shall end at once, else nothing."""
        if message:
            self.messages.append((number, message))
        return self.wish

    def take(self, stop: bool) -> list[tuple[int, dict[str, Any]]]:
        """What has been said since; `stop`: whether rank 0 shall save and end."""
        self.wish = "stop" if stop else ""
        taken, self.messages = self.messages, []
        return taken

    def end(self) -> None:
        """All shall leave."""
        self.wish = "leave"


class _Run:
    """The driver's side."""

    def __init__(self, settings: LaunchSettings, title: str, head: ray_cluster.Head, requests: Requests) -> None:
        self.settings, self.title, self.head, self.requests = settings, title, head, requests
        self.restarts, self.causes = 0, list[str]()
        self.places: dict[int, str] = {}  # host of each rank that has begun, since all began again
        self.begun, self.joined = set[int](), set[int]()
        self.until = time.monotonic() + settings.patience
        self.over: BaseException | None = None  # what Ray Train ended with

    def start(self, first, given, storage):
        """Hand the training to Ray Train."""
        import ray
        from ray.train import FailureConfig, RunConfig, ScalingConfig
        from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        # where this process is: another host may be lost
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        self.board: Any = ray.remote(_Board).options(num_cpus=0, scheduling_strategy=here).remote()
        gpus = (self.settings.devices or 1) if ray.cluster_resources().get("GPU") else 0
        config = {
            "board": self.board,
            "first": first,
            "folder": os.getcwd(),
            "versions": environment.versions(),
            "variables": given,
            "settings": self.settings.model_dump(),
        }
        trainer = DataParallelTrainer(
            _carry_out,
            train_loop_config=config,
            scaling_config=ScalingConfig(
                num_workers=self.settings.processes,
                use_gpu=bool(gpus),
                resources_per_worker={"CPU": 1} | ({"GPU": gpus} if gpus else {}),
                placement_strategy="PACK" if gpus else "SPREAD",
            ),
            run_config=RunConfig(
                name="run",
                storage_path=str(storage),
                failure_config=FailureConfig(max_failures=self.settings.restarts),
            ),
        )
        self.thread = threading.Thread(target=functools.partial(self._fit, trainer), name=THREAD, daemon=True)
        self.thread.start()

    def _fit(self, trainer):
        try:
            trainer.fit()
        except BaseException as error:  # the other thread says what it means
            self.over = error

    def wait(self) -> dict[str, Any] | None:
        """What rank 0 returns."""
        import ray

        asked_until = None
        while True:
            stop = self.requests.pending()
            ended = not self.thread.is_alive()  # before the last messages are taken
            for number, message in ray.get(self.board.take.remote(stop is not None)):
                if number == 0 and "result" in message:
                    self.thread.join(_LEAVING)
                    return message["result"]
                self._consider(number, message)
            if ended:
                raise self._failed()
            if stop is not None:
                asked_until = asked_until or time.monotonic() + SAVING
                if time.monotonic() > asked_until:
                    raise Stopped("rank 0 did not answer; what was saved before is kept.", stop)
            if time.monotonic() > self.until and len(self.joined) < self.settings.processes:
                raise self._missing()
            self.head.check()
            self._see_hosts()
            time.sleep(_LOOK)

    def end(self) -> None:
        """Let the workers leave, so that Ray Train ends before its cluster does: its thread would end this process."""
        import ray

        if self.thread.is_alive():
            with contextlib.suppress(Exception):  # the cluster is gone
                ray.get(self.board.end.remote(), timeout=_ENDING)
                self.thread.join(_ENDING)

    def hosts(self) -> list[str]:
        """Where the ranks are, in their order, each once."""
        return list(dict.fromkeys(self.places[number] for number in sorted(self.places)))

    def _consider(self, number, message):
        if "place" in message:
            if number in self.places:
                self._begin_again()
            self.places[number] = message["place"]
            self.begun.add(number)
        elif "joined" in message:
            self.joined.add(number)
        elif "printed" in message:
            print(message["printed"], file=sys.stderr if message.get("error") else sys.stdout, flush=True)
        elif "died" in message:  # the cause, whatever others have failed with because of it
            self.causes.insert(0, f"{self._name(number)} died ({message['died']})")
        elif "failed" in message:
            self.causes.append(f"{self._name(number)} failed ({message['failed']})")
        else:
            raise_end(message, "" if number == 0 else f"{self._name(number)}: ")

    def _begin_again(self):
        """A rank is there for the second time: Ray Train has started all of them anew."""
        why, asked = f"{self.title}: {self._cause()}", self.requests.pending()
        begin_again(why, self.restarts, self.settings.restarts, asked)
        self.restarts += 1
        self.places, self.begun, self.joined, self.causes = {}, set(), set(), []
        self.until = time.monotonic() + self.settings.patience

    def _name(self, number):
        return name_of(number, self.places.get(number))

    def _cause(self):
        return self.causes[0] if self.causes else "a worker of Ray, or its host, was lost"

    def _failed(self):
        """Why Ray Train has ended without a result."""
        if self.causes or self.restarts or self.places:
            why, asked = f"{self.title}: {self._cause()}", self.requests.pending()
            return too_often(why, self.settings.restarts) if asked is None else unsaved(why, asked)
        first = str(self.over or "no reason given").strip().rpartition("\n")[2]
        return LaunchError(f"{self.title}: Ray Train ended ({first}). Mend that and run the same command again.")

    def _see_hosts(self):
        """Where the cluster has too few processors, Ray waits without end: give it `patience` to come back."""
        if len(self.joined) == self.settings.processes and self._there()[0] < self.settings.processes:
            self.begun, self.joined = set(), set()
            self.until = time.monotonic() + self.settings.patience

    def _there(self):
        """(processors, GPUs) of the cluster."""
        import ray

        found = ray.cluster_resources()
        return int(found.get("CPU", 0)), int(found.get("GPU", 0))

    def _missing(self):
        """Which ranks are not there."""
        absent = sorted(set(range(self.settings.processes)) - self.begun)
        processors, gpus = self._there()
        if absent:
            what = f"{', '.join(map(self._name, absent))} did not start"
            mend = (
                f"The cluster has {processors} processors and {gpus} GPUs, of which each needs a processor and, if "
                "there are any, its GPUs: add nodes, or lower workers"
            )
        else:
            late = sorted(set(range(self.settings.processes)) - self.joined)
            what = f"{', '.join(map(self._name, late))} did not find the others"
            mend = f"Every host must reach the others' ports from {self.settings.port or PORT} on"
        return missing(what, mend, workers=self.settings.processes, patience=self.settings.patience)


# --- in a worker of Ray ----------------------------------------------------------------------------


def _carry_out(config: dict[str, Any]) -> None:
    """Start a rank beside this worker and pass on what it says; an exception lets Ray Train begin again."""
    import ray
    from ray.train import get_context
    from ray.train.collective import broadcast_from_rank_zero

    context = get_context()
    number, board = context.get_world_rank(), config["board"]

    def say(message: Mapping[str, Any]) -> str:
        return ray.get(board.say.remote(number, dict(message)))

    host = ray.util.get_node_ip_address()
    say({"place": socket.gethostname()})
    if differing := environment.differing(environment.versions(), config["versions"]):
        say({"error": f"has {differing}. Install the same packages on every node."})
        _wait_for_the_end(say)
        return
    settings = LaunchSettings(**config["settings"])
    address = broadcast_from_rank_zero(f"{host}:{settings.port or _free_port()}" if number == 0 else "")
    rank = Rank(
        rank=number,
        workers=context.get_world_size(),
        address=address,
        patience=settings.patience,
        devices=settings.devices or 1,
    )
    ray_cluster.undo_ray_variables(config["variables"])
    os.chdir(config["folder"])
    variables = {"TF_CPP_MIN_LOG_LEVEL": "3", **os.environ, **config["variables"]}
    process = RankProcess(rank, config["first"], HERE, variables, shows_errors=False)
    try:
        _pass_on(process, say)
    finally:
        process.kill()
        process.close()


def _pass_on(process: RankProcess, say: Callable[[Mapping[str, Any]], str]) -> None:
    """Until the rank has returned, or is gone, or shall leave."""
    from ray.train.collective import barrier

    errors, asked = _Errors(process, say), False
    with selectors.DefaultSelector() as selector:
        selector.register(process.output, selectors.EVENT_READ)
        while True:
            messages = list(process.read()) if selector.select(_LOOK) else [{}]
            errors.show()
            for message in messages:
                if "died" in message or "failed" in message:
                    why = message.get("died") or message["failed"] + process.last_words()
                    say({next(iter(message)): why})
                    raise RuntimeError(why)
                wish = say(message)
                if wish == "leave":
                    return
                if wish == "stop" and not asked and process.number == 0:
                    asked = True
                    process.send("stop")
                if "result" in message:
                    barrier()  # a rank that leaves ends the others
                    return
                if {"stopped", "memory", "file", "error"} & message.keys():
                    _wait_for_the_end(say)
                    return


class _Errors:
    """What rank 0 says on standard error, for who waits on the driver's terminal."""

    def __init__(self, process, say):
        self.process, self.say, self.rest = process, say, b""

    def show(self):
        if self.process.number:
            return
        *lines, self.rest = (self.rest + self.process.new_errors()).split(b"\n")
        for line in lines:
            self.say({"printed": line.decode(errors="replace"), "error": True})


def _free_port():
    """`PORT`, or one above it that is free."""
    for port in range(PORT, PORT + 100):
        with contextlib.suppress(OSError), socket.socket() as tried:
            tried.bind(("", port))
            return port
    raise UserError(f"no free port from {PORT} to {PORT + 99}; give `port` in {FILE}.")


def _wait_for_the_end(say):
    """Until the driver lets this worker leave: what has gone wrong would go wrong again."""
    while say({}) != "leave":
        time.sleep(_LOOK)

"""Start the processes of a training, watch them, and start all of them anew where one dies.

They go on from the last checkpoint of the training, so that the end is the same to the bit. What is wrong with the
user's input ends in one message, as it does in one process.
"""

import os
import selectors
import shlex
import signal
import socket
import time
from typing import Any

from noisy_student.launching import ray
from noisy_student.launching.faults import too_few_processes
from noisy_student.launching.process import HERE, RankProcess, name_of, raise_end
from noisy_student.launching.ranks import PORT, SAVING, LaunchError, Rank, begin_again, missing
from noisy_student.launching.settings import FILE, LaunchSettings, load
from noisy_student.runtime import environment
from noisy_student.runtime.signals import Requests, Stopped, deferred

_LOOK = 0.5  # seconds between two looks for requests to stop
_CAUSE = 2.0  # seconds to find out who died, when a rank fails because of it
_PASSED_ON = ("KERAS_BACKEND", "DVC_ROOT", "NCCL_SOCKET_IFNAME")  # besides what decides rounding


def launched(module: str, *arguments: str, title: str) -> dict[str, Any]:
    """Carry out a stage by several processes.

    Args:
        module: of the stage, e.g. "stages.student", whose `main` each process calls with `arguments`.
        title: what messages begin with, e.g. "student@gen1".

    Returns:
        What `main` returned in rank 0, with "workers", "restarts" and, if there are any, "hosts".

    Raises:
        LaunchError: a process is missing, has other packages, or died more often than `launch.yaml` allows.
        UserError, OSError, MemoryError: that a process ended with.
        Stopped: Ctrl-C, SIGTERM, or the end of the DVC that started this.
    """
    settings = load()
    if settings.processes < 2:
        raise LaunchError(too_few_processes(settings.processes))
    if settings.name == "ray":
        return ray.launched(module, arguments, settings, title)
    restarts = 0
    with deferred() as requests:
        while True:
            try:
                with _Ranks(module, arguments, settings, requests) as ranks:
                    result = ranks.wait()
            except Stopped as stop:  # whom we asked does not know by which signal we were
                raise Stopped(str(stop), requests.pending() or stop.number) from None
            except _Death as death:
                begin_again(f"{title}: {death}", restarts, settings.restarts, requests.pending())
                restarts += 1
                continue
            facts = {"workers": settings.processes, "restarts": restarts}
            return (result or {}) | facts | ({"hosts": list(settings.hosts)} if settings.hosts else {})


class _Death(Exception):
    """A rank is gone, or cannot go on."""


class _Ranks:
    """The processes of one start."""

    def __init__(self, module, arguments, settings, requests: Requests):
        self.settings, self.requests = settings, requests
        self.first = {"module": module, "arguments": list(arguments)}

    def __enter__(self):
        self.selector, self.all = selectors.DefaultSelector(), []
        self.until = time.monotonic() + self.settings.patience
        try:
            address = _address(self.settings)
            for number in range(self.settings.processes):
                rank = _Process(self._rank(number, address), self.settings, self.first)
                self.all.append(rank)
                self.selector.register(rank.output, selectors.EVENT_READ, rank)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error):
        for rank in self.all:
            rank.kill()
        for rank in self.all:
            rank.close()
        self.selector.close()

    def _rank(self, number, address):
        settings = self.settings
        several = settings.processes > max(1, len(settings.hosts))
        return Rank(
            rank=number,
            workers=settings.processes,
            address=address,
            patience=settings.patience,
            place=settings.place_of(number),
            devices=settings.devices or (1 if several else None),
        )

    def wait(self) -> dict[str, Any] | None:
        """What rank 0 returns."""
        asked_until = None
        while True:
            for rank, message in self._messages():
                if rank.number == 0 and "result" in message:
                    return message["result"]
                self._consider(rank, message)
            if time.monotonic() > self.until and not all(rank.joined for rank in self.all):
                raise self._missing()
            if asked_until is None and self.requests.pending() is not None:
                self.all[0].send("stop")
                asked_until = time.monotonic() + SAVING
            if asked_until is not None and time.monotonic() > asked_until:
                raise Stopped("rank 0 did not answer; what was saved before is kept.", signal.SIGTERM)

    def _messages(self):
        """(rank, message) of those that have said something, or are gone."""
        for key, _ in self.selector.select(_LOOK):
            rank = key.data
            yield from ((rank, message) for message in rank.read())
            if rank.ended:
                self.selector.unregister(rank.output)

    def _consider(self, rank, message):
        if "begun" in message:
            rank.check_versions(message["begun"])
            rank.begun = True
        elif "joined" in message:
            rank.joined = True
        elif "printed" in message:
            print(message["printed"], flush=True)
        elif "died" in message:
            self._died(rank, message["died"])
        elif "failed" in message:
            self._look_for_the_cause()
            raise _Death(f"{rank.name} failed ({message['failed']}){rank.last_words()}")
        else:
            raise_end(message, "" if rank.number == 0 else f"{rank.name}: ")

    def _look_for_the_cause(self):
        """Raise _Death of the rank that died, if there is one: the others fail because of it."""
        until = time.monotonic() + _CAUSE
        while time.monotonic() < until:
            for rank, message in self._messages():
                if "died" in message:
                    self._died(rank, message["died"])

    def _died(self, rank, why):
        if not rank.begun and self.requests.pending() is None:
            raise LaunchError(
                f"{rank.name} could not be started ({why}){rank.last_words()}. Command: {shlex.join(rank.command)}. "
                "Mend that and run the same command again."
            )
        raise _Death(f"{rank.name} died ({why})")

    def _missing(self):
        """Which ranks are not there."""
        absent = [rank.name for rank in self.all if not rank.begun]
        if absent:
            what = f"{', '.join(absent)} did not start"
            mend = f"See whether `{shlex.join(self.all[0].command[:-1] or self.all[0].command)}` works there"
        else:
            what = f"{', '.join(rank.name for rank in self.all if not rank.joined)} did not find the others"
            mend = f"Every host must reach {self.all[0].address}"
        return missing(what, mend, workers=len(self.all), patience=self.settings.patience)


class _Process(RankProcess):
    """A rank, and how far it is."""

    def __init__(self, rank: Rank, settings: LaunchSettings, first: dict[str, Any]) -> None:
        self.address, host = rank.address, settings.host_of(rank.rank)
        self.name = name_of(rank.rank, host)
        self.begun = self.joined = False
        self.command, variables = _command(host, settings)
        try:
            super().__init__(rank, first, self.command, variables, shows_errors=rank.rank == 0)
        except (FileNotFoundError, PermissionError) as error:
            raise LaunchError(
                f"{self.name} could not be started: {self.command[0]}: {os.strerror(error.errno or 0)}. Install that "
                f"program, or set `shell` in {FILE} to the one that reaches the hosts."
            ) from error

    def check_versions(self, theirs):
        """Raise LaunchError if it has other packages."""
        if differing := environment.differing(theirs, environment.versions()):
            raise LaunchError(f"{self.name} has {differing}. Install the same packages on every host.")


def _address(settings):
    """Where rank 0 waits for the others."""
    host = settings.host_of(0)
    if host not in (None, "localhost"):
        return f"{host}:{settings.port or PORT}"
    if settings.port:
        return f"127.0.0.1:{settings.port}"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{free.getsockname()[1]}"


def _command(host, settings):
    """(arguments, environment) that start a rank on a host."""
    path = environment.python_path()
    if host in (None, "localhost"):
        return list(HERE), {"TF_CPP_MIN_LOG_LEVEL": "3", **os.environ, "PYTHONPATH": path}
    given = {name: os.environ[name] for name in (*_PASSED_ON, *environment.VARIABLES) if name in os.environ}
    variables = {"TF_CPP_MIN_LOG_LEVEL": "3", **given, "PYTHONPATH": path}
    settled = [f"{name}={value}" for name, value in variables.items()]
    there = f"cd {shlex.quote(os.getcwd())} && exec {shlex.join(['env', *settled, *HERE])}"
    return [part.replace("{host}", host) for part in shlex.split(settings.shell)] + [there], dict(os.environ)

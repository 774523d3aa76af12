"""A Ray cluster, for who shares work out on one: joined, or a small one of this machine for as long as that takes.

Ray is an extra: requirements-ray.txt.
"""

import contextlib
import importlib.util
import logging
import os
import secrets
import signal
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

from noisy_student.runtime import environment
from noisy_student.runtime.errors import ParamsError, UserError

_KNOCK = 10.0  # seconds that a cluster has to answer
_EVERY = 10.0  # seconds between two looks whether it still does
_SETTINGS = 4  # the type of HTTP/2's first frame
_KNOCKS = 3  # in vain, and it is lost: Ray itself would end this process after a minute or more, without a clean end


class LostError(UserError):
    """The cluster has answered, and does so no more."""


@contextlib.contextmanager
def joined(address: str | None, *, processors: int, what: str, mend: str, **options: Any) -> Iterator["Head"]:
    """A cluster, within the block; what still runs on it for this process ends with it.

    Args:
        address: HOST:PORT or "auto"; None: a small one is started here, which says nothing to its makers.
        processors: of a small one.
        what: the setting that asks for Ray, for messages, e.g. "executor".
        mend: what to set instead, for messages.
        options: of `ray.init`.

    Yields:
        its first node.

    Raises:
        ParamsError: Ray is not installed, or no cluster answers at the address.
    """
    if importlib.util.find_spec("ray") is None:
        raise ParamsError(
            f"{what} name: ray, but the Python package ray is not installed. Run `pip install -r "
            f"requirements-ray.txt`, or set {mend}."
        )
    import ray

    _connect(address, processors, what, {"logging_level": logging.ERROR, **options})
    try:
        yield Head(address, what)
    finally:
        ray.shutdown()


def _connect(address, processors, what, options):
    import ray

    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    handler = signal.getsignal(signal.SIGTERM)
    try:
        if address is None:
            if not {"RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & os.environ.keys():
                # else Ray writes one into the home folder, for good
                os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
            ray.init(address="local", num_cpus=processors, include_dashboard=False, **options)
            return
        try:
            _knock(address, speaks=True)
            ray.init(address=address, **options)
        except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
            first = str(error).strip().partition("\n")[0]
            raise ParamsError(
                f"{what} address: {address}: no Ray cluster answers there ({first}). Start one (`ray start --head`), "
                "correct the address, or leave it empty for a cluster of this machine alone."
            ) from error
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)  # Ray's ends the driver at once


class Head:
    """The cluster's first node, which another machine may be."""

    def __init__(self, address: str | None, what: str) -> None:
        import ray

        self.given, self.what = address, what
        self.address = ray.get_runtime_context().gcs_address
        self.next = time.monotonic() + _EVERY

    def check(self) -> None:
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
                        f"{self.what} address: {self.given}: the head of the Ray cluster does not answer any more "
                        f"({error}). What is done is kept: mend the network, or start the cluster anew, and run the "
                        "same command again."
                    ) from error
                time.sleep(1)
        self.next = time.monotonic() + _EVERY


def _knock(address, *, speaks=False):
    """Raise OSError where nobody listens, or, if asked for, what listens is no Ray: Ray would try for minutes."""
    host, _, port = address.rpartition(":")
    if not (host and port.isdecimal()):
        return
    with socket.create_connection((host.rpartition("/")[2].strip("[]"), int(port)), timeout=_KNOCK) as there:
        if speaks and os.environ.get("RAY_USE_TLS", "0") == "0" and not _speaks_http2(there):
            raise OSError("another program listens there")


def _speaks_http2(there):
    """Whether a server answers as gRPC's do, with its settings: RFC 9113, section 3.4; Ray's head is one."""
    there.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, _SETTINGS, 0, 0, 0, 0, 0)))
    answer = b""
    with contextlib.suppress(OSError):
        while len(answer) < 4 and (more := there.recv(9)):
            answer += more
    return len(answer) >= 4 and answer[3] == _SETTINGS


def variables() -> dict[str, str]:
    """What a worker's environment has as this one's: what decides rounding, and where the code lies."""
    rounding = environment.fingerprint()["variables"]
    own = {name: value for name, value in rounding.items() if not name.endswith("_VISIBLE_DEVICES")}  # Ray sets these
    return {"PYTHONPATH": environment.python_path(), **own}


def undo_ray_variables(wanted: dict[str, str]) -> None:
    """In a worker: take back what Ray has set, and `variables` of the driver have not."""
    if "OMP_NUM_THREADS" not in wanted:
        os.environ.pop("OMP_NUM_THREADS", None)  # Ray sets it before each task, to `num_cpus`

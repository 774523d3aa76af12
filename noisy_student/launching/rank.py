"""A process of a training on several.

    python -m noisy_student.launching.rank

Only `launcher` starts it. Its first line of input says what it is and what it does; a line "stop" asks it to save and
end; it ends when its input does, so that none outlives its launcher, on whatever host.
"""

import importlib
import json
import os
import socket
import sys
import threading
import time
import traceback

from noisy_student.launching.ranks import Rank, say
from noisy_student.launching.settings import FILE
from noisy_student.runtime import console, environment
from noisy_student.runtime.errors import UserError
from noisy_student.runtime.signals import (
    Stopped,
    ask_to_stop,
    leave_to_the_launcher,
    number_of,
    raise_on_sigterm,
)

_FREE = 10.0  # seconds for a rank of an earlier start to let go of its port


def main() -> None:
    """Carry out a stage as one of several processes."""
    console.use_utf8()
    raise_on_sigterm()
    say({"begun": environment.versions()})
    first = json.loads(sys.stdin.readline() or "null")
    if first is None:
        os._exit(0)
    rank = Rank(**first["rank"])
    leave_to_the_launcher()
    rank.announce()
    _see_own_devices(rank)
    say(_carried_out(rank, first["module"], first["arguments"]))
    while True:  # a rank that leaves ends the others: the launcher says when
        time.sleep(60)


def _carried_out(rank, module, arguments):
    """What the launcher is told in the end."""
    try:
        threading.Thread(target=_obey, daemon=True).start()  # "stop" may be there already
        if taken := _port_taken(rank):
            return {"error": taken}
        return {"result": importlib.import_module(module).main(*arguments)}
    except UserError as error:
        return {"error": str(error)}
    except OSError as error:
        return {"error": str(error), "number": error.errno, "file": str(error.filename or "")}
    except Stopped as stop:
        return {"stopped": str(stop), "number": stop.number}
    except KeyboardInterrupt as interrupt:
        return {"stopped": "nothing was written. Run the same command again.", "number": number_of(interrupt)}
    except BaseException as error:
        if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error):
            return {"memory": str(error).partition("\n")[0]}
        traceback.print_exc()
        return {"failed": f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"}


def _see_own_devices(rank):
    """Hide the GPUs of the other processes of this host."""
    if rank.devices is None:
        return
    first, seen = rank.place * rank.devices, os.environ.get("CUDA_VISIBLE_DEVICES")
    own = range(first, first + rank.devices)
    names = [str(index) for index in own] if seen is None else seen.split(",")[own.start : own.stop]
    os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(names)


def _port_taken(rank):
    """What to say if another program listens where this rank is to wait for the others; empty if none does."""
    if rank.rank:
        return ""
    port, until = int(rank.address.rpartition(":")[2]), time.monotonic() + _FREE
    while True:
        with socket.socket() as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                tried.bind(("", port))
                return ""
            except PermissionError:
                return f"port {port} is the system's own. Give another `port` in {FILE}."
            except OSError:
                if time.monotonic() > until:
                    return f"port {port} is taken on {socket.gethostname()}. Give another `port` in {FILE}."
        time.sleep(0.5)


def _obey():
    for line in sys.stdin:
        if line.strip() == "stop":
            ask_to_stop()
    os._exit(0)  # not by the interpreter: with its peers gone, JAX's end would take minutes


if __name__ == "__main__":
    main()

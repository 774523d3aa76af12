"""Locks that die with the process that holds them."""

import contextlib
import fcntl
import os
import sys
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def held(path: Path, *, what: str, wait: bool = True) -> Iterator[int]:
    """Hold a lock on a file; wait, with a message, as long as another process holds it.

    The lock is the kernel's (flock): it is gone with the process, however that ended. The file stays: who
    removed it could not know that nobody has opened it meanwhile.

    Args:
        path: file to lock; its folder is created.
        what: what the lock is for, e.g. "stage teacher in this folder"; part of the message.
        wait: False raises BlockingIOError if another process holds it.

    Yields:
        The number of the open file. A process that is given it keeps the lock until it ends too.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not wait:
                raise
            file.seek(0)
            holder = f"pid {file.read() or 'unknown'}"
            message = f"{what}: already at work in another process ({holder}); waiting until it ends"
            print(message, file=sys.stderr, flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield file.fileno()


def is_held(path: Path) -> bool:
    """Whether some process holds the lock of this file, or another user's may."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)  # on NFS an exclusive one needs a file open for writing
    except FileNotFoundError:
        return False
    except (BlockingIOError, PermissionError):
        return True
    return False

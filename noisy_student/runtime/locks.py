"""Locks that die with the process that holds them."""

import contextlib
import fcntl
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO


@contextlib.contextmanager
def held(path: Path | str, *, what: str, within: Path | str, wait: bool = True) -> Iterator[None]:
    """Hold a lock on a file; wait, with a message, as long as another process holds it.

    The lock is the kernel's (flock): it is gone with the process, however that ended. The file is removed afterwards.

    Args:
        path: file to lock; its folder is created.
        what: what the lock is for, e.g. "stage teacher in this folder"; part of the message.
        within: a folder above the file; it and those below it are removed afterwards if nothing is in them.
        wait: False raises BlockingIOError if another process holds it.
    """
    path = Path(path)
    file = _locked(path, what, wait)
    try:
        file.seek(0)
        file.truncate()
        file.write(str(os.getpid()))
        file.flush()
        yield
    finally:
        path.unlink(missing_ok=True)  # while it is still locked: nobody else can own this file
        file.close()
        with contextlib.suppress(OSError):  # one that is not empty
            folder = path.parent
            while folder.is_relative_to(within):
                folder.rmdir()
                folder = folder.parent


def is_held(path: Path | str) -> bool:
    """Whether some process holds the lock of this file."""
    try:
        with Path(path).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        pass
    return False


def _locked(path: Path, what: str, wait: bool) -> IO[str]:
    told = False
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as closing:
            try:
                file = closing.enter_context(path.open("a+"))
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except FileNotFoundError:
                continue  # somebody removed the folder, which was empty
            except BlockingIOError:
                if not wait:
                    raise
                if not told:
                    file.seek(0)
                    holder = f"already at work in another process (pid {file.read() or 'unknown'})"
                    print(f"{what}: {holder}; waiting until it ends", file=sys.stderr, flush=True)
                    told = True
                fcntl.flock(file, fcntl.LOCK_EX)
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                    closing.pop_all()
                    return file
            # its owner removed it before it let go: lock the present file

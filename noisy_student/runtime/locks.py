"""Locks that die with the process that holds them."""

import contextlib
import fcntl
import os
import sys
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def held(path: Path | str, *, what: str, within: Path | str, wait: bool = True) -> Iterator[None]:
    """Hold a lock on a file; wait, with a message, as long as another process holds it.

    The lock is the kernel's (flock): it is gone with the process, however that ended. The file is removed afterwards.

    Args:
        path: file to lock; its folder is created.
        what: what the lock is for, e.g. "stage teacher in this folder"; part of the message.
        wait: False raises BlockingIOError if another process holds it.
        within: a folder above the file; it and those below it are removed afterwards if nothing is in them.
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
        _prune(path.parent, Path(within))


def _prune(folder, top):
    """Remove a folder and those above it, up to `top`, as long as they are empty."""
    with contextlib.suppress(OSError):
        while folder.is_relative_to(top):
            folder.rmdir()
            folder = folder.parent


def is_held(path: Path | str) -> bool:
    """Whether some process holds the lock of this file."""
    try:
        with Path(path).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def _locked(path, what, wait):
    told = False
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            file = path.open("a+")
        except FileNotFoundError:
            continue  # somebody removed the folder, which was empty
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not wait:
                file.close()
                raise
            if not told:
                file.seek(0)
                print(
                    f"{what}: already at work in another process (pid {file.read() or 'unknown'}); "
                    "waiting until it ends",
                    file=sys.stderr,
                    flush=True,
                )
                told = True
            try:
                fcntl.flock(file, fcntl.LOCK_EX)
            except BaseException:
                file.close()
                raise
        if _is_at(file, path):
            return file
        file.close()  # its owner removed it before it let go: lock the present file


def _is_at(file, path):
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False

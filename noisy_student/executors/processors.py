"""Which processors a worker may use: how many decides how sums are shared out, and so how they are rounded."""

import fcntl
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from noisy_student.runtime import environment
from noisy_student.runtime.errors import ParamsError


def share_of(place: int, threads: int | None) -> list[int] | None:
    """The processors of the worker at a place, so many of this process's; None: all.

    Raises:
        ParamsError: there are not so many, or this system binds no process.
    """
    if threads is None:
        return None
    if not hasattr(os, "sched_getaffinity"):
        raise ParamsError(
            f"pseudolabel.threads={threads}: only Linux binds a process to processors. Leave it empty here."
        )
    own = sorted(os.sched_getaffinity(0))
    if threads > len(own):
        raise ParamsError(
            f"pseudolabel.threads={threads}: a worker has {len(own)} processors here. Give at most that, or leave it "
            "empty for all."
        )
    return [own[(place * threads + i) % len(own)] for i in range(threads)]


def bind(processors: Sequence[int] | None) -> None:
    """Let this process use these processors only; before libraries count them."""
    if processors is not None:
        os.sched_setaffinity(0, processors)


_held: list[IO[str]] = []  # open files, for as long as this process lives


def free_place(threads: int | None) -> int:
    """A place on this machine that no other worker has, where nobody hands them out; 0 if all are taken."""
    if threads is None:
        return 0
    folder = Path(tempfile.gettempdir()) / f"noisy-student-places-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    for place in range(environment.threads() // threads):
        file = (folder / f"{place}-of-{threads}").open("w")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            continue
        _held.append(file)
        return place
    return 0

"""What a process of a training knows of the others; the one of rank 0 leads: it alone writes."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict, dataclass
from typing import Any

from noisy_student.launching.settings import FILE
from noisy_student.runtime.errors import UserError
from noisy_student.runtime.signals import Stopped

VARIABLE = "NOISY_STUDENT_RANK"
PORT = 29400  # of rank 0, where no free one can be looked for, or the first that is tried
SAVING = 120.0  # seconds for rank 0 to save, when it is asked to stop
MARK = "\x1e"  # begins a message to the launcher, which else passes on what a rank prints


@dataclass(frozen=True)
class Rank:
    """A process among `workers`."""

    rank: int  # counted from 0
    workers: int
    address: str  # HOST:PORT of rank 0
    patience: float  # seconds for all to find one another
    place: int = 0  # which one of its host it is
    devices: int | None = None  # that it uses; None: all that it sees

    def announce(self) -> None:
        """Let `current` find it in this process."""
        os.environ[VARIABLE] = json.dumps(asdict(self))


def current() -> Rank | None:
    """This process, if it is one of several that a launcher started."""
    text = os.environ.get(VARIABLE)
    return Rank(**json.loads(text)) if text else None


class LaunchError(UserError):
    """The processes of a training cannot be started, or one dies again and again."""


def begin_again(why: str, restarts: int, limit: int, asked: int | None) -> None:
    """Say that all ranks begin again.

    Args:
        asked: the number of the signal that asks to stop, if there is one.

    Raises:
        Stopped: there is one.
        LaunchError: that has been so often enough.
    """
    if asked is not None:
        raise unsaved(why, asked)
    if restarts == limit:
        raise too_often(why, restarts)
    again = f"all begin again from the last checkpoint (restart {restarts + 1} of {limit})"
    print(f"{why}; {again}", file=sys.stderr, flush=True)


def too_often(why: str, restarts: int) -> LaunchError:
    """What says that no further restart is made."""
    return LaunchError(
        f"{why}, after {restarts} restarts; what was saved is kept. Mend that and run the same command again, or raise "
        f"restarts in {FILE}."
    )


def unsaved(why: str, asked: int) -> Stopped:
    """What says that a rank was gone before all was saved."""
    return Stopped(
        f"{why} when asked to stop; what was saved before is kept. Run the same command again to go on.", asked
    )


def missing(what: str, mend: str, *, workers: int, patience: float) -> LaunchError:
    """What says that some of the ranks are not there."""
    return LaunchError(
        f"distribution=processes: after {patience:g} s {what}; all {workers} are needed. {mend}, or raise patience in "
        f"{FILE}."
    )


def say(message: dict[str, Any]) -> None:
    """Tell the launcher something, in one line of standard output."""
    sys.stdout.flush()
    os.write(1, f"{MARK}{json.dumps(message)}\n".encode())

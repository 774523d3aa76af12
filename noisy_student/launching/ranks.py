"""What a process of a training knows of the others; the one of rank 0 leads: it alone writes."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict, dataclass
from typing import Any

VARIABLE = "NOISY_STUDENT_RANK"
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


def say(message: dict[str, Any]) -> None:
    """Tell the launcher something, in one line of standard output."""
    sys.stdout.flush()
    os.write(1, f"{MARK}{json.dumps(message)}\n".encode())

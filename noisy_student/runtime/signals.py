"""Ctrl-C and SIGTERM at a moment of our choice, so that the work done can be saved first."""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator

import psutil

_DVC_STAGE = "DVC_STAGE"  # the variable in which DVC tells a stage its name
_ASKED = signal.SIGUSR1  # by the launcher


class Terminated(KeyboardInterrupt):
    """SIGTERM arrived; handled like Ctrl-C."""


class Stopped(Exception):
    """The work was stopped from outside after it was saved.

    Args:
        message: where it goes on.
        cause: the number of the signal, or the KeyboardInterrupt that it raised.
        saved: how much of the present part is saved, e.g. "8 of 11 rows", for who counts the parts.
    """

    def __init__(self, message: str, cause: int | KeyboardInterrupt, saved: str = "") -> None:
        super().__init__(message)
        self.saved = saved
        self.number = number_of(cause) if isinstance(cause, KeyboardInterrupt) else cause


def number_of(interrupt: KeyboardInterrupt) -> int:
    """The signal that a KeyboardInterrupt stands for."""
    return signal.SIGTERM if isinstance(interrupt, Terminated) else signal.SIGINT


def _link_to_dvc() -> tuple[psutil.Process, int]:
    """The process that DVC started, this one or the shell it runs in, and that DVC's number.

    DVC runs a command in the user's shell. Some shells give their place to the command, others wait for it;
    all processes below DVC have DVC_STAGE in their environment, and DVC itself has not.
    """
    below = psutil.Process()
    with contextlib.suppress(psutil.Error):  # a process that we may not look at is nobody's we started
        for above in below.parents():
            if _DVC_STAGE not in above.environ():
                break
            below = above
    return below, below.ppid()


_LINK = _link_to_dvc() if _DVC_STAGE in os.environ else None  # as it is when the process starts


def remember_parent(dvc: int) -> None:
    """Take the process of this number for the DVC that started this stage: for a stage that was forked, not started."""
    global _LINK
    _LINK = psutil.Process(), dvc


def leave_to_the_launcher() -> None:
    """Take this process for one of several of a training: its launcher is asked to stop, and lets one save.

    A signal that reaches all of them would end those first that save nothing, and with them the training; and it would
    be the second one for the one that saves. So all are deaf to signals, but for `ask_to_stop`.
    """
    global _LINK
    _LINK = None
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(_ASKED, _stop)


def ask_to_stop() -> None:
    """Do in such a process what SIGTERM does in others; from any thread, any number of times."""
    os.kill(os.getpid(), _ASKED)


def _stop(number, frame):
    if not _ACTIVE:
        raise Terminated
    if _ACTIVE[-1].signal is None:
        _ACTIVE[-1].signal = signal.SIGTERM


def is_orphaned() -> bool:
    """Whether the DVC that started this stage was killed.

    Such a stage saves and ends where it can: whoever starts DVC again then finds its work, instead of
    waiting for a process that nobody knows of.
    """
    if _LINK is None:
        return False
    below, dvc = _LINK
    try:
        return below.ppid() != dvc
    except psutil.NoSuchProcess:
        return True


class Requests:
    """Whether the work shall stop; see `deferred`.

    Attributes:
        signal: the number of the one that came in this block.
        around: those of the block around it.
    """

    def __init__(self, around: "Requests | None" = None) -> None:
        self.signal: int | None = None
        self.around = around

    def note(self, number: int, frame: object) -> None:
        """Handle a signal: the first one is kept, a second one acts at once."""
        if self._noted() is not None:
            raise Terminated if number == signal.SIGTERM else KeyboardInterrupt
        self.signal = number

    def pending(self) -> int | None:
        """The number of the signal that asks to stop, in this block or one around it; an orphan is asked by SIGHUP."""
        noted = self._noted()
        return signal.SIGHUP if noted is None and is_orphaned() else noted

    def _noted(self):
        return self.signal if self.signal is not None or self.around is None else self.around._noted()


_ACTIVE: list[Requests] = []  # of the blocks of `deferred` in which the main thread is, the innermost last


def raise_on_sigterm() -> None:
    """Let SIGTERM raise `Terminated`, so that temporary files are removed and locks are let go."""

    def handler(number, frame):
        raise Terminated

    signal.signal(signal.SIGTERM, handler)


@contextlib.contextmanager
def deferred() -> Iterator[Requests]:
    """Within the block the first Ctrl-C or SIGTERM is only noted; a second one acts at once.

    A signal that is ignored, as Ctrl-C is by a job in the background of a script, stays ignored.

    Yields:
        `Requests`, to be asked at moments at which the work can be saved. Outside of the main thread,
        where Python handles no signals, it never asks to stop. A signal that came too late for such a moment is handed
        to the block around this one, if there is another; else it is `signal` still.
    """
    if threading.current_thread() is not threading.main_thread():
        yield Requests()
        return
    requests = Requests(_ACTIVE[-1] if _ACTIVE else None)
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: old for number in numbers if (old := signal.getsignal(number)) is not signal.SIG_IGN}
    for number in before:
        signal.signal(number, requests.note)
    _ACTIVE.append(requests)
    try:
        yield requests
    finally:
        _ACTIVE.remove(requests)
        for number, old in before.items():
            signal.signal(number, old if old is not None else signal.SIG_DFL)
    if requests.signal is not None and _ACTIVE:
        late, requests.signal = requests.signal, None
        _ACTIVE[-1].note(late, None)

"""A shard's task: a function's name, paths and numbers; what it gives is a file."""

import contextlib
import importlib
import platform
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from noisy_student.runtime import environment
from noisy_student.runtime.errors import UserError
from noisy_student.runtime.files import atomic_path
from noisy_student.runtime.signals import Stopped

TRIES = 3  # how often a task is begun whose worker dies or cannot write


class Call(NamedTuple):
    """A function by its name, "package.module:function", and arguments for it that JSON can hold."""

    function: str
    arguments: dict[str, Any]

    def __call__(self, *positional: Any, **more: Any) -> Any:
        """Call it, with more arguments."""
        module, _, name = self.function.partition(":")
        return getattr(importlib.import_module(module), name)(*positional, **self.arguments, **more)


@dataclass(frozen=True)
class Work:
    """What is done for all shards.

    Attributes:
        call: is called with the path of a temporary file, which it writes, and with the task's arguments besides its
            own; may return {name: number}, of which there are sums in the end, or a context manager that gives them
            and is left when the file is in its place.
        start: what a new process calls before its first task; None: nothing.
        threads: processors that a worker may use; None: all of its machine.
    """

    call: Call
    start: Call | None = None
    threads: int | None = None


@dataclass(frozen=True)
class Task:
    """What is done for one shard.

    Attributes:
        name: of the shard, in messages.
        output: the file that is there afterwards; a task whose file is there already is done.
        size: images, for progress.
        arguments: of the function, besides those of all tasks; JSON can hold them, for they go to another process.
    """

    name: str
    output: Path
    size: int
    arguments: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """What became of a task.

    Attributes:
        facts: what `perform` returned; None: it failed.
        tries: how often it was begun.
        error: why it failed, in words.
    """

    task: Task
    facts: dict[str, Any] | None
    tries: int
    error: str = ""


def perform(call: Call, output: str | Path, arguments: dict[str, Any]) -> dict[str, Any]:
    """Do a task in this process: its file is there as a whole, or not at all.

    Args:
        call: that of `Work`.
        output, arguments: those of the task.

    Returns:
        "seconds", "host", "cpu" and "details", which are what the function returned.
    """
    began = time.monotonic()
    details: dict[str, Any] = {}
    if not Path(output).exists():  # else its worker died between the last two steps, before it could say so
        with contextlib.ExitStack() as until_there, atomic_path(output) as temporary:
            details = call(temporary, **arguments) or {}
            if isinstance(details, contextlib.AbstractContextManager):
                details = until_there.enter_context(details)
    facts = {"host": platform.node(), "cpu": environment.cpu()["name"], "details": details}
    return {"seconds": time.monotonic() - began, **facts}


def why(error: BaseException) -> str:
    """An exception of a task in words."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, MemoryError):
        return f"out of memory ({error}); fewer workers, or a smaller batch, need less".replace(" ()", "")
    return f"{type(error).__name__}: {error}"


def may_pass(error: BaseException) -> bool:
    """Whether another try can help: a disk may be better on another worker, a wrong input is not."""
    return isinstance(error, OSError | MemoryError | Stopped)

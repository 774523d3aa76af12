"""A shard's task: a function's name, paths and numbers; what it gives is a file."""

import importlib
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from noisy_student.runtime import environment
from noisy_student.runtime.errors import UserError
from noisy_student.runtime.files import atomic_path
from noisy_student.runtime.signals import Stopped

TRIES = 3  # how often a task is begun whose worker dies or cannot write

Call = tuple[str, dict[str, Any]]  # "package.module:function", and its arguments


@dataclass(frozen=True)
class Task:
    """What is done for one shard.

    Attributes:
        name: of the shard, in messages.
        output: the file that is there afterwards; a task whose file is there already is done.
        size: images, for progress.
        arguments: of the function; JSON can hold them, for they go to another process.
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


def named(function: str) -> Callable[..., Any]:
    """The function of a name such as "package.module:function"."""
    module, _, name = function.partition(":")
    return getattr(importlib.import_module(module), name)


def perform(function: str, output: str | Path, arguments: dict[str, Any]) -> dict[str, Any]:
    """Do a task in this process: its file is there as a whole, or not at all.

    Args:
        function: is called with the path of a temporary file, which it writes, and the arguments; may return facts
            that JSON can hold.

    Returns:
        "seconds", "host", "cpu" and "details", which are what the function returned.
    """
    began, details = time.monotonic(), {}
    if not Path(output).exists():  # else its worker died between the last two steps, before it could say so
        with atomic_path(output) as temporary:
            details = named(function)(temporary, **arguments) or {}
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

"""The commands of `python -m noisy_student NAME`: they need a model's file, not the repository.

A file here is a command, found by its name: its docstring is the help text (the first line stands in the list), it
has `add_arguments(parser)` and `run(arguments)`, which returns the exit status. Frameworks are imported by `run` only.
"""

import argparse
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from noisy_student.runtime import signals
from noisy_student.runtime.errors import FULL, UserError

if TYPE_CHECKING:
    from noisy_student.deployment.predicting import FilePredictor
    from noisy_student.deployment.runtimes import Opened

MODEL_HELP = "a .keras file, read in safe mode; or an export of it (.onnx, .tflite, .xml), run by its own runtime"
_STOPPED = "interrupted: nothing was written. Run the same command again."
DONE, FAILED, USAGE, PARTLY = 0, 1, 2, 3
STATUSES = """\
exit status: 0 done; 1 an error, nothing was written; 2 wrong arguments; 3 done, but some files could not be read
(they are named); 130 and 143 stopped by Ctrl-C and SIGTERM, nothing was written"""


def ended(call: Callable[[], int]) -> int:
    """Run a command; one clear message and a status for what a user can mend or has stopped."""
    signals.raise_on_sigterm()
    try:
        status = call()
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # whoever reads the output has seen enough, as `head` has
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
    except OSError as error:
        mend = "Free some space there" if error.errno in FULL else "Mend the path or its permissions"
        print(f"error: {error}. Nothing was written. {mend}, then run again.", file=sys.stderr)
    except MemoryError:
        print("error: out of memory. Close other programs, or use a machine with more.", file=sys.stderr)
    except signals.Stopped as stop:
        print(_STOPPED, file=sys.stderr)
        return 128 + stop.number
    except KeyboardInterrupt as interrupt:
        print(_STOPPED, file=sys.stderr)
        return 128 + signals.number_of(interrupt)
    return FAILED


def select_backend() -> None:
    """Let Keras run on the framework that KERAS_BACKEND names, else on the first that is installed.

    Raises:
        UserError: there is none.
    """
    import importlib.util

    from noisy_student import backends
    from noisy_student.runtime.installed import REQUIREMENTS

    chosen = os.environ.get("KERAS_BACKEND")
    if chosen and chosen not in REQUIREMENTS:
        raise UserError(f"KERAS_BACKEND={chosen}: choose one of {', '.join(REQUIREMENTS)}, or unset it.")
    installed = [name for name in REQUIREMENTS if importlib.util.find_spec(name) is not None]
    if chosen and chosen not in installed:
        raise UserError(
            f"KERAS_BACKEND={chosen}: the Python package {chosen} is not installed. Install it, or unset it."
        )
    if not installed:
        raise UserError(f"none of {', '.join(REQUIREMENTS)} is installed. Run `pip install -r requirements.txt`.")
    backends.select(chosen or installed[0])
    backends.current().make_deterministic()


def opened(arguments: argparse.Namespace) -> "Opened":
    """The model that a command names: Keras and its framework are started only if it is none of the exports.

    Raises:
        UserError: see `select_backend` and `runtimes.open_any`.
    """
    from noisy_student.deployment import runtimes

    if not runtimes.is_export(arguments.model):
        select_backend()
    return runtimes.open_any(arguments.model, arguments.classes)


def shown(name: str) -> str:
    """A file's name for one line of a terminal: what cannot be printed as escapes."""
    return name if name.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in name)


def note(text: str) -> None:
    """Say something on standard error."""
    print(text, file=sys.stderr, flush=True)


def name_unreadable(name: str, cause: str) -> None:
    """Say that a file cannot be read."""
    note(f"unreadable: {shown(name)}: {cause}")


def warn_of_depths(predictor: "FilePredictor") -> None:
    """Say if images of more than 8 bits were perhaps not scaled alike."""
    try:
        predictor.check_depths()
    except UserError as error:
        note(f"warning: {str(error).split('. ')[0]}.")


def share(text: str) -> float:
    """A share, 0 or more and less than 1."""
    value = float(text)
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError("give a number of 0 or more, below 1")
    return value

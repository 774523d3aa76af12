"""How every stage starts and how it ends when something is wrong."""

import argparse
import errno
import hashlib
import inspect
import os
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from noisy_student.runtime import arithmetic, checkpoints, console, locks, run_record, signals
from noisy_student.runtime.errors import UserError

FULL = "Free some space there, then run again."
IN_THE_WAY = "Move away what is in the way, then run again."
MENDS = {
    errno.ENOSPC: FULL,
    errno.EDQUOT: FULL,
    errno.EFBIG: FULL,
    errno.EROFS: "The file system is read-only: run in a copy of the project elsewhere.",
    errno.ENOTDIR: IN_THE_WAY,
    errno.EISDIR: IN_THE_WAY,
    errno.EEXIST: IN_THE_WAY,
}

KNOWN = (UserError, OSError, MemoryError)  # what a user can mend
SECTIONS = {  # of which `main` gets a key
    "generation": "generations",
    "test": "eval.extra_tests",
    "pair": "generations and one of eval.extra_tests, with - between them,",
}


def run(main: Callable[..., dict[str, Any] | None], *, recorded: bool = True) -> None:
    """Run a stage's `main` as a script: one clear message and exit status 1 for what a user can mend.

    Only one process at a time runs a stage in a folder; what `main` returns goes into metrics/run.json.
    Ctrl-C ends with status 130, SIGTERM with 143.

    Args:
        main: the stage; its docstring is the help text. May return a dict for the record of the run. If it takes
            an argument, it is done for one generation, one extra test set or a pair, and gets its key. DVC names
            that in the environment variable DVC_STAGE ("student@gen1"), so that no parameter goes through a shell; by
            hand it is given as an argument.
        recorded: whether the run is locked and enters metrics/run.json, as all stages of DVC do.
    """
    console.use_utf8()
    parser = argparse.ArgumentParser(description=main.__doc__)
    for key in inspect.signature(main).parameters:
        default = os.environ.get("DVC_STAGE", "").partition("@")[2] or None
        parser.add_argument(key, nargs="?", default=default, help=f"a key of {SECTIONS[key]} in params.yaml")
    arguments = vars(parser.parse_args())
    for key in arguments:
        if arguments[key] is None:
            parser.error(f"which {key}? Give a key of {SECTIONS[key]} in params.yaml")
    signals.raise_on_sigterm()
    if any(option.startswith("e") for option in sys.warnoptions):  # PYTHONWARNINGS=error, e.g. of a CI job
        warnings.resetwarnings()  # else a deprecation in a library would be a traceback
        warnings.simplefilter("ignore", DeprecationWarning)
    try:
        if main.__module__ == "__main__" and arithmetic.wanted():
            arithmetic.start_anew()
        if recorded:
            _run(main, arguments)
        else:
            main(**arguments)
    except KNOWN as error:
        sys.exit(f"error: {_of_experiment(_message(error))}")
    except signals.Stopped as stop:
        _end(stop, stop.number)
    except KeyboardInterrupt as interrupt:
        _end("nothing was written. Run the same command again.", signals.number_of(interrupt))
    except Exception as error:
        if not _is_out_of_memory(error):
            raise
        sys.exit(f"error: {_of_experiment(_reason(error))}")


def _run(main, arguments):
    name = "@".join([Path(sys.argv[0]).stem.replace("_", "-"), *arguments.values()])
    began = time.perf_counter()
    here = hashlib.sha256(os.fsencode(Path.cwd() / name)).hexdigest()[:24]
    with locks.held(checkpoints.lock_path(here), what=f"stage {name} in this folder"):
        try:
            details = {"arithmetic": _arithmetic()} | (main(**arguments) or {})
        except (KeyboardInterrupt, signals.Stopped):
            run_record.record_failure(name, "it was interrupted. Run the same command again.")
            raise
        except Exception as error:
            run_record.record_failure(name, _reason(error))
            raise
        run_record.record(name, seconds=time.perf_counter() - began, details=details)


def _arithmetic():
    return "portable" if arithmetic.is_pinned() else "fast"


def _of_experiment(message):
    """A message about params.yaml, with what to mend if its values are those of an experiment of DVC.

    With --temp and in the queue that file is a copy, which DVC removes; else it is the user's, with -S written into it.
    """
    if "params.yaml" not in message or "DVC_EXP_BASELINE_REV" not in os.environ:
        return message
    what = message.removesuffix("Mend params.yaml and run again.").rstrip()
    name = f"the experiment {os.environ.get('DVC_EXP_NAME', '')}".rstrip()
    if ".dvc/tmp/exps/" in f"{Path.cwd().as_posix()}/":
        return f"{what}\nThis is the copy of {name}: mend its -S or your params.yaml, and start or queue it anew."
    return f"{what}\nThese values are of {name}: mend its -S, or params.yaml, which holds them, and run again."


def _end(message, number):
    print(f"interrupted: {message}", file=sys.stderr)
    sys.exit(128 + number)


def _is_out_of_memory(error):
    # TensorFlow, PyTorch and JAX in turn; none of them is imported here
    known = type(error).__name__ in ("ResourceExhaustedError", "OutOfMemoryError")
    return known or "RESOURCE_EXHAUSTED" in str(error)


def _reason(error):
    """Why a stage failed, for `make results`."""
    if isinstance(error, KNOWN):
        return _message(error)
    first = next(iter(str(error).splitlines()), "")
    if _is_out_of_memory(error):
        return _message(MemoryError(first))
    return f"{type(error).__name__}: {first} (a fault of this project: the whole traceback stands in the output above)"


def _message(error):
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, MemoryError):
        detail = f" ({error})" if str(error) else ""
        return f"out of memory{detail}. Lower batch_size, data.unlabelled or balance.per_class in params.yaml."
    return f"{error}. Nothing was written. {MENDS.get(error.errno, 'Mend the permissions, then run again.')}"

"""How every stage starts and how it ends when something is wrong."""

import argparse
import os
import sys

from noisy_student.errors import UserError


def run(main, *, generation=False):
    """Run a stage's `main` as a script: one clear message and exit status 1 for what a user can mend.

    Args:
        main: the stage; its docstring is the help text.
        generation: the stage belongs to a generation, whose key is passed to `main`. DVC names it in
            the environment variable DVC_STAGE ("student@gen1"), so that no parameter goes through a
            shell; by hand it is given as an argument.
    """
    parser = argparse.ArgumentParser(description=main.__doc__)
    if generation:
        stage = os.environ.get("DVC_STAGE", "")
        parser.add_argument(
            "generation",
            nargs="?",
            default=stage.partition("@")[2] or None,
            help="a key of generations in params.yaml",
        )
    arguments = vars(parser.parse_args())
    if generation and arguments["generation"] is None:
        parser.error("which generation? Give a key of generations in params.yaml, e.g. gen1")
    try:
        main(**arguments)
    except (UserError, OSError, MemoryError) as error:
        sys.exit(f"error: {_message(error)}")
    except Exception as error:
        if not _is_out_of_memory(error):
            raise
        sys.exit(f"error: {_message(MemoryError(str(error).splitlines()[0]))}")
    except KeyboardInterrupt:
        sys.exit("interrupted: nothing was written. Run `dvc repro` to start this stage again.")


def _is_out_of_memory(error):
    # TensorFlow, PyTorch and JAX in turn; none of them is imported here
    known = type(error).__name__ in ("ResourceExhaustedError", "OutOfMemoryError")
    return known or "RESOURCE_EXHAUSTED" in str(error)


def _message(error):
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, MemoryError):
        found = f" ({error})" if str(error) else ""
        return f"out of memory{found}. Lower batch_size, data.unlabelled or balance.per_class in params.yaml."
    return f"{error}. Nothing was written; free the space or mend the permissions, then run again."

"""Run `dvc repro`, importing what stages share only once; `make repro` is this.

python -m commands.repro --keep-going     # arguments are those of `dvc repro`, see `dvc repro --help`
"""

import argparse
import signal
import sys

from commands import new_parser
from experiments import forking
from noisy_student.runtime import console

INTERRUPTED, WRONG_ARGUMENTS = 252, 254  # DVC's; an error is 255


def parser() -> argparse.ArgumentParser:
    """That of this command, which knows no argument of its own."""
    return new_parser("commands.repro", __doc__, failure="a stage failed")


def main() -> None:
    """Run DVC in this process."""
    parser().parse_known_args()  # prints the help
    sys.exit(status_of(forking.dvc(["repro", *sys.argv[1:]])))


def status_of(code: int) -> int:
    """The exit status that every command has for what DVC's own stands for."""
    if code in (0, 128 + signal.SIGINT, 128 + signal.SIGTERM):
        return code
    return {INTERRUPTED: 128 + signal.SIGINT, WRONG_ARGUMENTS: 2}.get(code, 1)


if __name__ == "__main__":
    console.use_utf8()
    main()

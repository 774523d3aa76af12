"""Check params.yaml and the inputs that it names, as the stage check does.

python -m commands.check
"""

import argparse

from commands import new_parser
from noisy_student.runtime import console
from noisy_student.settings import params
from noisy_student.steps.checking import check_project
from stages.entry import run


def parser() -> argparse.ArgumentParser:
    """That of this command."""
    return new_parser("commands.check", __doc__)


def main() -> None:
    """Validate params.yaml, and look for data.root, data.unlabelled_from and the extra test sets."""
    check_project(params.read_yaml("params.yaml"))
    print("params.yaml, and the inputs that it names: no mistake found")


if __name__ == "__main__":
    console.use_utf8()
    parser().parse_args()
    run(main, recorded=False)

"""Check params.yaml and what it names on this machine, before anything runs.

DVC drops generations with odd keys silently, and its message for a missing folder names no parameter. A stage checks
the networks or the source only if it uses them, so that it does not depend on the code of all; here all are.
"""

import sys

from noisy_student.settings import params
from noisy_student.steps.checking import check, check_here, notes
from stages.entry import run

__all__ = ["check", "main"]


def main() -> None:
    """Validate params.yaml; look for the folders of images, for enough images in them, and for the packages."""
    settings = check(params.read_yaml("params.yaml"))
    check_here(settings)
    for line in notes(settings):
        print(f"note: {line}", file=sys.stderr)


if __name__ == "__main__":
    run(main, recorded=False)

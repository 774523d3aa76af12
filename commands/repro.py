"""`dvc repro` in which what stages import is imported once: `make repro`.

python -m commands.repro --keep-going     # arguments of `dvc repro`
"""

import sys

from experiments import forking
from noisy_student.runtime import console


def main() -> None:
    """Run DVC in this process."""
    sys.exit(forking.dvc(["repro", *sys.argv[1:]]))


if __name__ == "__main__":
    console.use_utf8()
    main()

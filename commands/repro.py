"""`dvc repro` in which what stages import is imported once: `make repro`.

python -m commands.repro --keep-going     # arguments of `dvc repro`
"""

import functools
import sys

from noisy_student.runtime import console, environment
from noisy_student.runtime.errors import UserError
from noisy_student.settings.params import read_yaml


def main() -> None:
    """Run DVC in this process; see `experiments.forking`."""
    from dvc import cli

    from experiments.forking import fork_stages, import_libraries

    @functools.cache
    def prepare():
        import_libraries(read_yaml("params.yaml").get("backend", "tensorflow"))

    fork_stages(environment.code_digest(), prepare)
    arguments = ["repro", *sys.argv[1:]]
    sys.argv = ["dvc", *arguments]
    sys.exit(cli.main(arguments))


if __name__ == "__main__":
    console.use_utf8()
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")

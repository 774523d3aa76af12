"""Use a trained model: predict, label and export need its `.keras` file only.

python -m noisy_student COMMAND --help explains a command. What works on the repository, its stages and its studies,
is run by make and by `python -m commands.NAME`.
"""

import argparse
import importlib
import pkgutil
import sys

from noisy_student import cli
from noisy_student.runtime import console


def parser() -> argparse.ArgumentParser:
    """That of all commands, which are the files of `noisy_student/cli/`."""
    raw = argparse.RawDescriptionHelpFormatter
    main = argparse.ArgumentParser(
        prog="python -m noisy_student", description=__doc__, epilog=cli.STATUSES, formatter_class=raw
    )
    commands = main.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name in sorted(module.name for module in pkgutil.iter_modules(cli.__path__)):
        command = importlib.import_module(f"noisy_student.cli.{name}")
        text = str(command.__doc__)
        own = commands.add_parser(
            name, help=text.splitlines()[0], description=text, epilog=cli.STATUSES, formatter_class=raw
        )
        command.add_arguments(own)
        own.set_defaults(run=command.run)
    return main


def main() -> int:
    """Run the command that the arguments name; return the exit status."""
    arguments = parser().parse_args()
    return cli.ended(lambda: arguments.run(arguments))


if __name__ == "__main__":
    console.use_utf8()
    sys.exit(main())

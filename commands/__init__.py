"""What people run by hand, in the repository: `python -m commands.NAME`.

A file here with the function `parser()` is a command, found by its name: its docstring is the help text (the first
line stands in the list of `python -m commands`). `new_parser` gives all of them one style; those of
`experiments/` and `benchmarks/` take it too.
"""

import argparse
import ast
import textwrap
from pathlib import Path

ROOT = Path(__file__).parents[1]
STATUS = (
    "exit status: 0 done; 1 an error, which one message explains; 2 wrong arguments; 130 and 143 stopped by Ctrl-C and "
    "SIGTERM"
)


def new_parser(name: str, text: str | None, *, failure: str = "") -> argparse.ArgumentParser:
    """A parser whose help is the docstring of a file, with the exit status below the options.

    Args:
        name: what stands behind `python -m`, such as "commands.check".
        text: the docstring: what it does in one line, examples, more.
        failure: what exit status 1 says besides an error.
    """
    status = STATUS.replace("1 an error", f"1 {failure}, or an error") if failure else STATUS
    return argparse.ArgumentParser(
        prog=f"python -m {name}",
        description=text,
        epilog=textwrap.fill(status, 110),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def at_least_one(text: str) -> int:
    """A whole number, 1 or more, of an argument."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"at least 1, found {text}")
    return int(text)


def summary(path: Path) -> str:
    """What a command does, in one line: the first of its file, which is read, not imported."""
    return (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").partition("\n")[0]


def summaries() -> dict[str, str]:
    """{command of this folder: what it does, in one line}."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    with_parser = [path for path in files if "\ndef parser() ->" in path.read_text(encoding="utf-8")]
    return {path.stem: summary(path) for path in with_parser if path.stem != "__main__"}

"""List the commands that work on this repository, its stages and its results.

python -m commands                # this list
python -m commands.NAME --help    # explains one
"""

import argparse

from commands import ROOT, new_parser, summaries, summary
from noisy_student.runtime import console
from noisy_student.settings.inputs import nearest

OTHERS = ("experiments/verdict", "experiments/report", "experiments/study", "benchmarks", "noisy_student")


def parser() -> argparse.ArgumentParser:
    """That of the list, which takes no argument."""
    own = new_parser("commands", __doc__)
    own.add_argument("name", nargs="?", help=argparse.SUPPRESS)
    return own


def main() -> None:
    """Print the list."""
    own, found = parser(), summaries()
    name = own.parse_args().name
    if name:
        near = nearest(name.removeprefix("commands."), found)
        own.error(f"no command {name}; python -m commands lists them." + f" Did you mean commands.{near}?" * bool(near))
    listed = {f"commands.{name}": text for name, text in found.items()}
    listed |= {folder.replace("/", "."): summary(ROOT / folder / "__main__.py") for folder in OTHERS}
    width = max(map(len, listed))
    print("python -m NAME, with --help for more; `make` lists the shortest way to most of them")
    for name, text in listed.items():
        print(f"  {name:<{width}}  {text}")


if __name__ == "__main__":
    console.use_utf8()
    main()

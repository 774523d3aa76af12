"""List what killed or stopped stages would go on from, or remove it.

python -m commands.checkpoints             # stage, size, age, how much is saved
python -m commands.checkpoints --remove    # removes what no process is at work on
"""

import argparse
import sys

from commands import new_parser
from noisy_student.runtime import checkpoints, console


def parser() -> argparse.ArgumentParser:
    """That of this command."""
    own = new_parser("commands.checkpoints", __doc__)
    own.add_argument("--remove", action="store_true", help="remove them, but for those in use")
    return own


def main() -> None:
    """List or remove checkpoints."""
    arguments = parser().parse_args()
    try:
        entries = checkpoints.present()
        for entry in entries:
            removed = arguments.remove and checkpoints.remove(entry["folder"])
            print(_line(entry, removed=removed))
    except OSError as error:
        sys.exit(f"error: {error}. Mend the permissions, then run again.")
    total = sum(entry["bytes"] for entry in entries)
    print(f"{len(entries)} in {checkpoints.root()}, {total / 1e6:,.1f} MB")


def _line(entry, *, removed):
    state = "removed" if removed else "in use" if entry["in_use"] else ""
    age = f"{entry['age'] / 60:,.0f} min old" if entry["age"] < 86400 else f"{entry['age'] / 86400:,.1f} days old"
    line = f"{entry['stage']:<20} {entry['bytes'] / 1e6:>9,.1f} MB  {age:>14}  {entry['done']}  {state}"
    return f"{line.rstrip()}\n    {entry['folder']}"


if __name__ == "__main__":
    console.use_utf8()
    main()

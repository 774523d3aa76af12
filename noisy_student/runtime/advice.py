"""Warnings about results: what is no fault, but hardly what was wanted. Each is one line, with the mend.

A stage prints its own once and returns them for metrics/run.json, under the key `KEY`, so that tables can repeat them.
"""

import sys
from collections.abc import Iterable

KEY = "warnings"


def warn(lines: Iterable[str]) -> dict[str, list[str]]:
    """Print warnings to standard error; return what the record of the run has of them, empty if there is none."""
    said = list(lines)
    for line in said:
        print(f"warning: {line}", file=sys.stderr, flush=True)
    return {KEY: said} if said else {}

"""Warnings about results: what is no fault, but hardly what was wanted. Each is one line, with the mend.

A stage prints its own once and writes them beside its results, under the name `KEY`, so that tables can repeat them.
"""

import sys
from collections.abc import Iterable

KEY = "warnings"


def warn(lines: Iterable[str]) -> list[str]:
    """Print warnings to standard error, and return them."""
    said = list(lines)
    for line in said:
        print(f"warning: {line}", file=sys.stderr, flush=True)
    return said

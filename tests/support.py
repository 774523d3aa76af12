"""Helpers of several tests."""

import copy
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def with_values(tree, values):
    """A copy of the nested dict with dotted keys set."""
    tree = copy.deepcopy(tree)
    for key, value in values.items():
        *sections, last = key.split(".")
        inner = tree
        for section in sections:
            inner = inner[section]
        inner[last] = value
    return tree

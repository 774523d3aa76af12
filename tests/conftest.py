"""Shared by all tests: parameters to change, and the default backend."""

import copy
import os
from pathlib import Path

import pytest

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def digits():
    """The values of presets/digits.yaml, as a nested dict; copy before changing it."""
    from noisy_student import params

    return params.read_yaml(ROOT / "presets/digits.yaml")


@pytest.fixture
def changed(digits):
    """A function: the digits' parameters, validated, with some dotted keys changed."""
    from noisy_student import params

    def change(**values):
        return params.check(with_values(digits, {key.replace("__", "."): v for key, v in values.items()}))

    return change


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

"""`commands.repro` ends as every command does, whatever DVC's own statuses are."""

import subprocess
import sys

import pytest

from commands.repro import status_of
from support import ROOT


@pytest.mark.parametrize(
    ("dvc", "expected"), [(0, 0), (255, 1), (253, 1), (1, 1), (254, 2), (252, 130), (130, 130), (143, 143)]
)
def test_statuses(dvc, expected):
    assert status_of(dvc) == expected


@pytest.mark.parametrize(("argument", "expected"), [("no-such-stage", 1), ("--no-such-option", 2)])
def test_they_are_dvcs(argument, expected):
    command = [sys.executable, "-m", "commands.repro", argument]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == expected, done.stderr

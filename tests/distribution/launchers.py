"""A launcher in a process of its own, as a stage has it, whose ranks work until they are asked to stop."""

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil

from support import ROOT

HERE = Path(__file__).parent
_PATIENT = """
from noisy_student.launching.launcher import launched
from stages.entry import run

def main():
    launched("rank_work", "patient", {folder!r}, title="t")

run(main, recorded=False)
"""


def start_patient(folder, seconds=60):
    """(launcher, its two ranks), when they are at work."""
    environment = {**os.environ, "PYTHONPATH": f"{HERE}:{ROOT}"}
    command = [sys.executable, "-c", _PATIENT.format(folder=str(folder))]
    launcher = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE)
    files, until = [folder / f"pid-{rank}" for rank in range(2)], time.monotonic() + seconds
    while not all(file.exists() and file.read_text() for file in files):
        assert time.monotonic() < until
        assert launcher.poll() is None, launcher.communicate()
        time.sleep(0.05)
    return launcher, [psutil.Process(int(file.read_text())) for file in files]

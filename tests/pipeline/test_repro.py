"""`python -m commands.repro`, whose stages are forked, ends in every way as `dvc repro` does."""

import hashlib
import os
import re
import signal
import subprocess
import sys
import time
from itertools import pairwise

import psutil
import pytest

from clones import TINY, make_clone

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="stages are forked on Linux only")]

BY_DVC, FORKED = ("dvc", "repro"), (sys.executable, "-m", "commands.repro")
TEACHER = ("--force", "--single-item", "teacher")
VALUES = TINY | {"teacher.steps": 400, "teacher.validate_every": 100, "checkpoint.every_minutes": 0.0}
# what no two runs have in common: times, how far they were, and what DVC finds of one that was killed
TIMES = re.compile(r" in \d+ s|(?<=saved at step )\d+|WARNING: Process .* had been killed.*\n|.*resumed_from_step.*\n")
PROGRESS = re.compile(r"teacher: [\d,]+ of [\d,]+ steps.*\n")


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A clone in which the teacher is trained, without interruption, by DVC; its model's digest."""
    clone = make_clone(tmp_path_factory.mktemp("repro") / "project", VALUES)
    clone.run(*BY_DVC, "teacher")
    clone.commit("results")
    return clone, _model(clone)


def _model(clone):
    return hashlib.sha256(clone.read("models/teacher.keras")).hexdigest(), clone.read("dvc.lock")


def _start(clone, command):
    """As `make repro` does: in a shell that looks at the exit status, in a process group of its own."""
    script = '"$@"; status=$?; echo ended with $status; exit $status'
    return subprocess.Popen(
        ["sh", "-c", script, "sh", *command],
        cwd=clone.folder,
        env=clone.env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def _wait(condition):
    end = time.monotonic() + 120
    while not (found := condition()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)
    return found


def _training(clone, shell):
    """(DVC's process, that of the stage that trains), when it has saved a checkpoint."""

    def saved():
        return list((clone.folder / "checkpoints/teacher").glob("*/[0-9]*.npz"))

    before = set(saved())
    _wait(lambda: set(saved()) - before)
    line = [shell, *shell.children(recursive=True)]
    assert all(child.ppid() == parent.pid for parent, child in pairwise(line)), line
    return line[1], line[-1]


def _interrupted(clone, command, victim, number):
    """What is said when a training is sent a signal, without what no two runs have in common."""
    process = _start(clone, (*command, *TEACHER))
    dvc, stage = _training(clone, psutil.Process(process.pid))
    if victim == "group":
        os.killpg(process.pid, number)
    else:
        {"dvc": dvc, "stage": stage}[victim].send_signal(number)
    output, _ = process.communicate(timeout=120)  # a stage that outlives DVC holds the pipe
    assert not stage.is_running() or stage.status() == psutil.STATUS_ZOMBIE  # which none may have waited for
    return _without_times(output)


def _without_times(output):
    return PROGRESS.sub("", TIMES.sub("", output))


@pytest.mark.parametrize(
    ("victim", "number", "said"),
    [
        ("group", signal.SIGINT, "interrupted: teacher: stopped; saved at step"),  # Ctrl-C
        ("dvc", signal.SIGTERM, "ended with 143"),
        ("dvc", signal.SIGKILL, "ended with 137"),
        ("stage", signal.SIGTERM, "interrupted: teacher: stopped; saved at step"),
        ("stage", signal.SIGKILL, "python -m stages.teacher, exited with -9"),
    ],
)
def test_a_signal_has_the_same_effect(project, victim, number, said):
    clone, model = project
    outputs = []
    for command in (BY_DVC, FORKED):
        outputs.append(_interrupted(clone, command, victim, number))
        assert said in outputs[-1]
        assert "Traceback" not in outputs[-1]
        assert "resumed_from_step=" in clone.run(*command, *TEACHER)
        assert _model(clone) == model
    assert outputs[0] == outputs[1]


def test_a_stage_that_fails_and_others_that_go_on(project):
    clone, (_, lock) = project
    clone.run("git", "reset", "-q", "--hard")
    outputs = []
    clone.set(pseudolabel__threshold=0.9999, balance__on_empty="error")
    for command in (BY_DVC, FORKED):
        # DVC names what it does not run in the order of a set
        output = clone.run(*command, "--keep-going", "--force", fails=True, PYTHONHASHSEED="0")
        outputs.append(_without_times(output))
        assert "No pseudo-label of any class is" in outputs[-1]
        assert "Running stage 'robustness-teacher'" in outputs[-1]
        assert "Traceback" not in outputs[-1]
        (clone.folder / "dvc.lock").write_bytes(lock)
    assert outputs[0] == outputs[1]
    clone.run("git", "checkout", "-q", "params.yaml")


def test_code_that_is_changed_meanwhile_is_what_the_next_stage_runs(project):
    """Its digest is what DVC records; what was imported is not it any more."""
    clone, _ = project
    process = _start(clone, (*FORKED, "--force", "teacher", "eval-teacher"))
    _training(clone, psutil.Process(process.pid))
    path = clone.folder / "stages/eval_teacher.py"
    before = path.read_text()
    path.write_text(f"{before}    print('changed')\n")
    output, _ = process.communicate(timeout=120)
    path.write_text(before)
    assert process.returncode == 0, output
    assert "changed" in output.rpartition("Running stage 'eval-teacher'")[2]

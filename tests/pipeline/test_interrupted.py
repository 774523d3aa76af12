"""Killed runs under real DVC: they go on, the doctor mends, verify compares. tests/slow has more kills."""

import json
import re
import signal
import subprocess
import time

import pytest

from kills import Kill, KillingGround

SLOW = pytest.mark.slow


@pytest.fixture(scope="module")
def ground(tmp_path_factory):
    """A clone with an uninterrupted run."""
    return KillingGround(tmp_path_factory.mktemp("killed") / "project")


@pytest.fixture(scope="module")
def ground_of_a_student(clone):
    """A clone with an uninterrupted training of the student."""
    return KillingGround(clone.folder, clone=clone)


@SLOW
@pytest.mark.parametrize(("way", "victim"), [("repro", "dvc"), ("exp run", "group")])
def test_a_killed_training_goes_on_to_the_same_bytes(ground, way, victim):
    kill = ground.trial(Kill("student@gen1", way, victim, after_checkpoint=True))
    assert kill.resumed_from > 0
    assert kill.identical


@pytest.mark.slow
def test_the_doctor_mends_a_killed_experiment(ground_of_a_student):
    """HEAD is detached and DVC's notes are stale; afterwards both are as before, and no change is lost.

    The student then goes on and ends with the bytes of the uninterrupted run: what is changed here does not
    matter to it.
    """
    ground = ground_of_a_student
    clone = ground.clone
    clone.set(eval__batch_size=16)
    experiment = ("dvc", "exp", "run", "--force", "--single-item", "student@gen1")
    process = ground._launch(*experiment, "--name", "killed", "-S", "checkpoint.every_minutes=0.0001")
    stage = ground._wait(lambda: ground._stage("student@gen1"), "the student starts")
    ground._wait(lambda: ground._saved(Kill("student@gen1", "exp run", "dvc", True)), "a checkpoint")
    process.kill()
    process.wait()
    ground._wait(lambda: not stage.is_running(), "the orphan saves and ends")
    assert "HEAD detached" in clone.run("git", "status")
    shown = clone.run("python", "-m", "commands.doctor")
    assert "is back on main" in shown
    assert re.search(r"student@gen1 stopped on .*; saved: [1-9]\d* of \d+ steps of student-gen1, ", shown), shown
    assert clone.run("git", "symbolic-ref", "HEAD").strip() == "refs/heads/main"
    assert "EXEC_MERGE" not in clone.run("git", "for-each-ref")
    assert b"batch_size: 16" in clone.read("params.yaml")
    assert "is back on main" not in clone.run("python", "-m", "commands.doctor")  # nothing left to do
    page = clone.folder / ".dvc/plots/offline.html"
    page.unlink()
    assert f"mended   {page.relative_to(clone.folder)}" in clone.run("python", "-m", "commands.doctor")
    assert page.is_file()
    assert "resumed_from_step=" in clone.run(*experiment, "--name", "mended")
    assert json.loads(clone.read("metrics/run.json"))["student@gen1"]["resumed_from_step"] > 0
    assert ground._files() == ground.files
    ground._clean()


@SLOW
def test_sigterm_saves_and_says_how_to_go_on(ground):
    clone = ground.clone
    command = ["dvc", "repro", "--force", "--single-item", "teacher"]
    process = subprocess.Popen(
        command, cwd=clone.folder, env=clone.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    stage = ground._wait(lambda: ground._stage("teacher"), "the teacher starts")
    ground._wait(lambda: ground._saved(Kill("teacher", "repro", "stage", True)), "a checkpoint")
    stage.send_signal(signal.SIGTERM)
    output = process.communicate(timeout=120)[0]
    assert "interrupted: teacher: stopped; saved at step" in output
    assert "Traceback" not in output
    assert "resumed_from_step=" in clone.run(*command)
    assert ground._files() == ground.files


@SLOW
def test_two_at_once_are_one_after_the_other(ground):
    clone = ground.clone
    run = [clone.env["PATH"].split(":")[0] + "/python", "-m", "stages.teacher"]
    both = []
    for _ in range(2):
        both.append(
            subprocess.Popen(
                run,
                cwd=clone.folder,
                env=clone.env,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        time.sleep(1.0)
    errors = [process.communicate(timeout=120)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert "already at work in another process" in errors[1]
    assert ground._files() == ground.files


@SLOW
def test_verify_says_identical_and_where_not(ground):
    clone = ground.clone
    shown = clone.run("python", "-m", "commands.verify", "teacher")
    assert "identical  models/teacher.keras" in shown
    assert "DIFFERENT" not in shown
    (clone.folder / "models/teacher.keras").chmod(0o644)
    program = (
        "import keras; m = keras.models.load_model('models/teacher.keras'); "
        "w = m.get_layer('logits').kernel; v = w.numpy(); v[1, 2] += 0.5; w.assign(v); "
        "m.save('models/teacher.keras')"
    )
    clone.run("python", "-c", program)
    shown = clone.run("python", "-m", "commands.verify", "teacher", fails=True)
    assert "DIFFERENT  models/teacher.keras: 1 of" in shown
    assert "logits" in shown
    assert "(1, 2)" in shown
    assert "largest difference 0.5" in shown
    assert "there is no stage 'nobody'" in clone.run("python", "-m", "commands.verify", "nobody", fails=True)
    clone.run("dvc", "checkout", "-q", "-f")

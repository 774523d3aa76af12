"""Studies are run by real DVC, on a pipeline of one quick stage that counts how often it ran."""

import os
import random
import signal
import subprocess
import sys
import time

import pytest

from clones import Clone
from support import ROOT

STAGE = """
import csv, json, os, sys, time
from pathlib import Path
from ruamel.yaml import YAML

params = YAML(typ="safe").load(Path("params.yaml"))
seed, noise = params["seed"], params["teacher"]["noise"]
assert params["data"]["seed"] == seed
with open(os.environ["LEDGER"], "a") as ledger:
    print("begun", seed, noise, file=ledger)
time.sleep(float(os.environ.get("SECONDS", "0")))
if os.environ.get("FAILS") == f"{seed} {noise}":
    sys.exit("error: this arm fails")
right = 80 + seed + 10 * noise

def write(path, value):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(value)

write("metrics/eval.json", json.dumps({
    "teacher": {"accuracy": 0.7},
    "student-gen1": {"accuracy": right / 100, "nll": 0.5, "ece": 0.1, "pseudo_label_coverage": 0.6},
}))
write("metrics/models/student-gen1.json", json.dumps({"best": {"validation_accuracy": 0.9}}))
for model in ("teacher", "student-gen1"):
    write(f"metrics/robustness/{model}.json", json.dumps({"robustness": "off"}))
lines = "".join(f"1,{int(row < right)}\\n" for row in range(100))
write("metrics/tables/eval/confusion-student-gen1.csv", "actual,predicted\\n" + lines)
with open(os.environ["LEDGER"], "a") as ledger:
    print("ended", seed, noise, file=ledger)
"""
PIPELINE = """
stages:
  only:
    cmd: python stage.py
    deps: [stage.py]
    params: [seed, data.seed, teacher.noise]
    outs: [metrics/tables/eval, metrics/models, metrics/robustness]
    metrics:
      - metrics/eval.json: {cache: false}
"""
COMMAND = (sys.executable, "-m", "experiments.study", "run", "article")


@pytest.fixture
def project(tmp_path):
    """A DVC repository with the study `article` and the quick pipeline."""
    folder = tmp_path / "home" / "project"
    for name in ("presets/digits.yaml", "params.yaml", "studies/article.yaml"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes((ROOT / name).read_bytes())
    (folder / "stage.py").write_text(STAGE)
    (folder / "dvc.yaml").write_text(PIPELINE)
    (folder / ".gitignore").write_text("/metrics/tables\n/metrics/models\n/metrics/robustness\n")
    clone = Clone(folder)
    clone.env |= {"LEDGER": str(tmp_path / "ledger"), "PYTHONPATH": str(ROOT)}
    clone.run("git", "init", "-q")
    clone.run("dvc", "init", "-q")
    clone.commit()
    clone.ledger = tmp_path / "ledger"
    return clone


def entries(project, kind):
    """[(seed, noise)] of the ledger, as texts."""
    lines = project.ledger.read_text().splitlines() if project.ledger.exists() else []
    return [line.removeprefix(f"{kind} ") for line in lines if line.startswith(kind)]


def done(project):
    """{"seed noise": accuracy} of the rows."""
    path = project.folder / "docs/studies/digits/article.csv"
    lines = path.read_text().splitlines()[1:] if path.exists() else []
    cells = [line.split(",") for line in lines]
    return {f"{seed} {arm == 'noised'}": float(accuracy) for arm, seed, accuracy, *_ in cells}


ALL = {f"{seed} {noise}": (80 + seed + 10 * noise) / 100 for seed in (0, 1) for noise in (False, True)}


def test_a_failed_arm_is_reported_and_tried_again_the_others_are_not(project):
    output = project.run(*COMMAND, "--seeds", "2", fails=True, FAILS="0 True")
    assert "4 of 4 runs are missing" in output
    assert "noised, seed 0: FAILED, see .dvc/tmp/studies/article-noised-digits-seed0" in output
    assert "error: this arm fails" in output  # what the stage said
    assert "1 runs failed" in output
    assert "min left" in output
    assert done(project) == {key: value for key, value in ALL.items() if key != "0 True"}
    assert entries(project, "begun") == list(ALL)
    output = project.run(*COMMAND, "--seeds", "2")
    assert "1 of 4 runs are missing" in output
    assert done(project) == ALL
    assert sorted(entries(project, "ended")) == sorted(ALL)
    assert "teacher with noise: +10.00 points (+10.00 to +10.00)" in output
    assert (project.folder / "docs/studies/digits/article.md").is_file()
    assert "0 of 4 runs are missing" in project.run(*COMMAND, "--seeds", "2")
    # an experiment without row (the study was killed between the two) is not run again either
    table = project.folder / "docs/studies/digits/article.csv"
    table.write_text("".join(table.read_text().splitlines(keepends=True)[:-1]))
    assert "1 of 4 runs are missing" in project.run(*COMMAND, "--seeds", "2")
    assert done(project) == ALL
    assert len(entries(project, "begun")) == 5
    # rows of other parameters are refused, not mixed
    message = project.run(*COMMAND, "-S", "student.steps=800", fails=True)
    assert "arm clean, seed 0 was measured with other parameters" in message


def test_two_at_a_time_give_the_same_rows(project):
    output = project.run(*COMMAND, "--seeds", "2", "--jobs", "2", SECONDS="1")
    assert "[4/4]" in output
    assert done(project) == ALL
    assert sorted(entries(project, "begun")) == sorted(ALL)


@pytest.mark.slow
@pytest.mark.parametrize("whole_group", [False, True], ids=["study", "everything"])
def test_kills_lose_no_finished_arm_and_repeat_none(project, whole_group):
    """Kill -9 of the study (its DVC goes on), or of all that it started, at random moments."""
    chance, finished = random.Random(whole_group), set()
    for _ in range(8):
        study = subprocess.Popen(
            [*COMMAND, "--seeds", "2"],
            cwd=project.folder,
            env={**project.env, "SECONDS": "1"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        time.sleep(chance.uniform(1, 9))
        if whole_group:
            os.killpg(study.pid, signal.SIGKILL)
        else:
            study.kill()
        study.wait()
        assert finished <= set(done(project))
        finished = set(done(project))
    project.run(*COMMAND, "--seeds", "2")
    assert done(project) == ALL
    begun = entries(project, "begun")
    if whole_group:
        assert set(begun) == set(ALL)
        assert len(entries(project, "ended")) <= len(begun)
    else:
        assert sorted(begun) == sorted(ALL)  # what DVC ran on with was waited for


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("articel",), "there is no study 'articel'; choose one of article"),
        (("article", "--preset", "digit"), "there is no preset 'digit'"),
        (("article", "-S", "teacher.noise"), "write KEY=VALUE"),
        (("article", "-S", "teacher.nose=1"), "teacher.nose: unknown parameter"),
        (("article", "--jobs", "0"), "--jobs: at least 1"),
        (("article", "--seeds", "0"), "--seeds: at least 1"),
    ],
)
def test_mistakes_give_one_message(project, arguments, message):
    output = project.run(sys.executable, "-m", "experiments.study", "run", *arguments, fails=True)
    assert message in output
    assert "Traceback" not in output
    assert not (project.folder / "docs").exists()

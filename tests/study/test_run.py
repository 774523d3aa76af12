"""Studies are run by real DVC, on a pipeline of one quick stage that counts how often it ran."""

import contextlib
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import psutil
import pytest
from ruamel.yaml import YAML

from clones import Clone
from commands import preset as presets
from experiments.study.__main__ import main
from experiments.study.clones import Lane, call
from experiments.study.rows import is_from_cache, machine, machines
from experiments.study.run import Progress
from noisy_student.runtime import signals
from noisy_student.runtime.errors import UserError
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
right = 80 + seed % 100 + (10 + seed % 100) * noise

def write(path, value):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(value)

write("metrics/eval.json", json.dumps({
    "teacher": {"accuracy": 0.7},
    "student-gen1": {"accuracy": right / 100, "nll": 0.5, "ece": 0.1, "pseudo_label_coverage": 0.6},
}))
import numpy as np
Path("data/prepared/test").mkdir(parents=True, exist_ok=True)
np.save("data/prepared/test/images.npy", np.random.default_rng(seed).integers(0, 256, (100, 4, 4, 3), np.uint8))
facts = {"seconds": 2.5, "cpu": {"name": "CPU"}, "threads": len(os.sched_getaffinity(0))}
write("metrics/run.json", json.dumps({"eval@gen1": facts, "student@gen1": facts}))
write("metrics/models/student-gen1.json", json.dumps({"best": {"validation_accuracy": 0.9}}))
for model in ("teacher", "student-gen1"):
    write(f"metrics/robustness/{model}.json", json.dumps({"robustness": "off"}))
lines = "".join(f"1,{int(row < right)}\\n" for row in range(100))
write("metrics/tables/eval/student-gen1/confusion.csv", "actual,predicted\\n" + lines)
with open(os.environ["LEDGER"], "a") as ledger:
    print("ended", seed, noise, file=ledger)
"""
PIPELINE = """
stages:
  only:
    cmd: python stage.py
    deps: [stage.py]
    params: [seed, data.seed, teacher.noise]
    outs: [data/prepared/test, metrics/tables/eval, metrics/models, metrics/robustness]
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
    ignored = ("data/prepared/test", "metrics/tables", "metrics/models", "metrics/robustness")
    (folder / ".gitignore").write_text("".join(f"/{name}\n" for name in ignored))
    (folder / "metrics").mkdir()
    (folder / "metrics/run.json").write_text("{}")  # which git knows
    clone = Clone(folder)
    clone.env |= {"LEDGER": str(tmp_path / "ledger"), "PYTHONPATH": str(ROOT)}
    clone.run("git", "init", "-q")
    clone.run("dvc", "init", "-q")
    clone.commit()
    clone.ledger = tmp_path / "ledger"
    return clone


def state(project):
    """What a study must leave as it is: HEAD, the index and the files of the workspace, the stash."""
    refs = project.run("git", "symbolic-ref", "HEAD"), project.run("git", "rev-parse", "HEAD")
    changes = project.run("git", "status", "--porcelain", "--", ":!docs", ":!studies")
    return *refs, changes, project.run("git", "stash", "list"), project.read("params.yaml")


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


def records(project):
    """The "seed noise" of the experiments that DVC has recorded, in the repository or in a lane."""
    refs = ("git", "for-each-ref", "--format=%(refname)", "refs/exps")
    lane = project.folder / ".dvc/tmp/studies/lane-0"
    lines = project.run(*refs).split()
    if (lane / ".git").is_dir():
        lines += project.run("git", "-C", str(lane), *refs[1:]).split()
    found = re.findall(r"article-(clean|noised)-digits-seed(\d)", "\n".join(lines))
    return {f"{seed} {arm == 'noised'}" for arm, seed in found}


def start(project, *, seconds, seeds=2, **options):
    """Start a study of so many seeds, whose stages take so long."""
    environment = {**project.env, "SECONDS": str(seconds)}
    return subprocess.Popen(
        [*COMMAND, "--seeds", str(seeds)],
        cwd=project.folder,
        env=environment,
        stderr=subprocess.STDOUT,
        text=True,
        **options,
    )


def test_the_machine_is_that_of_the_stages_that_ran():
    facts = {"seconds": 2.5, "cpu": {"name": "CPU"}, "threads": 2}
    assert machine({"eval@gen1": facts, "student@gen1": facts}, "student-gen1") == "CPU, 2 threads"
    mixed = {"eval@gen1": facts, "teacher": {**facts, "threads": 1}}
    assert machine(mixed, "teacher") == "CPU, 1 thread; CPU, 2 threads"
    assert machine(mixed, "student-gen1").endswith("; training from DVC's cache")
    assert machine({}, "student-gen1") == "training from DVC's cache"
    found = [{"machine": machine(stages, "student-gen1")} for stages in (mixed, {}, {"student@gen1": facts})]
    assert machines(found) == "CPU, 1 thread; CPU, 2 threads; 2 of 3 trainings from DVC's cache"
    assert machines(found[2:]) == "CPU, 2 threads"
    assert [is_from_cache(row) for row in found] == [True, True, False]


def test_time_left_counts_what_runs_side_by_side_and_not_what_was_only_read():
    said, kind = [], {"study": "article", "preset": "digits", "arm": "noised", "seed": 0}
    clock = iter([0, 600, 660, 1300])
    progress = Progress(6, 2, said.append, now=lambda: next(clock), runs=5)
    jobs = [SimpleNamespace(**kind, experiment=name) for name in "aabcde"]  # two are figures of one run
    progress.ended(jobs[0], {"accuracy": 0.5}, None, seconds=None)  # read, which says nothing of the others
    progress.ended(jobs[1], {"accuracy": 0.5}, None, seconds=None)
    progress.ended(jobs[2], {"accuracy": 0.5}, None, seconds=600)
    progress.ended(jobs[3], {"accuracy": 0.5}, None, seconds=660)
    progress.ended(jobs[4], None, "a.log", seconds=630)
    progress.ended(jobs[5], {"accuracy": 0.5}, None, seconds=640)
    # two rounds of two: 2 x 600 - 600, 2 x 630 - 660; then 2 x 630 - 1300 is below zero, and none is left
    assert [line.partition("; ")[2] for line in said] == [
        *("", "", "about 10 minutes left", "about 10 minutes left", "", "")
    ]
    assert progress.failed == [(jobs[4], "a.log")]


ALL = {"0 False": 0.8, "0 True": 0.9, "1 False": 0.81, "1 True": 0.92}


@pytest.mark.slow
def test_a_pilot_runs_other_seeds_and_leaves_the_study_alone(project):
    """Differences of 10 and 11 points on seeds 100 and 101: 4.15 to 16.85, beyond the 3 points that are of interest."""
    before = project.read("studies/article.yaml")
    command = (*COMMAND[:3], "pilot", "article", "--seeds", "2")
    output = project.run(*command)
    assert "article.pilot: 4 of 4 runs are missing" in output
    assert "deviation 0.71 points (2 seeds); of interest from 3 points; seeds needed: 3" in output
    assert "Write `seeds: 3` into studies/article.yaml" in output
    assert sorted(entries(project, "ended")) == ["100 False", "100 True", "101 False", "101 True"]
    results = project.folder / "docs/studies/digits"
    assert [path.name for path in results.iterdir()] == ["article.pilot.csv"]
    assert project.read("studies/article.yaml") == before
    assert "article.pilot: 0 of 4 runs are missing" in project.run(*command)
    listed = project.run(*COMMAND[:3], "list")
    assert re.search(r"article +2 +10 +3 points +20 of 20 +2 seeds", listed)
    assert "no row of the control" in project.run(*COMMAND[:3], "report", "article", fails=True)


def test_a_failed_arm_is_reported_and_tried_again_the_others_are_not(project):
    output = project.run(*COMMAND, "--seeds", "2", fails=True, FAILS="0 True")
    assert "4 of 4 runs are missing" in output
    assert "noised, seed 0: FAILED, see .dvc/tmp/studies/article-noised-digits-seed0" in output
    assert "error: this arm fails" in output  # what the stage said
    assert "1 runs failed" in output
    assert re.search(r"about [0-9.]+ (seconds|minutes|hours) left", output)
    assert done(project) == {key: value for key, value in ALL.items() if key != "0 True"}
    assert entries(project, "begun") == list(ALL)
    output = project.run(*COMMAND, "--seeds", "2")
    assert "1 of 4 runs are missing" in output
    assert done(project) == ALL
    assert sorted(entries(project, "ended")) == sorted(ALL)
    assert "teacher with noise: +10.50 points (+4.15 to +16.85)" in output
    assert (project.folder / "docs/studies/digits/article.md").is_file()
    assert "0 of 4 runs are missing" in project.run(*COMMAND, "--seeds", "2")
    # an experiment without row (the study was killed between the two) is not run again either
    project.commit()
    table = project.folder / "docs/studies/digits/article.csv"
    lines = table.read_text().splitlines(keepends=True)
    table.write_text("".join(lines[:-1]))
    before = state(project)
    elsewhere = ("-S", "data.root=/elsewhere")  # the images' place is no other setting
    assert "1 of 4 runs are missing" in project.run(*COMMAND, "--seeds", "2", *elsewhere)
    assert done(project) == ALL
    assert len(entries(project, "begun")) == 5
    assert table.read_text().splitlines()[-1].count(",5.0,") == 1  # seconds, as the record has them
    assert state(project) == before
    # rows of other parameters are refused, not mixed
    message = project.run(*COMMAND, "-S", "student.steps=800", fails=True)
    assert "Traceback" not in message
    assert "arm clean, seed 0 was measured with other parameters" in message


NAMES = """
from experiments.study import definition, run
for job in run.jobs_of("article", definition.load("article"), "digits", seeds=1):
    print(job.experiment)
"""


def test_a_damaged_lane_is_made_anew_and_the_workspace_left_alone(project, monkeypatch):
    monkeypatch.chdir(project.folder)
    project.set(student__steps=800)
    before = state(project)
    lane = Lane(0, stopped=threading.Event())
    (lane.folder / ".git").mkdir(parents=True)  # git finds no repository there, but one around it
    lane.hand_over()
    lane.prepare()
    assert state(project) == before
    assert (lane.folder / "params.yaml").read_bytes() == project.read("params.yaml")
    assert project.run("git", "-C", str(lane.folder), "branch", "--show-current").strip() == "study"


def test_a_lane_has_the_code_and_the_settings_of_the_workspace(project, monkeypatch):
    monkeypatch.chdir(project.folder)
    lane, layers = Lane(0, stopped=threading.Event()), Path("noisy_student/models/layers")
    layers.mkdir(parents=True)
    with Path(".gitignore").open("a") as ignored:
        ignored.write("/launch.yaml\n/executor.yaml\n")
    kept = [layers / "__init__.py", Path("launch.yaml"), Path("executor.yaml")]
    for path in kept:
        path.write_text("# mine\n")  # the first is new to git, the others it ignores
    lane.prepare()
    assert [(lane.folder / path).read_text() for path in kept] == ["# mine\n"] * 3
    for path in kept:
        path.write_text("# changed\n")
    lane.prepare()
    assert [(lane.folder / path).read_text() for path in kept] == ["# changed\n"] * 3
    for path in kept:
        path.unlink()
    lane.prepare()
    assert [(lane.folder / path).exists() for path in kept] == [False] * 3


def test_a_run_reads_images_that_git_does_not_know(project, monkeypatch):
    """They are in the user's folder alone; a run takes place in a clone of it."""
    monkeypatch.chdir(project.folder)
    monkeypatch.setattr("experiments.study.clones.Worker", lambda *given, **options: Mock())
    for name in ("data/raw/mine", "data/extra/theirs", "data/raw/weights/theirs"):
        (project.folder / name).mkdir(parents=True)
    asked = presets.parameters("digits")
    asked["data"] |= {"source": "folder", "root": "data/raw/mine", "unlabelled_from": "data/pools/later.txt"}
    asked["eval"]["extra_tests"] = {"theirs": "data/extra/theirs"}
    asked["teacher"]["weights"] = "data/raw/weights/theirs"
    lane = Lane(0, stopped=threading.Event())
    lane.prepare()
    lane.start("one", asked, lane.folder / "log", 0)
    got = YAML(typ="safe", pure=True).load(lane.folder / "params.yaml")
    assert got["data"]["root"] == str(project.folder / "data/raw/mine")
    assert got["eval"]["extra_tests"] == {"theirs": str(project.folder / "data/extra/theirs")}
    assert got["teacher"]["weights"] == str(project.folder / "data/raw/weights/theirs")
    assert got["data"]["unlabelled_from"] == "data/pools/later.txt"  # there is none: the run will say so
    assert asked["data"]["root"] == "data/raw/mine"  # rows tell settings apart, not folders
    lane.start("two", presets.parameters("digits"), lane.folder / "log", 0)
    assert YAML(typ="safe", pure=True).load(lane.folder / "params.yaml")["data"]["root"] == "data/raw/digits"


def test_a_program_that_is_not_there(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match=r"dvc: cannot be started .*`source \.venv/bin/activate`"):
        call(["dvc", "cache", "dir"])


@pytest.mark.slow
def test_a_record_of_other_parameters_is_no_result(project):
    """Somebody gave an experiment the name of another one."""
    first, _ = project.run(sys.executable, "-c", NAMES).split()
    project.run("dvc", "exp", "run", "--name", first, "-S", "seed=5", "-S", "data.seed=5")
    output = project.run(*COMMAND, "--seeds", "1", fails=True)
    assert "clean, seed 0: FAILED" in output
    assert "ran with other parameters than it was to have" in output
    assert f"`dvc exp remove {first}` forgets it" in output
    assert done(project) == {"0 True": 0.9}
    assert "article: no report" in output


@pytest.mark.slow
def test_two_at_a_time_give_the_same_rows_and_leave_the_workspace_alone(project):
    """The table is part of a commit, params.yaml is changed and not committed, and stays so.

    The second study asks the same: its runs come out of DVC's cache where they can.
    """
    second = project.folder / "studies/second.yaml"
    second.write_bytes((ROOT / "studies/article.yaml").read_bytes())
    project.run(*COMMAND, "--seeds", "1")
    project.commit()
    project.set(student__steps=800)
    (project.folder / "stage.py").write_text(f"{STAGE}\n# changed\n")
    before = state(project)
    output = project.run(*COMMAND, "second", "--seeds", "3", "--jobs", "2", SECONDS="1")
    assert "article: 4 of 6 runs are missing" in output
    assert "second: 6 of 6 runs are missing" in output
    assert "[10/10]" in output
    assert output.index("article.md, .png: teacher") < output.index("second.md, .png: teacher")
    more = {"2 False": 0.82, "2 True": 0.94}
    assert done(project) == ALL | more
    # seed 0 of the second study is not in the cache: the first study had it before the code was changed
    assert sorted(entries(project, "begun")) == sorted([*ALL, *more, "0 False", "0 True"])
    assert state(project) == before
    rows = (project.folder / "docs/studies/digits/article.csv").read_text().splitlines()[1:]
    half = max(1, len(os.sched_getaffinity(0)) // 2)
    threads = f"{half} thread{'s' * (half > 1)}"
    assert [row.rpartition(", ")[2] for row in rows[2:]] == [f'{threads}"'] * 4
    rows = (project.folder / "docs/studies/digits/second.csv").read_text().splitlines()[1:]
    assert [row.rpartition(",")[2] for row in rows].count("training from DVC's cache") == 4


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "background"])
def test_a_signal_stops_the_experiment_and_the_next_call_goes_on(project, number):
    """A job in the background ignores Ctrl-C; `kill` must stop its experiments all the same."""
    ignored = number == signal.SIGTERM
    # whatever these tests were started with: a shell's job in the background ignores it too
    before = signal.signal(signal.SIGINT, signal.SIG_IGN if ignored else signal.default_int_handler)
    try:
        study = start(project, seconds=60, seeds=1, stdout=subprocess.PIPE)
    finally:
        signal.signal(signal.SIGINT, before)
    deadline = time.monotonic() + 60
    while not entries(project, "begun") and time.monotonic() < deadline:
        time.sleep(0.1)
    assert entries(project, "begun")
    before = state(project)
    if ignored:
        study.send_signal(signal.SIGINT)
        time.sleep(1)
        assert study.poll() is None
    study.send_signal(number)
    output, _ = study.communicate(timeout=60)
    assert study.returncode == 128 + number
    assert "run the same command again" in output
    assert "Traceback" not in output
    assert entries(project, "ended") == []
    assert state(project) == before
    if not ignored:
        project.run(*COMMAND, "--seeds", "1")
        assert done(project) == {key: value for key, value in ALL.items() if key.startswith("0")}


@pytest.mark.slow
@pytest.mark.parametrize("everything", [False, True], ids=["study", "everything"])
def test_kills_lose_no_finished_arm_and_repeat_none(project, everything):
    """Kill -9 of the study (its DVC goes on), or of all that it started, at random moments."""
    chance, finished, recorded, longest = random.Random(everything), set(), [], 9
    for _ in range(8):
        study = start(project, seconds=1, stdout=subprocess.DEVNULL, start_new_session=True)
        time.sleep(chance.uniform(1, longest))
        children = psutil.Process(study.pid).children(recursive=True) if everything else []
        study.kill()
        for child in children:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
        study.wait()
        recorded.append((records(project), entries(project, "begun")))
        if not recorded[-1][0]:
            longest *= 1.5  # a busy machine: later kills shall find something finished
        assert finished <= set(done(project))
        finished = set(done(project))
    project.run(*COMMAND, "--seeds", "2")
    assert done(project) == ALL
    begun = entries(project, "begun")
    assert set(begun) == set(ALL)
    assert any(names for names, _ in recorded)
    for names, before in recorded:  # none of those that DVC had recorded ran again
        assert {name: begun.count(name) for name in names} == {name: before.count(name) for name in names}
    if not everything:
        assert sorted(begun) == sorted(ALL)  # what DVC ran on with was waited for


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("articel",), "there is no study 'articel'; choose one of article"),
        (("article", "--preset", "digit"), "there is no preset 'digit'"),
        (("list", "--preset", "digit"), "there is no preset 'digit'"),
        (("report", "article", "--preset", "digit"), "there is no preset 'digit'"),
        (("article", "-S", "student.steps"), "write KEY=VALUE"),
        (("article", "-S", "teacher.noise=true"), "the study sets teacher.noise"),
        (("article", "-S", "teacher.nose=1"), "teacher.nose: unknown parameter"),
        (("article", "-S", "teacher.nose=1"), "study article: arm clean with the preset digits:"),
        (("article", "-S", "teacher.nose=1"), "Arms stand in studies/article.yaml, presets in presets/"),
        (("article", "-S", "data.root=[x"), "-S data.root=[x: '[x' is not YAML"),
        (("article",), "`git rev-parse HEAD` failed"),  # no repository
        (("article", "--jobs", "0"), "--jobs: at least 1"),
        (("article", "--seeds", "0"), "--seeds: at least 1"),
    ],
)
def test_mistakes_give_one_message(tmp_path, monkeypatch, capsys, arguments, message):
    for name in ("presets/digits.yaml", "params.yaml", "studies/article.yaml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    monkeypatch.chdir(tmp_path)
    command = () if arguments[0] in ("list", "report") else ("run",)
    monkeypatch.setattr(sys, "argv", ["study", *command, *arguments])
    monkeypatch.setattr(signals, "raise_on_sigterm", lambda: None)  # of this process
    with pytest.raises(SystemExit) as end:
        main()
    said = f"{end.value.code} {capsys.readouterr().err}"
    assert message in said
    assert end.value.code != 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["params.yaml", "presets", "studies"]

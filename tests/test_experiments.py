"""`make experiments`: what DVC knows of experiments, in few columns; nothing that an experiment never measured."""

import json
import os
import subprocess
import sys
from datetime import datetime

import pytest
from dvc.repo.experiments.serialize import ExpExecutor, ExpRange, ExpState, SerializableError, SerializableExp

from commands import doctor, experiments
from commands.experiments import COLUMNS, rows
from noisy_student.runtime import checkpoints, locks
from support import ROOT, with_values

MEASURED = {"teacher": {"accuracy": 0.5}, "student-gen1": {"accuracy": 0.75, "pseudo_label_accuracy": 0.875}}
FIGURES = ("50.00 %", "75.00 %", "87.50 %")
TIME = datetime(2026, 1, 2, 3, 4)


@pytest.fixture
def shown(digits):
    """A function: DVC's own state of a commit or an experiment, with some dotted parameters changed."""

    def make(rev, name=None, *, measured=MEASURED, failed=False, **values):
        parameters = with_values(digits, {key.replace("__", "."): value for key, value in values.items()})
        data = SerializableExp(
            rev,
            None if rev == "workspace" else TIME,
            params={"params.yaml": {"data": parameters}},
            metrics={"metrics/eval.json": {"data": measured}} if measured else {},
        )
        return ExpState(rev, name, data, SerializableError("Experiment run failed") if failed else None)

    return make


def _run(state, tip):
    return ExpRange([tip], ExpExecutor(state) if state else None, tip.name)


def _rows(workspace, commit, *experiments):
    """The rows of what `dvc exp show --json` prints of these."""
    commit.experiments = list(experiments) or None
    printed = json.dumps([workspace.dumpd(), commit.dumpd()], default=lambda date: date.isoformat())
    return rows(json.loads(printed))


def test_only_what_ended_well_has_accuracies(shown):
    """DVC gives a failed one the metrics of the commit that it started from, one that runs those of the last run."""
    table = _rows(
        shown("workspace"),
        shown("a" * 40, "main"),
        _run("running", shown("b" * 40, "now", seed=1)),
        _run(None, shown("c" * 40, "good", teacher__noise=True)),
        _run("success", shown("d" * 40, "from-the-queue", data__labelled=None)),
        _run("queued", shown("e" * 40, "later", data__root="/a (1)")),
        _run("failed", shown("f" * 40, "bad", failed=True, pseudolabel__threshold=5.0)),
    )
    assert table == [
        ("workspace", "", *FIGURES, ""),
        ("main", "", *FIGURES, ""),
        ("  now", "running", "", "", "", "seed=1"),
        ("  good", "", *FIGURES, "teacher.noise=true"),
        ("  from-the-queue", "", *FIGURES, "data.labelled=null"),
        ("  later", "queued", "", "", "", "data.root=/a (1)"),
        ("  bad", "failed", "", "", "", "pseudolabel.threshold=5.0"),
    ]


@pytest.mark.parametrize("state", ["failed", "queued"])
def test_what_to_do_stands_below(shown, monkeypatch, capsys, state):
    commit = shown("a" * 40, "main")
    commit.experiments = [_run(state, shown("b" * 40, "one"))]
    printed = json.dumps([shown("workspace").dumpd(), commit.dumpd()], default=lambda date: date.isoformat())
    monkeypatch.setattr(experiments, "shown_by_dvc", lambda *options: json.loads(printed))
    monkeypatch.setattr(sys, "argv", ["experiments"])
    experiments.main()
    below = capsys.readouterr().out.rpartition("labels right: ")[2].splitlines()[1:]
    assert [line.partition(" `dvc queue ")[0] for line in below] == [f"{state}:"]


def test_the_workspace_is_compared_with_the_commit_and_silent_while_one_runs_in_it(shown):
    workspace, commit = shown("workspace", seed=4), shown("a" * 40)
    assert _rows(workspace, commit)[0] == ("workspace", "", *FIGURES, "seed=4")
    assert _rows(workspace, commit)[1][0] == "a" * 7
    running = _run("running", shown("workspace", seed=4))
    assert _rows(workspace, commit, running)[0] == ("workspace", "in use", "", "", "", "seed=4")


def test_the_student_is_the_released_one_else_the_last_that_was_taught(shown):
    """The control beside the generations is none."""
    taught = {"accuracy": 1.0, "pseudo_label_coverage": 0.5}
    two = MEASURED | {"student-gen2": taught, "student-control": {"accuracy": 0.5}}
    workspace, commit = shown("workspace"), shown("a" * 40)
    for release, student in (
        ("student-gen1", FIGURES[1:]),
        ("student-gen2", ("100.00 %", "")),
        ("teacher", ("100.00 %", "")),
    ):
        row = _rows(workspace, commit, _run(None, shown("b" * 40, "two", measured=two, release=release)))[2]
        assert row[3:5] == student


def test_many_changes_are_counted_and_what_dvc_cannot_read_says_so(shown):
    values = {"seed": 1, "teacher__steps": 100, "teacher__noise": True, "student__steps": 200, "student__ema": 0.5}
    table = _rows(
        shown("workspace", measured={}),
        shown("a" * 40),
        _run(None, shown("b" * 40, "many", **values)),
        _run(None, ExpState("c" * 40, "odd", None, SerializableError("params.yaml: bad YAML"))),
    )
    assert table[0][2:5] == ("", "", "")
    assert table[2][-1] == "seed=1, teacher.noise=true, teacher.steps=100 and 2 more"
    assert table[3] == ("  odd", "", "", "", "", "cannot be read: params.yaml: bad YAML")
    assert max(map(len, table)) == len(COLUMNS) == 6


@pytest.mark.parametrize(
    ("prepared", "said"),
    [
        ("", "error: dvc exp show: ERROR: you are not inside of a DVC repository"),
        ("git init -q && dvc init -q", "error: git has no commit yet"),
    ],
)
def test_where_there_are_none_one_message_says_why(tmp_path, prepared, said, monkeypatch):
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site-cache"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    (tmp_path / "project").mkdir()
    script = f"{prepared or 'true'} && {sys.executable} -m commands.experiments"
    done = subprocess.run(["sh", "-c", script], cwd=tmp_path / "project", capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(said), done.stderr
    assert "Traceback" not in done.stderr


def test_the_doctor_leaves_what_runs_on_another_machine(tmp_path, monkeypatch):
    """Its processes are not to be seen here, the lock of its stage is."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    folder = tmp_path / ".dvc/tmp/exps/standalone/tmpabc"
    folder.mkdir(parents=True)
    with locks.held(checkpoints.root() / "locks/teacher.lock", what="x"):
        assert doctor.leftovers([]) == []
        assert folder.is_dir()
        monkeypatch.setattr(doctor, "_git", lambda *arguments: f"{doctor.EXEC}/EXEC_MERGE")
        ((state, said),) = doctor.head([])
        assert (state, "runs on another machine" in said) == ("ok", True)
    ((state, _),) = doctor.leftovers([])
    assert (state, folder.exists()) == ("mended", False)


def test_the_doctor_knows_make_repro():
    assert doctor._is_ours(["python", "-m", "commands.repro", "--keep-going"])
    assert not doctor._is_ours(["python", "-m", "commands.doctor"])


def test_the_doctor_says_so_too(tmp_path):
    (tmp_path / "dvc.yaml").touch()
    command = [sys.executable, "-m", "commands.doctor"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "GIT_CEILING_DIRECTORIES": str(tmp_path.parent)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: this is no git repository"), done.stderr

"""What a result is known by: its model's name, the code and machine that made it, the inputs that were read."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from noisy_student.data import inputs
from noisy_student.runtime import environment, layout, run_record
from noisy_student.runtime.files import write_array, write_json
from noisy_student.runtime.layout import TEACHER, Model


def test_names_of_models_by_hand():
    student = Model("gen-1")
    assert (TEACHER.name, TEACHER.section, TEACHER.stage) == ("teacher", "teacher", "teacher")
    assert (student.name, student.section, student.stage) == ("student-gen-1", "student", "student@gen-1")
    assert TEACHER.robustness_stage == "robustness-teacher"
    assert student.robustness_stage == "robustness@gen-1"
    assert (TEACHER.evaluation_stage, student.evaluation_stage) == ("eval-teacher", "eval@gen-1")
    assert str(student.path) == "models/student-gen-1.keras"
    assert [Model.named(model.name) for model in (TEACHER, student)] == [TEACHER, student]


@pytest.mark.parametrize("name", ["", "student", "student-", "teacher-gen1", "gen1", "student@gen1"])
def test_what_is_no_name_of_a_model(name):
    with pytest.raises(ValueError, match="a model is called teacher or student-KEY"):
        Model.named(name)


def _git(*arguments):
    user = ("-c", "user.name=n", "-c", "user.email=n@example.org", "-c", "commit.gpgsign=false")
    subprocess.run(["git", *user, *arguments], check=True, capture_output=True)


def test_code_that_is_not_committed_counts_and_nothing_else_does(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert environment.commit() is None
    for path in ("noisy_student/noise/a.py", "stages/a.py", "params.yaml", "experiments/a.py"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("1")
    _git("init", "--quiet")
    _git("add", ".")
    _git("commit", "--quiet", "--message", "first")
    clean, digest = environment.commit(), environment.code_digest()
    assert len(clean) == 40
    for path in ("params.yaml", "experiments/a.py", "notes.txt"):
        (tmp_path / path).write_text("2")
    assert (environment.commit(), environment.code_digest()) == (clean, digest)
    (tmp_path / "noisy_student/noise/new.py").write_text("")  # found by its name: it may decide a result
    assert environment.commit() == f"{clean}+changes"
    assert environment.code_digest() != digest


def test_the_record_of_a_run_says_what_made_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    run_record.record("teacher", seconds=1.234, details={"steps": 7})
    entry = json.loads((tmp_path / "metrics/run.json").read_text())["teacher"]
    own = ["finished", "seconds", "steps"]
    assert list(entry) == [*own, "commit", "versions", "platform", "cpu", "threads", "variables"]
    assert entry["variables"]["OMP_NUM_THREADS"] == "3"
    assert environment.Provenance.recorded(entry) == environment.Provenance.here()


def test_the_record_of_a_run_forgets_stages_that_dvc_yaml_does_not_have(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("metrics").mkdir()
    there = ["balance@gen1", "eval", "eval@gen1", "eval-extra@gen1-mine", "no-such", "teacher@gen1", "teacher"]
    Path("metrics/run.json").write_text(json.dumps({name: {"seconds": 1.0} for name in there}))
    run_record.record_failure("prepare", "no images")
    kept = ["balance@gen1", "eval-extra@gen1-mine", "eval@gen1", "prepare", "teacher"]
    assert list(json.loads(Path("metrics/run.json").read_text())) == kept


def test_inputs_are_opened_once_and_only_when_asked_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    images, opened = np.zeros((4, 2, 2, 3), np.uint8), []
    for folder in (layout.LABELLED, layout.UNLABELLED):
        write_array(folder / "images.npy", images)
    write_array(layout.LABELLED / "labels.npy", np.array([0, 1, 0, 1]))
    write_array(layout.pseudo_labels("gen1") / "shard-00000.npy", np.full((4, 2), 0.5, np.float32))
    write_array(layout.balanced("gen1"), np.array([3]))
    write_json(layout.CLASSES, ["a", "b"])
    for name in ("open_images", "open_labelled", "read_json"):
        real = getattr(inputs, name)
        monkeypatch.setattr(inputs, name, lambda path, real=real, **given: opened.append(path) or real(path, **given))
    read = inputs.Inputs()
    assert (read.files, opened) == ([], [])
    assert read.rows("gen1").tolist() == [3]
    assert read.probs("gen1").shape == (4, 2)
    assert read.labelled is read.labelled
    assert sorted(opened) == [layout.CLASSES, layout.LABELLED, layout.UNLABELLED]
    files = {str(path) for path in read.files}
    assert len(files) == len(read.files)
    assert files == {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}

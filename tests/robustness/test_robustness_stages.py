"""The stages in a small workspace: figures, tables, pictures, resuming, and switching off."""

import contextlib
import csv
import importlib.util
import json
import os
import re
import shutil
import threading

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import brier_score_loss, log_loss

from commands import preset as presets
from noisy_student.data.arrays import open_labelled
from noisy_student.inference.saving import load
from noisy_student.robustness import report, severities
from noisy_student.robustness.measure import Subject, outcome, run
from noisy_student.runtime import layout
from noisy_student.runtime.signals import Stopped
from noisy_student.settings import params
from noisy_student.steps import robustness as steps_robustness
from small import SMALL, stage
from support import with_values

NAMES = ("teacher", "student-gen1")
NO_RAY = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed")
RAY = [pytest.param("name=ray,workers=2", marks=NO_RAY, id="ray")]


def _set(folder, values):
    path = folder / "params.yaml"
    path.write_text(presets.rewrite(path.read_text(), with_values(params.read_yaml(path), values)))


@pytest.fixture
def fast(workspace, monkeypatch):
    """The workspace, with fewer images, robustness switched on."""
    monkeypatch.setattr(steps_robustness, "FAST_IMAGES", 20)
    monkeypatch.setattr(steps_robustness, "FAST_SEQUENCES", 10)
    monkeypatch.setattr(steps_robustness, "FAST_ATTACKED", 10)
    _set(workspace, {"eval.robustness": "fast"})
    return workspace


def _measure():
    assert stage("robustness_teacher") is None
    assert stage("robustness", "gen1") is None


def _files(folder):
    tops = ("data/prepared/robustness", "metrics/robustness", "metrics/tables/robustness", "metrics/plots/robustness")
    paths = [path for top in tops for path in sorted((folder / top).rglob("*")) if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


@pytest.fixture(scope="module")
def measured(finished, tmp_path_factory):
    """All files after a run that nobody interrupted."""
    folder = tmp_path_factory.mktemp("measured") / "project"
    shutil.copytree(finished, folder)
    _set(folder, {"eval.robustness": "fast"})
    with pytest.MonkeyPatch.context() as patch, contextlib.chdir(folder):
        for name, number in (("FAST_IMAGES", 20), ("FAST_SEQUENCES", 10), ("FAST_ATTACKED", 10)):
            patch.setattr(steps_robustness, name, number)
        for variable in ("DVC_ROOT", "DVC_STAGE"):
            patch.delenv(variable, raising=False)
        _measure()
    return folder


def test_figures_tables_and_pictures_of_every_model(measured):
    for name in NAMES:
        figures = json.loads((measured / layout.Model.named(name).robustness_tables / "summary.json").read_text())
        few = json.loads((measured / layout.Model.named(name).robustness).read_text())
        assert few["pgd_accuracy"] == {"4": figures["pgd_accuracy"]["4"]}
        assert all(figures[key] == few[key] for key in few.keys() - {"fgsm_accuracy", "pgd_accuracy"})
        assert len(_numbers(few)) <= 8  # rows of `dvc metrics diff`
        assert (figures["images"], figures["sequences"], figures["attacked"]) == (20, 10, 10)
        with (measured / layout.Model.named(name).robustness_tables / "corruptions.csv").open() as file:
            rows = list(csv.DictReader(file))
        assert len(rows) == 1 + 19 * 3
        errors = [float(r["error"]) for r in rows if r["corruption"] in severities.STANDARD]
        assert figures["mean_corruption_error"] == pytest.approx(np.mean(errors))
        assert set(figures["corruption_error"]) == set(severities.ALL)
        assert list(figures["fgsm_accuracy"]) == list(figures["pgd_accuracy"]) == ["0", "1", "2", "4", "8", "16"]
        assert figures["fgsm_accuracy"]["0"] == figures["pgd_accuracy"]["0"]
        assert set(figures["calibration"]) == {"clean", "severity_1", "severity_3", "severity_5"}
        assert len(figures["flip_probability"]) == 10
        for path in (measured / layout.Model.named(name).robustness_plots).glob("*.png"):
            assert min(Image.open(path).size) > 200, path
    teacher = json.loads((measured / layout.TEACHER.robustness).read_text())
    assert teacher["mce_to_teacher"] == 1.0
    shown = {p.name for name in NAMES for p in (measured / layout.Model.named(name).robustness_plots).iterdir()}
    assert {"corruptions.png", "sequences.png", "attacks.png", "errors.png"} <= shown
    assert "teacher-wrong-student-gen1-right.png" in shown


def _numbers(value):
    if isinstance(value, dict):
        return [number for inner in value.values() for number in _numbers(inner)]
    return [value] if isinstance(value, float) else []


@pytest.mark.slow  # each worker imports Keras
@pytest.mark.parametrize("executor", ["workers=2", *RAY])
def test_the_files_are_the_same_by_every_executor(fast, measured, monkeypatch, executor):
    monkeypatch.setenv("EXECUTOR", executor)
    _measure()
    assert _files(fast) == _files(measured)
    record = json.loads(layout.RUN_RECORD.read_text())["robustness@gen1"]
    assert (record["shards"], record["shards_done_before"]) == (1 + 19 * 3 + 10 + 12, 0)
    assert record["resumed_from_unit"] == record["shards_done_before"]


def test_outcomes_are_those_of_scikit_learn(measured, monkeypatch):
    monkeypatch.chdir(measured)
    names = json.loads(layout.CLASSES.read_text())
    test = open_labelled(layout.TEST, classes=names)
    probs = Subject(load(layout.TEACHER.path), batch_size="auto").probs(test.images)
    labels = np.asarray(test.labels)
    found = report.calibration(outcome(probs, labels), labels, 0.3)
    assert found["error"] == pytest.approx((probs.argmax(axis=1) != labels).mean())
    assert found["nll"] == pytest.approx(log_loss(labels, probs, labels=range(10)), rel=1e-4)
    brier = brier_score_loss(labels, probs, labels=range(10), scale_by_half=False)
    assert found["brier"] == pytest.approx(brier, rel=1e-4)
    wrong = probs.argmax(axis=1) != labels
    assert found["confident_errors"] == pytest.approx((wrong & (probs.max(axis=1) > 0.3)).mean())


class _Killed(BaseException):
    pass


def test_a_killed_measurement_goes_on_to_the_same_bytes(fast, measured, monkeypatch):
    _set(fast, {"checkpoint.every_minutes": 0.0})
    moments = (3, 60, 78)  # among the corruptions, the sequences, and the attacks
    for moment in moments:
        _kill_after(moment, monkeypatch)
        with pytest.raises(_Killed):
            stage("robustness_teacher")
        monkeypatch.undo()
        for name, number in (("FAST_IMAGES", 20), ("FAST_SEQUENCES", 10), ("FAST_ATTACKED", 10)):
            monkeypatch.setattr(steps_robustness, name, number)
        monkeypatch.chdir(fast)
    assert stage("robustness_teacher") is None
    record = json.loads((fast / "metrics/run.json").read_text())
    assert record["robustness-teacher"]["resumed_from_unit"] == moments[-1]
    assert not list((fast / "checkpoints").glob("robustness*"))
    expected = {path: content for path, content in _files(measured).items() if "student" not in path}
    assert len(expected) > 5
    assert _files(fast) == expected


def _kill_after(units, monkeypatch):
    """Let the process die in the middle of the next unit of work."""
    from noisy_student.robustness import measure

    made = measure.run

    def dying(work, **options):
        def die():
            raise _Killed

        return made({key: do if i < units else die for i, (key, do) in enumerate(work.items())}, **options)

    monkeypatch.setattr(measure, "run", dying)


def test_a_signal_saves_what_was_measured(tmp_path, monkeypatch):
    import signal

    from noisy_student.runtime import checkpoints

    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    folder = tmp_path / "checkpoints/robustness-teacher/abc"
    kept = checkpoints.Checkpoints(folder, every_minutes=60.0, keep=None)

    def interrupting():
        os.kill(os.getpid(), signal.SIGTERM)
        return {"x": np.arange(3)}

    work = {("a",): lambda: {"x": np.zeros(2)}, ("b", 1): interrupting, ("c",): lambda: {"x": np.ones(1)}}
    with pytest.raises(Stopped, match=r"[12] of 3 steps are saved") as stop:  # two are done at a time
        run(work, name="test", kept=kept)
    saved = int(re.search(r"(\d) of", str(stop.value))[1])
    assert checkpoints.present()[0]["done"] == f"{saved} of 3 steps"
    calls = []
    work = {key: lambda key=key: calls.append(key) or {"x": np.ones(1)} for key in work}
    results = run(work, name="test", kept=kept)
    assert sorted(calls) == list(work)[saved:]
    assert results["a",]["x"].tolist() == [0, 0]
    if saved == 2:
        assert results["b", 1]["x"].tolist() == [0, 1, 2]


def test_two_units_are_done_at_a_time_and_results_keep_their_order():
    barrier = threading.Barrier(2, timeout=20)  # both have to arrive, or it breaks
    work = {(i,): lambda i=i: {"wait": np.full(1, barrier.wait() >= 0), "i": np.full(1, i)} for i in range(6)}
    assert [(key, int(found["i"][0])) for key, found in run(work, name="test").items()] == [((i,), i) for i in range(6)]


def test_off_measures_nothing_and_leaves_nothing_behind(workspace):
    (workspace / layout.TEACHER.robustness_plots).mkdir(parents=True)
    (workspace / layout.TEACHER.robustness_plots / "errors.png").write_bytes(b"")
    (workspace / layout.TEACHER.robustness_plots / "mine.png").write_bytes(b"a user's")
    _measure()
    for name in NAMES:
        assert json.loads(layout.Model.named(name).robustness.read_text()) == {"robustness": "off"}
    assert [path.name for path in layout.TEACHER.robustness_plots.iterdir()] == ["mine.png"]
    assert not list(layout.Model("gen1").robustness_plots.iterdir())


def test_off_removes_all_that_a_measurement_writes(measured, tmp_path, monkeypatch):
    shutil.copytree(measured, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    _set(tmp_path / "copy", {"eval.robustness": "off"})
    _measure()
    left = [path for path in _files(tmp_path / "copy") if not path.startswith("metrics/robustness/")]
    assert left == []


def test_full_measures_all_images_and_severities(workspace, monkeypatch):
    _set(workspace, {"eval.robustness": "full"})
    settings = params.load()
    measurement = steps_robustness._Measurement(settings, layout.TEACHER, 0.5)
    keys = list(measurement.units(None))
    assert sum(key[0] == "corruption" for key in keys) == 19 * 5
    assert len(measurement.rows) == len(measurement.sequence_rows) == SMALL["data.test"]


def test_extra_tests_are_measured(workspace):
    source = workspace / "mine"
    test = open_labelled(workspace / layout.TEST)
    source.mkdir()
    np.save(source / "data.npy", test.images)
    np.save(source / "labels.npy", test.labels)
    _set(workspace, {"eval.extra_tests": {"shifted": "mine"}})
    calls = ("extra_test shifted", "eval_extra_teacher shifted", "eval_extra gen1-shifted", "results")
    for call in calls:
        assert stage(*call.split()) is None
    for measured in json.loads((workspace / "metrics/eval.json").read_text()).values():
        assert measured["extra_tests"]["shifted"]["accuracy"] == pytest.approx(measured["accuracy"])  # the same images
        assert measured["extra_tests"]["shifted"]["drop"] == pytest.approx(0.0)
    for name in ("extra_test", "eval_extra_teacher"):
        assert "there is no 'other' in params.yaml" in stage(name, "other")
    assert "'gen1-other' in params.yaml, only gen1-shifted" in stage("eval_extra", "gen1-other")


@pytest.mark.usefixtures("fast")
def test_a_teacher_that_was_not_measured_is_named(measured, tmp_path, monkeypatch):
    shutil.copytree(measured, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    (layout.TEACHER.robustness_tables / "summary.json").unlink()
    assert "metrics/tables/robustness/teacher/summary.json" in stage("robustness", "gen1")

"""The content of metrics/eval.json, against scikit-learn, and what the tables make of it."""

import json
import shutil
import subprocess
import sys

import keras
import numpy as np
import pytest
from sklearn.metrics import accuracy_score, log_loss, recall_score, top_k_accuracy_score

from commands import preset as presets
from commands import results
from commands.results import missing, robustness_table
from noisy_student.data.labelled import LabelledImages
from noisy_student.inference.metrics import equal_edges, histogram
from noisy_student.inference.saving import read_description
from noisy_student.runtime import layout, run_record
from noisy_student.runtime.files import read_csv, write_json
from noisy_student.runtime.layout import TEACHER, Model
from noisy_student.settings import params
from noisy_student.steps.evaluation import predict
from noisy_student.steps.reported import Predictions, evaluate
from noisy_student.steps.results import join_and_write, table
from noisy_student.steps.selection import confidence_bins
from small import stage
from support import ROOT, set_params

NAMES = [f"class {k}" for k in range(7)]


@pytest.fixture
def predictions():
    rng = np.random.default_rng(0)
    return rng.dirichlet(np.ones(7), 300).astype(np.float32), rng.integers(0, 7, 300)


def evaluated(probs, labels, names=NAMES, penalty=0.0):
    return evaluate(Predictions(probs, labels, names, penalty))


def test_figures_are_those_of_scikit_learn(predictions):
    probs, labels = predictions
    found = evaluated(probs, labels, penalty=0.25)
    assert found["nll"] == pytest.approx(log_loss(labels, probs.astype(np.float64)), rel=1e-4)
    assert found["loss"] == pytest.approx(found["nll"] + 0.25)
    assert found["accuracy"] == pytest.approx(accuracy_score(labels, probs.argmax(1)))
    assert found["top5"] == pytest.approx(top_k_accuracy_score(labels, probs, k=5))
    recalls = recall_score(labels, probs.argmax(1), average=None)
    assert [r["recall"] for r in found["recall"]] == pytest.approx(list(recalls))
    low, high = found["accuracy_interval"]
    assert 0 < low < found["accuracy"] < high < 1


def test_top5_only_where_it_means_something(predictions):
    probs, labels = predictions
    few = probs[:, :5] / probs[:, :5].sum(axis=1, keepdims=True)
    assert "top5" not in evaluated(few, labels % 5, NAMES[:5])


def test_a_class_without_test_images_has_no_recall(predictions):
    probs, labels = predictions
    found = evaluated(probs, np.minimum(labels, 5))
    assert found["recall"][6]["recall"] is None  # NaN would not be JSON


def test_what_was_measured_of_each_model_is_joined_with_extra_test_sets(workspace):
    before = json.loads(layout.EVAL_METRICS.read_text())
    order = ["loss", "nll", "accuracy", "top5", "ece", "accuracy_interval", "recall"]
    assert list(before["teacher"]) == order
    assert list(before["student-gen1"]) == [*order, "pseudo_label_coverage", "pseudo_label_accuracy"]
    set_params({"eval.extra_tests": {"mine": "data/raw/digits"}}, workspace)
    for model, right in ((TEACHER, 30), (Model("gen1"), 36)):
        interval = [right / 40 - 0.1, right / 40 + 0.05]
        measured = {"images": 40, "classes": 10, "accuracy": right / 40, "accuracy_interval": interval}
        write_json(layout.extra_evaluation("mine", model) / "metrics.json", measured)
    join_and_write(params.load())
    joined = json.loads(layout.EVAL_METRICS.read_text())
    drop = joined["student-gen1"]["extra_tests"]["mine"]["drop"]
    assert drop == before["student-gen1"]["accuracy"] - 0.9
    for name in before:
        assert {key: value for key, value in joined[name].items() if key != "extra_tests"} == before[name]
    line = table(joined).splitlines()[-1].split()
    assert line[:9] == ["student-gen1", "mine", "40", "90.00", "%", "80.0", "to", "95.0", f"{100 * drop:+.2f}"]
    curves = read_csv(layout.RESULT_TABLES / "curves.csv", text=("model",))
    assert [row["model"] for row in curves] == ["teacher"] * 2 + ["student-gen1"] * 2


def test_only_evaluations_as_they_were_written_are_removed_when_they_are_not_listed(workspace):
    """A user's own file, put there by hand, is nobody's to remove."""
    own, changed, added = (layout.EVALUATIONS / f"student-{name}" for name in ("gen8", "gen9", "mine"))
    for folder in (own, changed, added):
        shutil.copytree(Model("gen1").evaluation, folder)
    (changed / "confusion.csv").write_text("corrected")
    (added / "notes.txt").write_text("a user's")
    photos = layout.EVALUATIONS / "photos"
    photos.mkdir()
    (photos / "cat.png").touch()
    (workspace / "models/student-mine.keras").touch()
    assert stage("eval", "gen1") is None  # by hand, beside a user's file: no seal covers that
    (Model("gen1").evaluation / "mine.txt").write_text("a user's")
    assert stage("eval", "gen1") is None
    shutil.copytree(Model("gen1").evaluation, layout.EVALUATIONS / "student-gen7")
    join_and_write(params.load())
    assert not own.exists()
    assert (changed / "confusion.csv").read_text() == "corrected"
    assert (added / "notes.txt").read_text() == "a user's"
    assert (layout.EVALUATIONS / "student-gen7/mine.txt").read_text() == "a user's"
    assert (photos / "cat.png").exists()
    assert (workspace / "models/student-mine.keras").exists()


def test_a_failed_extra_test_set_costs_no_model_its_place(workspace, capsys):
    set_params({"eval.extra_tests": {"bad": "data/raw/digits", "good": "data/pools"}}, workspace)
    run_record.record_failure("extra-test@bad", "no folder in it")
    write_json(layout.extra_test("good") / "present.json", [0])
    for model in (TEACHER, Model("gen1")):
        measured = {"images": 40, "classes": 10, "accuracy": 0.5, "accuracy_interval": [0.4, 0.6]}
        write_json(layout.extra_evaluation("good", model) / "metrics.json", measured)
    results.main()
    shown = capsys.readouterr().out
    assert "\nteacher " in shown
    assert "\nstudent-gen1  good " in shown
    assert shown.count("extra test set bad: extra-test@bad failed: no folder in it") == 1


def test_a_failed_generation_is_named_with_its_reason_and_the_others_are_shown(workspace, capsys):
    set_params({"generations": {"gen1": {"teacher": "teacher"}, "gen2": {"teacher": "student-gen1"}}}, workspace)
    assert (
        missing(params.load(), Model("gen2"), run_record.failures()) == "pseudolabel@gen2 has not run. Run `dvc repro`."
    )
    assert stage("pseudolabel", "gen2") is None
    set_params({"pseudolabel.threshold": 0.99, "balance.on_empty": "error"}, workspace)
    message = stage("balance", "gen2")
    assert message.startswith("error: ")
    capsys.readouterr()
    results.main()
    shown = capsys.readouterr().out
    assert f"student-gen2 is not in the table: balance@gen2 failed: {message.removeprefix('error: ')}" in shown
    assert "student-gen1 " in shown.split("student-gen2")[0]
    layout.balanced("gen1").unlink()  # as DVC does before it runs a stage
    run_record.record_failure("balance@gen1", "no image is confident enough")
    reasons = [
        missing(params.load(), model, run_record.failures()) for model in (TEACHER, Model("gen1"), Model("gen2"))
    ]
    assert reasons == [None, *["balance@gen1 failed: no image is confident enough"] * 2]


def test_weight_penalties_are_part_of_the_loss():
    images = keras.Input((2, 2, 3), dtype="uint8")
    x = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(images))
    dense = keras.layers.Dense(2, "softmax", kernel_initializer="ones", kernel_regularizer=keras.regularizers.L2(0.01))
    model = keras.Model(images, dense(x))
    test = LabelledImages(np.zeros((5, 2, 2, 3), np.uint8), np.zeros(5, np.int64))
    probs, found = predict(model, test, batch_size=2, name="test")
    assert found == pytest.approx(0.01 * 12 * 2)
    np.testing.assert_allclose(probs, 0.5)


def test_result_table_by_hand():
    figures = {
        "teacher": {"accuracy": 0.9, "accuracy_interval": [0.87, 0.925], "loss": 0.31234, "ece": 0.02},
        "student-gen1": {
            "accuracy": 0.975,
            "accuracy_interval": [0.96, 0.99],
            "loss": 0.1,
            "ece": 0.01,
            "pseudo_label_coverage": 0.8,
            "pseudo_label_accuracy": 0.95,
        },
    }
    lines = table(figures).splitlines()
    assert lines[2].split() == ["teacher", "90.00", "%", "87.0", "to", "92.5", "0.3123", "0.0200"]
    assert lines[3].split()[-4:] == ["80.00", "%", "95.00", "%"]


def test_robustness_without_that_of_the_teacher_is_not_shown(workspace, capsys):
    """DVC skips the student's when the teacher's fails: its file is of the run before."""
    shown = {"robustness": "fast", "clean_error": 0.03, "mean_corruption_error": 0.1, "mean_flip_probability": 0.02}
    write_json(Model("gen1").robustness, shown | {"fgsm_accuracy": {"4": 0.6}, "pgd_accuracy": {"4": 0.55}})
    run_record.record_failure("robustness-teacher", "no such folder")
    results.main()
    shown = capsys.readouterr().out
    assert "student-gen1 is not in the table of robustness: robustness-teacher failed: no such folder" in shown
    assert "55.00 %" not in shown


def test_warnings_of_stages_are_repeated_below_the_table(workspace, capsys):
    write_json(layout.balance_tables("gen1") / "warnings.json", ["2 images of frog stand 34 times each"])
    write_json(layout.balance_tables("gone") / "warnings.json", ["of a generation that is not listed"])
    write_json(TEACHER.summary, json.loads(TEACHER.summary.read_text()) | {"warnings": ["near chance"]})
    results.main()
    shown = capsys.readouterr().out
    assert "\nwarning: 2 images of frog stand 34 times each\n\nwarning: near chance\n" in shown
    assert "not listed" not in shown


def test_results_of_an_interrupted_run_name_what_is_missing(workspace):
    """DVC removes a training's files before it starts; the figures of the run before are still there."""
    TEACHER.path.unlink()
    with pytest.raises(SystemExit, match=r"nothing has been measured yet: teacher has not run\. Run `dvc repro`"):
        results.main()
    TEACHER.path.touch()
    TEACHER.summary.unlink()  # the table can do without
    results.main()
    (TEACHER.evaluation / "metrics.json").write_text("{")
    with pytest.raises(SystemExit, match=r"error: metrics/tables/eval/teacher/metrics\.json: cannot be read .*dvc"):
        results.main()


def test_results_of_a_fresh_clone_say_what_to_do(tmp_path, monkeypatch, digits):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text(presets.fresh(digits))
    with pytest.raises(SystemExit, match=r"error: nothing has been measured yet: check has not run\. Run `dvc repro`"):
        results.main()


def test_table_of_robustness():
    figures = {
        "robustness": "fast",
        "clean_error": 0.03,
        "mean_corruption_error": 0.105,
        "mce_to_teacher": 0.41,
        "mean_flip_probability": 0.02,
        "fgsm_accuracy": {"4": 0.6},
        "pgd_accuracy": {"4": 0.55},
    }
    line = robustness_table({"student-gen1": figures}).splitlines()[2].split()
    expected = ["student-gen1", "3.00", "%", "10.50", "%", "0.410", "2.00", "%", "60.00", "%", "55.00", "%"]
    assert line == expected


def test_confidence_bins_by_hand():
    bins = confidence_bins(histogram(np.float32([0.97, 0.56, 0.55, 1.0]), equal_edges(20)))
    assert len(bins) == 20
    assert {b["confidence"]: b["images"] for b in bins if b["images"]} == {0.5: 1, 0.55: 1, 0.95: 2}


BRIER = """
import json, sys
import numpy as np
from noisy_student.robustness import scores
from noisy_student.steps import reported
brier = lambda tested: float(scores.brier(tested.probs, tested.labels).mean())
reported.TEST += (
    reported.Metric("brier", brier, ("Brier", "{:.2f}".format), ("Brier score", 1)),
)
from noisy_student.steps.results import table
from experiments.study import rows, tables
from experiments.study.definition import Study
from experiments.study.columns import METRICS
probs, labels = np.array([[0.9, 0.1], [0.4, 0.6]]), np.array([0, 0])  # (0.02 + 0.72) / 2
found = reported.evaluate(reported.Predictions(probs, labels, ["a", "b"], 0.0))
print(json.dumps({
    "eval": found["brier"],
    "table": [[cell.strip() for cell in line.split("  ")] for line in table({"teacher": found}).splitlines()],
    "column": "brier" in rows.COLUMNS,
    "value": METRICS["brier"].value({"metrics/eval.json": {"teacher": found}}.get, "teacher", "teacher"),
    "title": METRICS["brier"].title,
}))
"""


def test_a_metric_is_one_line():
    """In a process of its own, for the columns are made when modules are imported."""
    done = subprocess.run([sys.executable, "-c", BRIER], cwd=ROOT, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert found["eval"] == found["value"] == pytest.approx(0.37)
    assert "Brier" in found["table"][0]
    assert "0.37" in found["table"][2]
    assert (found["column"], found["title"]) == (True, "Brier score")


def test_the_models_of_a_run_say_their_classes_and_how_they_were_trained(finished, monkeypatch):
    monkeypatch.chdir(finished)
    chosen, classes = params.load(), json.loads(layout.CLASSES.read_text())
    for model in (TEACHER, Model("gen1")):
        described = read_description(model.path)
        assert (described.name, list(described.classes)) == (model.name, classes)
        assert (described.image_size, described.resize, described.levels) == (8, "squash", "auto")
        training = chosen.training_of(model)[0]
        assert described.parameters["training"] == json.loads(training.model_dump_json())
        assert described.parameters["seed"] == chosen.seed
    assert described.parameters["teacher"] == "teacher"

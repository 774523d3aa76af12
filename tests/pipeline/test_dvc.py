"""The whole pipeline with real DVC, in the order in which a user meets it."""

import json
import re
import sys

import numpy as np
import pytest
from PIL import Image
from ruamel.yaml import YAML

from browser import needs_chromium, visit
from support import REVERSED, ROOT

MODELS = ["teacher", "student-gen1"]
MEASURED = ["eval-teacher", "eval@gen1", "robustness-teacher", "robustness@gen1", "card@gen1", "results"]


def _back(clone):
    """To the committed state, as the README says."""
    clone.run("git", "reset", "-q", "--hard")
    clone.run("git", "clean", "-fdq", "metrics")
    clone.run("dvc", "checkout", "-q")


def _recorded(clone):
    return YAML(typ="safe").load(clone.folder / "dvc.lock")["stages"]


def _ran(output):
    return re.findall(r"Running stage '(.*?)'", output)


def test_first_run_makes_everything(clone):
    stages = ["check", "prepare", "teacher", "pseudolabel@gen1", "balance@gen1", "student@gen1"]
    ran = _ran(clone.first_output)
    assert sorted(ran) == sorted([*stages, *MEASURED])
    assert (ran[0], ran[-1]) == ("check", "results")
    figures = json.loads(clone.read("metrics/eval.json"))
    assert list(figures) == MODELS
    for found in figures.values():
        assert set(found) >= {"loss", "nll", "accuracy", "top5", "ece", "recall", "accuracy_interval"}
        assert len(found["recall"]) == 10
    assert {"pseudo_label_coverage", "pseudo_label_accuracy"} <= set(figures["student-gen1"])
    summary = json.loads(clone.read("metrics/models/student-gen1.json"))
    assert summary["survival_probability"]["stage3_block1"] == pytest.approx(0.8)
    assert {"parameters", "macs", "best", "steps"} <= set(summary)
    assert "\r" not in clone.first_output  # no progress bar where there is no terminal
    record = json.loads(clone.read("metrics/run.json"))
    assert set(record) == set(ran)
    assert all(entry["seconds"] > 0 and entry["versions"]["keras"] for entry in record.values())


def test_git_stays_clean(clone):
    assert clone.run("git", "status", "--porcelain") == ""


def test_second_run_does_nothing(clone):
    assert _ran(clone.run("dvc", "repro")) == []


def test_results_are_printed(clone):
    shown = clone.run("python", "-m", "commands.results")
    accuracy = json.loads(clone.read("metrics/eval.json"))["teacher"]["accuracy"]
    assert f"{100 * accuracy:.2f} %" in shown
    assert "metrics/plots/eval/teacher/curves.png" in shown


@pytest.mark.slow
def test_another_clone_gives_the_same_bytes(clone, tmp_path):
    """The fast test of it, without DVC, is `test_all_stages_in_hostile_surroundings_give_the_same_bytes`."""
    from clones import make_clone

    other = make_clone(tmp_path / "elsewhere")
    (tmp_path / "reversed").mkdir()
    (tmp_path / "reversed/sitecustomize.py").write_text(REVERSED)  # which Python runs when it starts
    path = str(tmp_path / "reversed")
    other.forked("repro", LC_ALL="C", TZ="Asia/Tokyo", PYTHONHASHSEED="7", PYTHONPATH=path)  # as `make repro` does
    for path in ["metrics/eval.json", "dvc.lock", *(f"models/{name}.keras" for name in MODELS)]:
        assert other.read(path) == clone.read(path), path


@pytest.fixture(scope="module")
def plots(clone):
    """The clone with a page of plots, and what DVC said."""
    clone.run(sys.executable, "-m", "commands.plots_template")  # part of the set-up
    return clone, clone.run("dvc", "plots", "show", "-o", "dvc_plots")


def test_plots_hold_every_picture(plots):
    clone, output = plots
    page = clone.read("dvc_plots/index.html").decode()
    drawn = [f"student-gen1/{name}" for name in ("confidence", "class-counts", "pseudo-labels", "confusion")]
    for name in (*drawn, "teacher/noise", "teacher/confusion", "teacher/curves", "reliability"):
        assert f"{name}.png" in page or f"{name}.png".replace("/", "_") in page
    assert "validation_accuracy" in page
    assert "https://cdn" not in re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)
    assert "failed" not in output


@needs_chromium
def test_plots_are_drawn_without_network(plots):
    clone, _ = plots
    charts = "document.querySelectorAll('.vega-embed').length"
    with visit(clone.folder / "dvc_plots/index.html", drawn=f"{charts} >= 7") as seen:
        assert seen.complaints == []
        assert all(address.startswith("file:") for address in seen.requests)
        assert seen.page.evaluate(charts) == 7
        marks = "[...document.querySelectorAll('.vega-embed')].map(c => c.querySelectorAll('svg path').length)"
        assert all(count > 10 for count in seen.page.evaluate(marks))


def test_noise_on_the_teacher_is_compared_by_metrics_diff(clone):
    output = clone.forked("exp", "run", "-S", "teacher.noise=true")
    stages = ["check", "teacher", "pseudolabel@gen1", "balance@gen1", "student@gen1"]
    assert sorted(_ran(output)) == sorted([*stages, *MEASURED])
    assert _ends_with_the_table(output)
    screen = clone.run("dvc", "metrics", "diff").splitlines()
    assert len(screen) <= 40, screen
    assert max(map(len, screen)) <= 120, screen
    rows = json.loads(clone.run("dvc", "metrics", "diff", "--json"))["metrics/eval.json"]
    assert rows["teacher.loss"]["old"] != rows["teacher.loss"]["new"]
    assert "student-gen1.nll" in rows
    assert not [key for key in rows if "recall" in key]
    _back(clone)
    clone.set(teacher__noise=True)  # a second time everything, trainings too, comes from DVC's run cache
    assert _ran(clone.run("dvc", "repro")) == ["card@gen1"]  # its only output is git's
    _back(clone)


def _ends_with_the_table(output):
    """Whether the result table is the last that a stage prints: what is below it is DVC's."""
    below = output.rpartition("of them right")[2]
    return "student-gen1" in below and "Running stage" not in below


def test_only_what_depends_on_a_change_runs_again(clone):
    output = clone.forked("exp", "run", "-S", "pseudolabel.threshold=0.15")
    # robustness too: the confidence of wrong answers is measured against the threshold
    assert {"balance@gen1", "robustness-teacher"} <= set(_ran(output))
    assert not {"prepare", "teacher", "pseudolabel@gen1"} & set(_ran(output))
    _back(clone)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "values"),
    [("gen2", "{teacher: student-gen1}"), ("control", "{teacher: teacher, student: {mix: none}}")],
)
def test_a_generation_is_added_without_running_the_first_again(clone, name, values):
    recorded = _recorded(clone)
    output = clone.forked("exp", "run", "-S", f"++generations.{name}={values}")
    added = [f"{stage}@{name}" for stage in ("pseudolabel", "balance", "student", "eval", "robustness", "card")]
    assert sorted(_ran(output)) == sorted([*added, "check", "results"])
    assert _ends_with_the_table(output)
    assert list(json.loads(clone.read("metrics/eval.json"))) == [*MODELS, f"student-{name}"]
    # gone from the parameters: gone from the figures, and from what the lock file records
    clone.run("git", "checkout", "-q", "params.yaml")
    clone.run("dvc", "repro")
    assert list(json.loads(clone.read("metrics/eval.json"))) == MODELS
    assert _recorded(clone)["results"] == recorded["results"]
    left = f"models/student-{name}.keras"
    assert (clone.folder / left).exists()  # no stage can know whose it is
    assert f"rm -r {left} " in clone.run("python", "-m", "commands.doctor")
    (clone.folder / left).unlink()
    _back(clone)


@pytest.mark.slow
def test_an_extra_test_set_is_measured_and_nothing_else_again(clone):
    rng = np.random.default_rng(0)
    for name in ("0", "1"):
        (clone.folder / "data/extra/mine" / name).mkdir(parents=True)
        for row, pixels in enumerate(rng.integers(0, 256, (4, 16, 16, 3), np.uint8)):
            Image.fromarray(pixels).save(clone.folder / f"data/extra/mine/{name}/{row}.png")
    output = clone.forked("exp", "run", "-S", "++eval.extra_tests.mine=data/extra/mine")
    added = ["extra-test@mine", "eval-extra-teacher@mine", "eval-extra@gen1-mine"]
    assert sorted(_ran(output)) == sorted(["check", *added, "results"])
    measured = json.loads(clone.read("metrics/eval.json"))
    assert {model: found["extra_tests"]["mine"]["images"] for model, found in measured.items()} == {
        "teacher": 8,
        "student-gen1": 8,
    }
    assert "below the test split" in output.rpartition("Running stage")[2]
    _back(clone)


def test_a_failed_generation_costs_no_other_its_figures(clone):
    override = "{teacher: teacher, pseudolabel: {threshold: 0.9999}, balance: {on_empty: error}}"
    output = clone.forked("exp", "run", "--keep-going", "-S", f"+generations.strict={override}", fails=True)
    assert {"eval@strict", "student@strict", "results"}.isdisjoint(_ran(output))
    assert "balance@strict" in _ran(output)
    shown = clone.run("python", "-m", "commands.results")
    assert "student-strict is not in the table: balance@strict failed: " in shown
    assert all(f"\n{model} " in shown for model in MODELS)
    _back(clone)


def test_all_students_are_addressed_by_their_stage(clone):
    assert _ran(clone.run("dvc", "repro", "--force", "--single-item", "student")) == ["student@gen1"]
    # the same bytes again, but for the record with the times
    assert clone.run("git", "status", "--porcelain") == " M metrics/run.json\n"
    _back(clone)


@pytest.mark.slow
def test_a_failed_experiment_is_shown_by_name_and_without_metrics(clone):
    """The line of docs/comparing.md leaves it out: DVC would print the metrics of the commit that it started from."""
    clone.run("dvc", "exp", "run", "--queue", "-n", "broken", "-S", "pseudolabel.threshold=5.0")
    clone.run("dvc", "queue", "start", "-j", "1")
    _wait(clone)
    assert "This is the copy of the experiment broken: mend its -S" in clone.run("dvc", "queue", "logs", "broken")
    clone.run("dvc", "exp", "run", "--queue", "-n", "waiting", "-S", "teacher.noise=true")
    shown = clone.run("python", "-m", "commands.experiments").splitlines()
    accuracy = json.loads(clone.read("metrics/eval.json"))["teacher"]["accuracy"]
    rows = {line.split()[0]: line for line in shown if line.strip()}
    assert f"{100 * accuracy:.2f} %" in rows["main"]
    assert re.fullmatch(r"  broken +failed +pseudolabel.threshold=5.0", rows["broken"])
    assert re.fullmatch(r"  waiting +queued +teacher.noise=true", rows["waiting"])
    assert max(map(len, shown)) <= 120
    (command,) = re.findall(r"^dvc exp show .*", (ROOT / "docs/comparing.md").read_text(), re.MULTILINE)
    by_dvc = clone.run("sh", "-c", f"{command} --no-pager")
    assert "waiting" in by_dvc
    assert "broken" not in by_dvc
    assert "student-gen1.pseudo_label_accuracy" in by_dvc
    assert max(map(len, by_dvc.splitlines())) <= 160
    clone.run("dvc", "queue", "remove", "--all")


@pytest.mark.slow
def test_queue_runs_a_sweep(clone):
    clone.run("dvc", "exp", "run", "--queue", "-S", "eval.batch_size=16,32")
    clone.run("dvc", "queue", "start", "-j", "1")
    assert "logs" not in clone.run("dvc", "queue", "status")
    _wait(clone)
    status = clone.run("dvc", "queue", "status")
    assert status.count("Success") == 2, status
    shown = json.loads(clone.run("dvc", "exp", "show", "--json"))
    found = {
        row["data"]["params"]["params.yaml"]["data"]["eval"]["batch_size"]
        for revision in shown
        for experiment in revision["experiments"] or []
        for row in experiment["revs"]
        if row["data"]
    }
    assert {16, 32} <= found


def _wait(clone, seconds=300):
    import time

    end = time.monotonic() + seconds
    while time.monotonic() < end:
        status = clone.run("dvc", "queue", "status")
        if "Queued" not in status and "Running" not in status:
            return
        if "Running" not in status and "0 active, 0 idle" in status:  # DVC's worker may end too early
            clone.run("dvc", "queue", "start", "-j", "1")
        time.sleep(2)
    raise AssertionError(f"the queue did not finish in {seconds} s\n{status}")

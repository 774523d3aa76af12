"""A run without any validation image, with a student beside that learns from the labels alone."""

import contextlib
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from commands import preset as presets
from commands.results import main as print_results
from experiments.report.gather import gather
from experiments.report.page import render
from noisy_student.drawing import charts
from noisy_student.runtime import layout
from noisy_student.runtime.files import read_csv
from noisy_student.runtime.layout import TEACHER, Model
from noisy_student.settings import params
from noisy_student.settings.schema import LABELLED_POOL
from noisy_student.steps.results import labels_line
from small import OF_GENERATION, SMALL, stage
from support import ROOT, set_params, with_values

pytestmark = pytest.mark.usefixtures("one_block")
VALUES = SMALL | {
    "data.labelled": 20,
    "data.validation": 0,
    "teacher.select_by": "last",
    "student.select_by": "last",
    "student.ema": 0.9,
    "release": "student-gen1",
    "generations": {
        "gen1": {"teacher": "teacher"},
        "noise-only": {"teacher": "teacher", "student": {"mix": "none", "batch_size": 16}},
    },
}
CALLS = ("check", "prepare", "teacher", "eval_teacher", *(f"{name} gen1" for name in OF_GENERATION))
MODELS = (TEACHER, Model("gen1"), Model("noise-only"))


@pytest.fixture(scope="module")
def done(tmp_path_factory, digits, one_block):
    """A workspace in which all stages have run; not to be changed."""
    folder = tmp_path_factory.mktemp("none")
    (folder / "params.yaml").write_text(presets.fresh(with_values(digits, VALUES)))
    for name in ("digits", "weights"):
        (folder / "data/raw" / name).mkdir(parents=True)
    shutil.copytree(ROOT / "data/pools", folder / "data/pools")
    with contextlib.chdir(folder):
        for call in (*CALLS, *(f"{name} noise-only" for name in OF_GENERATION), "results"):
            assert stage(*call.split()) is None, call
    return folder


@pytest.fixture
def here(done, monkeypatch):
    monkeypatch.chdir(done)


def test_all_figures_are_there_but_those_of_validation(here):
    assert np.load(layout.VALIDATION / "images.npy").shape == (0, 8, 8, 3)
    data = json.loads(layout.DATA_METRICS.read_text())
    assert (data["images"]["labelled"], data["images"]["validation"]) == (20, 0)
    assert all(counts["labelled"] == 2 for counts in data["classes"].values())
    for model in MODELS:
        rows = read_csv(model.curves)
        assert [(row["step"], row["validation_loss"], row["validation_accuracy"]) for row in rows] == [
            (2, None, None),
            (4, None, None),
        ]
        best = json.loads(model.summary.read_text())["best"]
        assert best["step"] == 4
        assert best["train_loss"] == pytest.approx(rows[-1]["train_loss"])
        assert not [key for key in best if "validation" in key], "`dvc metrics diff` would show them"
        assert (model.evaluation_plots / "curves.png").exists()


def test_who_learns_from_labels_only_needs_no_pseudo_labels(here):
    assert np.load(layout.pseudo_labels("gen1") / "shard-00000.npy").shape == (80, 10)
    assert np.load(layout.pseudo_labels("noise-only") / "shard-00000.npy").size == 0
    assert json.loads((layout.balance_tables("noise-only") / "warnings.json").read_text()) == []
    drawn = {path.name for path in Model("noise-only").evaluation_plots.glob("*.png")}
    names = ("teacher-wrong-student-noise-only-right", "student-noise-only-wrong-teacher-right")
    assert drawn == {"curves.png", "confusion.png", *(f"{name}.png" for name in names)}
    figures = json.loads(layout.EVAL_METRICS.read_text())
    assert "pseudo_label_coverage" in figures["student-gen1"]
    assert "pseudo_label_coverage" not in figures["student-noise-only"]


def test_the_table_says_how_many_labels_were_used(here, capsys):
    print_results()
    shown = capsys.readouterr().out
    assert "\n20 labels in all (20 for training, 0 for validation), 80 images without labels\n" in shown
    assert "\nstudent-noise-only " in shown


def test_labels_are_counted_with_those_of_validation(digits):
    data = params.check(digits).data
    counts = {"labelled": 1100, "validation": 200, "unlabelled": 997, "test": 500}
    assert labels_line(data, counts) == (
        "1,300 labels in all (1,100 for training, 200 for validation), 997 images without labels"
    )
    control = data.model_copy(update={"unlabelled_from": LABELLED_POOL})
    assert labels_line(control, counts).endswith("for validation), no further images")


def test_the_page_tells_the_control_from_a_generation(here):
    page = render(gather())
    assert "noise-only: no pseudo-labels" in page
    assert page.count(" labels for\n") == 1, "gen1's teacher only"
    names = page.partition('aria-label="Stages: ')[2].partition('"')[0]
    assert names.split("; ")[1:3] == [
        "pseudolabel to balance to student-gen1",
        "labelled images to student-noise-only",
    ]
    svg = page.partition('<svg class="pipeline"')[2].partition("</svg>")[0]
    # teacher; three in gen1; one of the control; between rows: to gen1 and to eval, none to the control
    assert svg.count('marker-end="url(#head)"') == 1 + 2 + 1 + 2
    # its name is not taken for a word of a caption
    noise = page.partition('<section id="noise"')[2].partition("</section>")[0]
    assert re.findall(r'alt="(.*?)"', noise) == ["Input noise: images, and fresh draws of their noise"]
    shown = re.findall(r'src="(data:image/png[^"]*)"', page)
    assert len(shown) > 4
    assert len(set(shown)) == len(shown)


def test_curves_without_validation_show_the_training_alone():
    rows = [{"model": "teacher", "step": n, "train_loss": 2 / n, "train_accuracy": 1 - 0.5 / n} for n in (1, 2)]
    spec = charts.learning_curves(
        [row | {"validation_loss": None, "validation_accuracy": None} for row in rows], {"teacher": rows[1]}
    )
    assert spec["title"]["subtitle"] == "no validation images, kept the last (teacher: step 2)"
    import vl_convert

    drawn = vl_convert.vegalite_to_svg(json.dumps(spec))
    assert "training batches" in drawn
    assert "validation images" not in drawn.replace("no validation images", "")
    assert "NaN" not in drawn


def test_shards_without_validation(done, tmp_path, monkeypatch, capsys):
    shutil.copytree(done, tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")
    set_params({"data.store": "shards"}, Path())
    assert stage("prepare") is None
    assert re.search(r"\n  validation +0  from nowhere\n", capsys.readouterr().out)
    assert stage("teacher") is None
    plain, sharded = (folder / TEACHER.path for folder in (done, tmp_path / "project"))
    assert plain.read_bytes() == sharded.read_bytes()

"""The picture of accuracy over labels is made of the rows."""

import shutil

import numpy as np
import pytest
from PIL import Image

from experiments.study import definition, lines, report, rows, tables
from experiments.study.findings import Findings
from noisy_student.drawing.canvas import save_chart
from noisy_student.runtime.files import write_csv
from support import ROOT

STUDY = "label-efficiency"
LEVEL = {"teacher": 0.6, "noise": 0.7, "noise-long": 0.71, "self-distillation": 0.69, "student-1": 0.75}


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project with the study and rows of three seeds, of peers too."""
    for folder in ("studies", "presets"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    monkeypatch.chdir(tmp_path)
    study = definition.load(STUDY)
    for key in study.arms:
        name, _, labels = key.rpartition("-")
        for seed in range(3):
            accuracy = 0.99 if key == "all" else LEVEL.get(name, 0.85) + int(labels) / 2000 + seed / 100
            row = dict.fromkeys(rows.COLUMNS) | {"arm": key, "seed": seed, "accuracy": accuracy, "seconds": 60.0}
            row |= {"teacher_accuracy": 0.6, "settings": "0" * 8, "commit": "a" * 40, "machine": "M, 2 cores"}
            rows.add(STUDY, "digits", row, None)
    cells = [(x, seed, use) for x in (10, 300) for seed in range(3) for use in ("inductive", "transductive")]
    measured = [
        {"peer": "SelfTrainingClassifier", "use": use, "accuracy": 0.5 + seed / 100 + (use == "transductive") / 4}
        | {"unreached": "", "x": x, "seed": seed, "scikit_learn": "1.9.1"}
        for x, seed, use in cells
    ]
    write_csv(rows.peers_path(STUDY, "digits"), measured)
    return study


def test_the_gain_of_the_last_line_by_hand(project):
    titles, _, *lines = tables.gain_table(Findings(STUDY, project, "digits")).splitlines()
    assert titles.startswith("| labelled images | noise alone, % | student 3, % | difference, points |")
    assert [line.split(" | ")[0] for line in lines] == ["| 10", "| 20", "| 40", "| 100", "| 300"]
    # every seed of both one point above the last, and 15 points apart: no deviation
    assert lines[3] == "| 100 | 76.00 (1.00) | 91.00 (1.00) | +15.00 |  | 3 | undecided: all seeds alike |"


def test_the_peers_of_a_report_by_hand(project):
    said = report.markdown(Findings(STUDY, project, "digits"))
    _, _, said = said.partition("\n## Peers\n")
    table = said.partition("\n## ")[0].strip().splitlines()[2:]
    assert table == [
        "| test accuracy, % | | 10 labels | 300 labels |",
        "|---|---|---:|---:|",
        "| student 3 | ours | 86.50 (1.00) | 101.00 (1.00) |",  # 0.85 + labels / 2000 + 0 to 0.02
        "| SelfTrainingClassifier | inductive | 51.00 (1.00) | 51.00 (1.00) |",
        "| SelfTrainingClassifier | transductive | 76.00 (1.00) | 76.00 (1.00) |",
    ]
    assert "87.00" not in tables.peers_table(Findings(STUDY, project, "digits", seeds=1))
    rows.peers_path(STUDY, "digits").unlink()
    assert "## Peers" not in report.markdown(Findings(STUDY, project, "digits"))


def test_seeds_that_are_not_measured_yet_are_told(project):
    said = report.stated(Findings(STUDY, project, "digits"))
    assert "below 1 or 3 points are of no interest; 10 seeds. Measured so far: 3 of them, whatever came out." in said
    assert said.endswith("whatever came out. Without a pilot.")
    assert "so far" not in report.stated(Findings(STUDY, project, "digits", seeds=2))


def points_of(chart, name):
    """{x: (mean, low, high)} of a line."""
    values = chart["layer"][2]["data"]["values"]
    return {p["x"]: (p["mean"], p["low"], p["high"]) for p in values if p["line"] == name}


def test_a_line_a_model_with_means_and_intervals_by_hand(project):
    chart = lines.lines(Findings(STUDY, project, "digits"))
    names = {point["line"] for point in chart["layer"][2]["data"]["values"]}
    expected = {
        "teacher",
        "noise alone",
        "noise alone, long",
        "self-distillation",
        "student 1",
        "student 2",
        "student 3",
    }
    assert names == expected | {"SelfTrainingClassifier"}
    half = 4.30265 / np.sqrt(3)  # Student's t of two degrees of freedom, deviation 1 point
    assert points_of(chart, "student 1")[20] == pytest.approx((77, 77 - half, 77 + half), abs=1e-3)
    assert list(points_of(chart, "student 3")) == [10, 20, 40, 100, 300]
    assert points_of(chart, "student 3")[300] == pytest.approx((101, 101 - half, 100), abs=1e-3)  # cut at 100 %
    assert points_of(chart, "SelfTrainingClassifier")[10][0] == pytest.approx(51)  # the inductive use only
    assert [level["mean"] for level in chart["layer"][0]["data"]["values"]] == [pytest.approx(99)]
    assert "teacher 61.5 % at 10, 62.0 % at 20" in chart["description"]


def test_only_neighbouring_values_are_joined(project):
    values = lines.lines(Findings(STUDY, project, "digits"))["layer"][2]["data"]["values"]
    parts = {name: [p["part"] for p in values if p["line"] == name] for name in ("student 3", "noise alone, long")}
    assert parts["student 3"] == [0] * 5
    first, *rest = parts["noise alone, long"]  # 20, then 100 and 300
    assert len(rest) == 2
    assert rest[0] == rest[1] != first


def test_peers_below_the_picture_are_told(project):
    chart = lines.lines(Findings(STUDY, project, "digits"))
    assert chart["layer"][2]["encoding"]["y"]["scale"]["domain"] == [50, 100]  # teachers begin at 61.5 - 2.5
    assert "below" not in str(chart["title"])
    path = rows.peers_path(STUDY, "digits")
    path.write_text(path.read_text().replace("0.5", "0.2"))
    chart = lines.lines(Findings(STUDY, project, "digits"))
    assert chart["layer"][2]["encoding"]["y"]["scale"]["domain"] == [50, 100]
    assert "below the picture: SelfTrainingClassifier, " in str(chart["title"])
    shown = chart["layer"][3]["data"]["values"]
    assert min(point["mean"] for point in shown) > 50


def test_one_value_is_no_line(project, tmp_path):
    table = rows.table_path(STUDY, "digits")
    head, *measured = table.read_text().splitlines(keepends=True)
    table.write_text(head + "".join(row for row in measured if row.partition(",")[0].endswith("-20")))
    report.write(STUDY, project, "digits")
    assert not list((tmp_path / "docs/studies/digits").glob("*.lines.png"))
    assert "lines.png" not in (tmp_path / "docs/studies/digits/label-efficiency.md").read_text()


def test_names_at_the_ends_lie_apart_and_in_the_order_of_the_lines(project):
    names = lines.lines(Findings(STUDY, project, "digits"))["layer"][4]["data"]["values"]
    assert len(names) == 9
    places = [name["place"] for name in names]
    assert [name["mean"] for name in names] == sorted((name["mean"] for name in names), reverse=True)
    assert max(np.diff(places)) < -1  # points: letters are 14 pixels high
    assert len({name["color"] for name in names}) >= 8
    assert {name["line"]: name["color"] for name in names}["student 3"] == "#0072B2"


def test_the_axis_ends_above_what_is_there(project):
    """Students end at 101 - cut to 100; without them and the level at 99 noise alone at 86 + 2.5."""
    table = rows.table_path(STUDY, "digits")
    head, *measured = table.read_text().splitlines(keepends=True)
    table.write_text(head + "".join(row for row in measured if not row.startswith(("student", "all"))))
    found = lines.lines(Findings(STUDY, project, "digits"))
    assert found["layer"][2]["encoding"]["y"]["scale"]["domain"] == [50, 90]


def test_the_picture_follows_the_rows(project, tmp_path):
    report.write(STUDY, project, "digits")
    path = tmp_path / "docs/studies/digits/label-efficiency.lines.png"
    before = path.read_bytes()
    report.write(STUDY, project, "digits")
    assert path.read_bytes() == before
    assert "](label-efficiency.lines.png)" in path.with_name("label-efficiency.md").read_text()
    table = rows.table_path(STUDY, "digits")
    table.write_text(table.read_text().replace("noise-20,0,0.71", "noise-20,0,0.21"))
    report.write(STUDY, project, "digits")
    assert path.read_bytes() != before


def test_committed_pictures_are_those_of_the_committed_rows(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    paths = sorted((ROOT / "docs/studies").glob("*/*.lines.png"))
    assert paths
    for path in paths:
        preset, name = path.parent.name, path.name.removesuffix(".lines.png")
        save_chart(tmp_path / "again.png", lines.lines(Findings(name, definition.load(name), preset)))
        np.testing.assert_array_equal(Image.open(tmp_path / "again.png"), Image.open(path))

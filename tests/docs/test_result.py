"""README's first table and picture are those of the committed metrics."""

import json
from pathlib import Path

import pytest

from commands import docs, docs_result
from noisy_student.drawing.canvas import save_chart
from noisy_student.runtime.errors import UserError
from support import ROOT


@pytest.fixture
def evaluated(monkeypatch):
    monkeypatch.chdir(ROOT)
    return json.loads(Path("metrics/eval.json").read_text())


def test_the_table_is_that_of_the_committed_metrics(evaluated):
    text = Path("README.md").read_text(encoding="utf-8")
    assert docs.within(docs.README, text, "result", docs_result.tables()) == text
    assert docs.MARKED[docs.README, "result"] is docs_result.tables
    block = text.split("```text\nmodel  ")[1].partition("```")[0]
    lines = {line.split()[0]: line.split() for line in block.split("\n\n")[0].splitlines()[2:]}
    assert {name: cells[1] for name, cells in lines.items()} == {
        name: f"{100 * own['accuracy']:.2f}" for name, own in evaluated.items()
    }
    assert {"teacher", "student-noise-only"} < set(evaluated)


def test_the_picture_is_that_of_the_committed_metrics(evaluated, tmp_path):
    images = json.loads(Path("metrics/data.json").read_text())["images"]
    save_chart(tmp_path / "again.png", docs_result.picture(evaluated, images))
    assert (tmp_path / "again.png").read_bytes() == docs.PICTURE.read_bytes()
    assert f"]({docs.PICTURE.as_posix()})" in Path("README.md").read_text(encoding="utf-8")


def test_the_picture_shows_each_model_once(evaluated):
    spec = docs_result.picture(evaluated, {"labelled": 20, "unlabelled": 1277, "test": 500})
    alone, again = spec["layer"][0]["data"]["values"], spec["layer"][-2]["data"]["values"]
    assert alone == again  # its interval is a band, itself a line
    assert [alone[0]["low"], alone[0]["high"]] == [
        100 * end for end in evaluated["student-noise-only"]["accuracy_interval"]
    ]
    shown = [row["right"] for row in [*spec["data"]["values"], *alone]]
    assert shown == pytest.approx([100 * own["accuracy"] for own in evaluated.values()])
    assert [row["model"] for row in spec["data"]["values"]] == ["teacher", "student 1", "student 2", "student 3"]


def test_what_lies_around_the_table_stays_and_a_missing_one_is_told_of():
    text = "before\n<!-- x -->\n```text\na\n```\n<!-- end -->\nafter\n```\nother\n```\n<!-- end -->\n"
    assert docs.within(docs.README, text, "x", "b") == text.replace("\na\n", "\nb\n")
    for torn in ("nothing", "<!-- end -->", "<!-- x -->\n"):
        with pytest.raises(UserError, match=r"README\.md: expected <!-- x --> and <!-- end -->"):
            docs.within(docs.README, torn, "x", "b")

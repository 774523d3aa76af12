"""The page as a browser shows it, and as text."""

import csv
import json
import re
import shutil
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from browser import needs_chromium, visit
from experiments.report.gather import gather
from experiments.report.page import render
from experiments.study import rows
from noisy_student.runtime.errors import UserError
from noisy_student.runtime.files import write_csv
from support import ROOT

ALL_DRAWN = "document.querySelectorAll('.chart').length == document.querySelectorAll('[data-drawn], .failed').length"
MARKS = "[...document.querySelectorAll('.chart')].map(c => c.querySelectorAll('[role=graphics-symbol]').length)"


def _robustness(error):
    """Content of metrics/robustness/MODEL.json: this mean error on corrupted images."""
    changed = {
        "corruption_error": {"fog": error - 0.05, "snow": error + 0.05},
        "flip_probability": {"tilt": 0.01, "scale": 0.05},
    }
    means = {"clean_error": 0.12, "mean_corruption_error": error, "mean_flip_probability": 0.03}
    attacked = {key: {"0": 0.9, "4": 0.7} for key in ("fgsm_accuracy", "pgd_accuracy")}
    return {"robustness": "fast", **means, **changed, **attacked}


@pytest.fixture
def project(workspace):
    """A small finished run, with figures of robustness and with a study."""
    (workspace / "metrics/robustness").mkdir()
    for model, error in (("teacher", 0.2871), ("student-gen1", 0.1)):
        (workspace / f"metrics/robustness/{model}.json").write_text(json.dumps(_robustness(error)))
        attacked = [{"attack": a, "epsilon": e, "accuracy": 0.9 - e / 20} for a in ("fgsm", "pgd") for e in (0, 4)]
        write_csv(workspace / f"metrics/tables/robustness/{model}/attacks.csv", attacked)
    (workspace / "studies").mkdir()
    (workspace / "presets").mkdir()
    shutil.copy(ROOT / "studies/article.yaml", workspace / "studies")
    shutil.copy(ROOT / "presets/digits.yaml", workspace / "presets")
    for arm, values in (("clean", (0.9, 0.92, 0.94)), ("noised", (0.91, 0.95, 0.96))):
        for seed, value in enumerate(values):
            row = dict.fromkeys(rows.COLUMNS) | {"arm": arm, "seed": seed, "accuracy": value, "seconds": 9.0}
            row |= {"teacher_accuracy": 0.8, "settings": "0" * 8, "commit": "a" * 40, "machine": "M"}
            rows.add("article", "digits", row, None)
    return workspace


@pytest.fixture
def page(project):
    """The page of it, as a file."""
    path = project / "report.html"
    path.write_text(render(gather()), encoding="utf-8")
    return path


@needs_chromium
def test_every_chart_is_drawn_without_network_and_without_complaint(page):
    with visit(page, drawn=ALL_DRAWN) as seen:
        assert seen.complaints == []
        assert seen.requests == []
        assert seen.page.locator(".failed").count() == 0
        marks = seen.page.evaluate(MARKS)
        # curves 1, labels 2, confusion 2, reliability 1, robustness 3, study 1
        assert len(marks) == 10
        assert all(count > 0 for count in marks), marks
        bars = "[...document.querySelectorAll('[aria-roledescription=bar]')].map(b => b.getBBox().height)"
        assert max(seen.page.evaluate(bars)) > 150  # from the axis to the top
        assert seen.violations() == ""
        images = seen.page.evaluate("[...document.images].map(i => [i.naturalWidth, i.alt.length])")
        assert len(images) == 4
        assert all(width > 100 and words > 10 for width, words in images)
        picture = page.with_suffix(".png")
        seen.page.screenshot(path=picture, full_page=True)
        shown = np.asarray(Image.open(picture).convert("L"))
        assert shown.shape[0] > 3000
        assert (shown < 128).mean() > 0.01  # not a white page


@needs_chromium
@pytest.mark.parametrize("width", [1366, 390])
def test_the_page_never_scrolls_sideways(page, width):
    with visit(page, width=width, drawn=ALL_DRAWN) as seen:
        assert seen.page.evaluate("document.documentElement.scrollWidth") <= width


@needs_chromium
def test_print_shows_the_parameters_and_no_navigation(page):
    with visit(page, drawn=ALL_DRAWN) as seen:
        parameter = seen.page.get_by_text("student.optimizer.learning_rate", exact=True)
        assert seen.page.locator("nav").is_visible()
        assert not parameter.is_visible()
        seen.page.emulate_media(media="print")
        assert not seen.page.locator("nav").is_visible()
        assert parameter.is_visible()
        assert len(seen.page.pdf(format="A4")) > 50_000


@needs_chromium
def test_a_chart_that_cannot_be_drawn_says_so(page):
    broken = page.read_text().replace('"type": "quantitative"', '"type": "quantum"')
    page.write_text(
        broken.replace('{"$schema"', '{"marks": 1, "$schema"', 1).replace('"mark": {', '"mark": 7, "x": {', 1)
    )
    with visit(page, drawn=ALL_DRAWN) as seen:
        assert seen.page.locator(".failed").count() >= 1
        assert "This chart could not be drawn" in seen.page.locator(".failed").first.inner_text()


class _Text(HTMLParser):
    """The texts of all cells, headings and captions, by element."""

    def __init__(self, page):
        super().__init__()
        self.texts, self._open = [], []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self._open.append(tag)

    def handle_endtag(self, tag):
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data):
        if data.strip() and not {"script", "style"} & set(self._open):
            self.texts.append(" ".join(data.split()))


def test_figures_and_facts_are_those_of_the_files(page, project):
    texts = _Text(page.read_text()).texts
    figures = json.loads((project / "metrics/eval.json").read_text())
    for found in figures.values():
        assert f"{100 * found['accuracy']:.2f} %" in texts
        assert f"{found['nll']:.4f}" in texts
    assert "92.00 (2.00)" in texts  # the study's control
    assert "-0.48 to +4.48" in texts
    assert "28.71 %" in texts  # the teacher's error on corrupted images
    record = json.loads((project / "metrics/run.json").read_text())["teacher"]
    assert record["commit"] in texts or record["commit"] is None
    assert any(f"keras {record['versions']['keras']}" in text for text in texts)
    assert any(record["cpu"]["name"] in text for text in texts)
    place = texts.index("teacher.steps")
    assert texts[place : place + 3] == ["teacher.steps", "800", "4"]  # where it differs from the preset


def test_nothing_is_loaded_from_elsewhere(page):
    text = page.read_text()
    assert "connect-src" not in text  # what the policy does not name is forbidden
    assert "default-src 'none'" in text
    markup = re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)
    assert re.findall(r'(?:src|href)="(?!data:image/png|#)[^"]*"', markup) == []


def test_names_of_classes_cannot_break_the_page(project):
    names = json.loads((project / "data/prepared/classes.json").read_text())
    (project / "data/prepared/classes.json").write_text(json.dumps(["</script><b>&", *names[1:]]))
    for path in (project / "metrics/tables").rglob("*.csv"):
        with path.open(newline="") as file:
            found = list(csv.DictReader(file))
        for row in found:
            named = {key for key in ("class", "actual", "predicted") if row.get(key) == names[0]}
            row |= dict.fromkeys(named, "</script><b>&")
        write_csv(path, found)
    text = render(gather())
    assert "<b>&" not in text
    assert "\\u003c/script>\\u003cb>&" in text


def test_without_a_run_the_command_is_named(workspace):
    (workspace / "metrics/eval.json").unlink()
    with pytest.raises(UserError, match=r"metrics/eval\.json.*dvc repro"):
        gather()


def test_results_of_other_generations_are_refused(workspace):
    text = (workspace / "params.yaml").read_text()
    changed = text.replace("gen1: {teacher: teacher}", "gen1: {teacher: teacher}\n  gen2: {teacher: student-gen1}")
    assert changed != text
    (workspace / "params.yaml").write_text(changed)
    with pytest.raises(UserError, match=r"figures of teacher, student-gen1, but params\.yaml has .*gen2"):
        gather()


def test_parameters_that_did_not_make_the_results_are_refused(project):
    lock = {"stages": {"teacher": {"params": {"params.yaml": {"teacher.steps": 4}}}, "student@old": {}}}
    (project / "dvc.lock").write_text(json.dumps(lock))
    gather()
    (project / "dvc.lock").write_text(json.dumps(lock).replace("4", "5"))
    with pytest.raises(UserError, match=r"teacher\.steps was 5 when the stage teacher ran, and is 4 .*dvc repro"):
        gather()


def test_tables_that_are_missing_are_named(workspace):
    (workspace / "metrics/tables/eval/reliability.csv").unlink()
    with pytest.raises(UserError, match=r"reliability\.csv: cannot be read .*dvc repro"):
        gather()


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("eval/reliability.csv", lambda text: text.replace(",0.", ",x.", 1), "damaged"),
        ("eval/confusion-teacher.csv", lambda text: text + "unknown,unknown\n", "damaged .*classes.json"),
        ("eval/confusion-teacher.csv", lambda text: text.replace("actual", "truth", 1), "damaged"),
    ],
)
def test_tables_that_are_damaged_are_named(workspace, name, change, message):
    path = workspace / "metrics/tables" / name
    path.write_text(change(path.read_text()))
    with pytest.raises(UserError, match=rf"{path.name}: {message}.*dvc repro"):
        gather()


def test_curves_without_rows_are_named(workspace):
    (path,) = workspace.glob("metrics/training/teacher.csv")
    path.write_text(path.read_text().splitlines(keepends=True)[0])
    with pytest.raises(UserError, match=r"teacher\.csv: damaged .no rows.*dvc repro"):
        gather()

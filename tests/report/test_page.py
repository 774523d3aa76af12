"""The pages as a browser shows them, and as text."""

import contextlib
import csv
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from browser import CHROMIUM, needs_chromium, one_browser, visit
from experiments.report import __main__ as report
from experiments.report import charts
from experiments.report.gather import gather
from experiments.report.page import render, render_studies
from experiments.study import rows
from experiments.study.findings import all_findings
from noisy_student.drawing.canvas import colours
from noisy_student.runtime import run_record
from noisy_student.runtime.errors import UserError
from noisy_student.runtime.files import write_csv, write_json
from noisy_student.settings import params
from noisy_student.settings.schema import PseudoLabelParams
from support import ROOT, set_params

ALL_DRAWN = "document.querySelectorAll('.chart').length == document.querySelectorAll('[data-drawn], .failed').length"
MARKS = "[...document.querySelectorAll('.chart')].map(c => c.querySelectorAll('[role=graphics-symbol]').length)"


def _robustness(error):
    """Content of metrics/tables/robustness/MODEL/summary.json: this mean error on corrupted images."""
    changed = {
        "corruption_error": {"fog": error - 0.05, "snow": error + 0.05},
        "flip_probability": {"tilt": 0.01, "scale": 0.05},
    }
    means = {"clean_error": 0.12, "mean_corruption_error": error, "mean_flip_probability": 0.03}
    attacked = {key: {"0": 0.9, "4": 0.7} for key in ("fgsm_accuracy", "pgd_accuracy")}
    return {"robustness": "fast", **means, **changed, **attacked}


@pytest.fixture(scope="module")
def whole(finished, tmp_path_factory):
    """A small finished run, with figures of robustness and with a study, and its two pages; not to be changed."""
    folder = tmp_path_factory.mktemp("whole") / "project"
    shutil.copytree(finished, folder)
    with contextlib.chdir(folder):
        _add_figures(folder)
        Path("report.html").write_text(render(gather(), studies="studies.html"), encoding="utf-8")
        Path("studies.html").write_text(render_studies(all_findings(), back="report.html"), encoding="utf-8")
    return folder


def _add_figures(workspace):
    for model, error in (("teacher", 0.2871), ("student-gen1", 0.1)):
        folder = workspace / f"metrics/tables/robustness/{model}"
        attacked = [{"attack": a, "epsilon": e, "accuracy": 0.9 - e / 20} for a in ("fgsm", "pgd") for e in (0, 4)]
        write_csv(folder / "attacks.csv", attacked)
        write_json(folder / "summary.json", _robustness(error))
    (workspace / "studies").mkdir()
    (workspace / "presets").mkdir()
    shutil.copy(ROOT / "studies/article.yaml", workspace / "studies")
    shutil.copy(ROOT / "presets/digits.yaml", workspace / "presets")
    for arm, values in (("clean", (0.9, 0.92, 0.94)), ("noised", (0.91, 0.95, 0.96))):
        for seed, value in enumerate(values):
            row = dict.fromkeys(rows.COLUMNS) | {"arm": arm, "seed": seed, "accuracy": value, "seconds": 9.0}
            row |= {"teacher_accuracy": 0.8, "settings": "0" * 8, "commit": "a" * 40, "machine": "M"}
            rows.add("article", "digits", row, None)


@pytest.fixture
def project(whole, tmp_path, monkeypatch):
    """A copy of it without the pages, the current directory."""
    folder = tmp_path / "project"
    shutil.copytree(whole, folder, ignore=shutil.ignore_patterns("*.html"))
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def page(whole, tmp_path):
    """A copy of the page, a file."""
    return Path(shutil.copy(whole / "report.html", tmp_path))


@pytest.fixture
def studies_page(whole, tmp_path):
    """A copy of the page of its studies, a file."""
    return Path(shutil.copy(whole / "studies.html", tmp_path))


@pytest.fixture(scope="module", autouse=True)
def _one_browser():
    with one_browser() if CHROMIUM else contextlib.nullcontext():
        yield


def test_corruptions_beyond_the_standard_ones_are_marked():
    errors = {"fog": 0.2, "speckle_noise": 0.6}
    model = SimpleNamespace(name="teacher", robustness={"corruption_error": errors, "mean_corruption_error": 0.2})
    drawn = charts.corruption_errors([model])
    assert [row["kind"] for row in drawn["data"]["values"]] == ["fog", "speckle noise (extra)"]
    assert "the mean (extra ones left out): teacher 20.0 %" in str(drawn["title"])


def test_reassigned_labels_are_shown_without_a_filter():
    rows = [{"lower": 0.6, "upper": 0.65, "label": "right", "images": 3, "kept": 3}]
    shown = {}
    for reassign in (False, True):
        bounds = PseudoLabelParams(threshold=0.75, reassign=reassign)
        drawn = charts.confidence_histogram(SimpleNamespace(pseudolabel=bounds, confidence=rows))
        shown[reassign] = str(drawn["title"])
    assert "dashed: threshold 0.75" in shown[False]
    assert "dashed: threshold 0" in shown[True]
    assert "0.75" not in shown[True]


@needs_chromium
def test_every_chart_is_drawn_without_network_and_without_complaint(page):
    with visit(page, drawn=ALL_DRAWN) as seen:
        assert seen.complaints == []
        assert seen.requests == []
        assert seen.page.locator(".failed").count() == 0
        marks = seen.page.evaluate(MARKS)
        # curves 1, labels 2, confusion 2, reliability 1, robustness 3
        assert len(marks) == 9
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
def test_the_studies_are_drawn_on_a_page_of_their_own(studies_page):
    with visit(studies_page, drawn=ALL_DRAWN) as seen:
        assert seen.complaints == seen.requests == []
        assert seen.page.locator(".failed").count() == 0
        assert [count > 0 for count in seen.page.evaluate(MARKS)] == [True]
        assert seen.violations() == ""


@needs_chromium
def test_what_no_font_has_is_written_by_its_code_point(page):
    """In charts and in the text; what some font has stays."""
    text = page.read_text().replace('"3"', '"\U0010abcd\u00e93"')  # a class
    page.write_text(text.replace("Noisy Student Training: digits", "\U0010abce\u03a9"))
    with visit(page, drawn=ALL_DRAWN) as seen:
        assert seen.complaints == []
        labels = seen.page.evaluate("[...document.querySelectorAll('.chart svg text')].map(t => t.textContent)")
        assert labels.count("U+10ABCD\u00e93") >= 5  # on the axes of two matrices, and of the counts
        assert seen.page.locator("h1").inner_text() == "U+10ABCE\u03a9"


@needs_chromium
@pytest.mark.parametrize("width", [1366, 390])
@pytest.mark.parametrize("which", ["page", "studies_page"])
def test_the_pages_never_scroll_sideways(which, width, request):
    with visit(request.getfixturevalue(which), width=width, drawn=ALL_DRAWN) as seen:
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


def test_figures_and_facts_are_those_of_the_files(page, studies_page, project):
    texts = _Text(page.read_text()).texts
    figures = json.loads((project / "metrics/eval.json").read_text())
    for found in figures.values():
        assert f"{100 * found['accuracy']:.2f} %" in texts
        assert f"{found['nll']:.4f}" in texts
    assert {"92.00 (2.00)", "-0.48 to +4.48"} <= {*_Text(studies_page.read_text()).texts}  # of the study's arms
    assert not {"92.00 (2.00)", "-0.48 to +4.48"} & {*texts}
    assert "28.71 %" in texts  # the teacher's error on corrupted images
    record = json.loads((project / "metrics/run.json").read_text())["teacher"]
    assert record["commit"] in texts or record["commit"] is None
    assert any(f"keras {record['versions']['keras']}" in text for text in texts)
    assert any(record["cpu"]["name"] in text for text in texts)
    place = texts.index("teacher.steps")
    assert texts[place : place + 3] == ["teacher.steps", "800", "4"]  # where it differs from the preset


def test_nothing_is_loaded_from_elsewhere_and_the_pages_lead_to_each_other(page, studies_page):
    for path, other in ((page, studies_page), (studies_page, page)):
        text = path.read_text()
        assert "connect-src" not in text  # what the policy does not name is forbidden
        assert "default-src 'none'" in text
        markup = re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)
        links = re.findall(r'(?:src|href)="(?!data:image/png|#)([^"]*)"', markup)
        assert set(links) == {other.name}


def test_without_studies_nothing_leads_to_them(project):
    assert "studies" not in re.sub(r"<script.*?</script>", "", render(gather()), flags=re.DOTALL)


@pytest.mark.parametrize(
    ("source", "root", "name"),
    [
        ("digits", "data/raw/digits", "digits"),
        ("folder", "/home/user/my photos", "my photos (folder)"),
        ("folder", "data/raw/birds/", "birds (folder)"),
        ("cifar10", "/images/cifar-10", "cifar-10 (cifar10)"),
        ("svhn", "data/raw/svhn", "svhn"),
    ],
)
def test_the_title_is_the_datas_name(workspace, source, root, name):
    run = gather()
    run.data["source"] = source
    run.parameters["data"]["root"] = root
    page = render(run)
    assert f"<title>{name}: Noisy Student Training</title>" in page
    assert f"<h1>Noisy Student Training: {name}</h1>" in page


def test_a_folder_above_has_its_own_name(workspace):
    run = gather()
    run.parameters["data"]["root"] = "data/.."
    assert run.name == f"{workspace.name} (digits)"


def test_models_have_the_colours_of_the_charts(page):
    text, expected = page.read_text(), colours(["teacher", "student-gen1"])
    for model, color in expected.items():
        assert f'<span class="swatch" style="background: {color}"></span>{model}</th>' in text
        assert f'style="stroke: {color}; stroke-width: 3"/><text class="stage" x="' in text
    specs = re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', text, re.DOTALL)
    scales = [
        match for spec in specs for match in re.findall(r'"domain": \["teacher"[^]]*\], "range": (\[[^]]*\])', spec)
    ]
    assert len(scales) > 6
    assert {tuple(json.loads(scale)) for scale in scales} == {tuple(expected.values())}


def test_extra_test_sets_are_shown(workspace):
    set_params({"eval.extra_tests": {"photos": "data/raw"}})
    for model, accuracy in (("teacher", 0.5), ("student-gen1", 0.625)):
        on_extra = {"images": 1234, "classes": 10, "accuracy": accuracy, "accuracy_interval": [0.41, 0.71]}
        write_json(workspace / f"metrics/tables/eval/extra/photos/{model}/metrics.json", on_extra)
    texts = _Text(render(gather())).texts
    places = [place for place, text in enumerate(texts) if text == "photos"]
    assert [texts[place - 1 : place + 4] for place in places] == [
        ["teacher", "photos", "1,234", "50.00 %", "41.0 % to 71.0 %"],
        ["student-gen1", "photos", "1,234", "62.50 %", "41.0 % to 71.0 %"],
    ]


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


GENERATED = ("data/prepared", "models", "metrics/tables", "metrics/plots")  # what Git does not have


def _only(workspace, *stages):
    """Undo all stages but these first ones: remove what the others have written."""
    written = {
        "check": ["data/prepared/checked.json"],
        "prepare": [f"data/prepared/{name}" for name in ("labelled", "validation", "unlabelled", "test", "truth")],
        "teacher": ["models/teacher.keras", "metrics/models", "metrics/training"],
        "eval-teacher": ["data/prepared/evaluation", "metrics/tables/eval/teacher", "metrics/plots/eval/teacher"],
        "gen1": ["data/prepared/pseudo_labels", "data/prepared/balanced", "metrics/tables/balance"],
        "student": ["models/student-gen1.keras", "metrics/tables/eval/student-gen1", "metrics/plots/eval/student-gen1"],
        "results": ["metrics/tables/results", "metrics/plots/results", "metrics/eval.json"],
    }
    written["prepare"] += ["data/prepared/classes.json", "metrics/data.json"]
    for path in (Path(path) for stage, paths in written.items() if stage not in stages for path in paths):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def _make_report(monkeypatch, *arguments):
    """The exit message of `python -m experiments.report`, None if it succeeded."""
    monkeypatch.setattr("sys.argv", ["report", *arguments])
    try:
        report.main()
    except SystemExit as end:
        return end.code
    return None


def test_in_a_fresh_clone_it_says_that_nothing_has_run(workspace, monkeypatch):
    """Committed metrics are there, data, models and tables are not."""
    for folder in GENERATED:
        shutil.rmtree(folder)
    assert Path("metrics/eval.json").exists()
    end = _make_report(monkeypatch)
    assert end.startswith("error: nothing has run here yet")
    assert "metrics/eval.json is of a run elsewhere" in end
    assert end.endswith("Run `make repro`, then `make report`.")
    assert not list(Path().glob("*.html"))
    shutil.rmtree("metrics")
    end = _make_report(monkeypatch)
    assert end.startswith("error: nothing has run here yet")
    assert "elsewhere" not in end


@pytest.mark.parametrize(
    ("done", "missing"),
    [(["check"], "prepare"), (["check", "prepare"], "teacher"), (["check", "prepare", "teacher"], "eval-teacher")],
)
def test_of_a_run_that_has_only_begun_it_says_which_stage_is_missing(workspace, monkeypatch, done, missing):
    _only(workspace, *done)
    end = _make_report(monkeypatch)
    assert end == (
        f"error: nothing has been measured yet: {missing} has not run. Run `dvc repro`. Then run `make report`."
    )
    assert not list(Path().glob("*.html"))


def test_a_teacher_alone_is_shown_and_what_is_missing_is_named(workspace):
    _only(workspace, "check", "prepare", "teacher", "eval-teacher")
    texts = _Text(render(gather())).texts
    assert "student-gen1 is not on this page: pseudolabel@gen1 has not run. Run `dvc repro`." in texts
    assert "No student has been measured." in texts
    assert texts.count("teacher") >= 3


def test_a_generation_that_failed_is_named_with_the_reason(workspace):
    text = Path("params.yaml").read_text()
    changed = text.replace("gen1: {teacher: teacher}", "gen1: {teacher: teacher}\n  gen2: {teacher: student-gen1}")
    assert changed != text
    Path("params.yaml").write_text(changed)
    run_record.record_failure("pseudolabel@gen2", "no images")
    texts = _Text(render(gather())).texts
    assert "student-gen2 is not on this page: pseudolabel@gen2 failed: no images" in texts
    assert f"{100 * json.loads(Path('metrics/eval.json').read_text())['student-gen1']['accuracy']:.2f} %" in texts


def test_the_command_writes_both_pages_side_by_side(project, monkeypatch, capsys):
    assert _make_report(monkeypatch, "--out", "out/page.html") is None
    assert {path.name for path in Path("out").iterdir()} == {"page.html", "studies.html"}
    assert 'href="studies.html"' in Path("out/page.html").read_text()
    assert 'href="page.html"' in Path("out/studies.html").read_text()
    assert _make_report(monkeypatch, "--out", "studies.html") == 2  # it would be both
    assert "choose another name" in capsys.readouterr().err
    assert not Path("studies.html").exists()


def test_parameters_that_did_not_make_the_results_are_refused(project):
    shutil.copy(ROOT / "dvc.yaml", project)
    gone = {"params": {"params.yaml": {"teacher.steps": 6}}}  # DVC keeps the entries of stages that are no more
    stages = {"teacher": {"params": {"params.yaml": {"teacher.steps": 4}}}, "student@old": {}}
    stages |= {"no-stage": gone, "eval": gone}
    (project / "dvc.lock").write_text(json.dumps({"stages": stages}))
    gather()
    stages["teacher"]["params"]["params.yaml"]["teacher.steps"] = 5
    (project / "dvc.lock").write_text(json.dumps({"stages": stages}))
    with pytest.raises(UserError, match=r"teacher\.steps was 5 when the stage teacher ran, and is 4 .*dvc repro"):
        gather()
    student = params.read_yaml("params.yaml")["student"]
    student["optimizer"]["momentum"] = 0.5
    used = {"params": {"params.yaml": {"student": student}}}
    (project / "dvc.lock").write_text(json.dumps({"stages": {"check": used, "results": used}}))
    gather()  # these two depend on all parameters, and measure nothing
    (project / "dvc.lock").write_text(json.dumps({"stages": {"student@gen1": used}}))
    changed = r"student\.optimizer\.momentum was 0\.5 when the stage student@gen1 ran, and is 0\.9 "
    with pytest.raises(UserError, match=rf"^{changed}"):
        gather()
    for path in project.glob("metrics/tables/eval/student-gen1/metrics.json"):
        path.unlink()
    used["params"]["params.yaml"] = {"teacher.steps": 5}
    (project / "dvc.lock").write_text(json.dumps({"stages": {"teacher": used}}))
    with pytest.raises(UserError, match=r"not finished, student-gen1 not measured yet: teacher\.steps was 5"):
        gather()


def test_tables_that_are_missing_are_named(workspace):
    (workspace / "metrics/tables/eval/teacher/reliability.csv").unlink()
    with pytest.raises(UserError, match=r"reliability\.csv: cannot be read .*dvc repro"):
        gather()


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("eval/teacher/reliability.csv", lambda text: text.replace(",0.", ",x.", 1), "damaged"),
        ("eval/teacher/confusion.csv", lambda text: text + "unknown,unknown\n", "damaged .*classes.json"),
        ("eval/teacher/confusion.csv", lambda text: text.replace("actual", "truth", 1), "damaged"),
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

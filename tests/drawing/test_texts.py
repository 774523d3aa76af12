"""Names and titles in pictures: whole where there is room, else with an ellipsis; judged by their ink."""

import io
import itertools
import json
import xml.etree.ElementTree as ET
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from noisy_student.drawing import canvas, charts, fonts, galleries, pool
from noisy_student.drawing.canvas import save_chart
from noisy_student.inference.outcomes import Outcomes

LONG = "student-a-generation-of-a-very-long-name-indeed"
SCRIPTS = [
    "猫",
    "قطة",
    "แมว",
    "बिल्ली",
    "👩\u200d🔬",
    "x\u0302y",
    "חתול",
    "pick-up truck",
    "golden retriever of the north",
]
MATRIX = np.array([[143, 57], [60, 140]])


def ink(text, size, bold=False):
    """Pixels from the place of a text to the right end of what is drawn of it."""
    weight = "bold" if bold else "normal"
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="9000" height="60" font-family="{fonts.FONT}">'
        f'<text x="10" y="40" font-size="{size}" font-weight="{weight}">{fonts.escape(text)}</text></svg>'
    )
    drawn = np.asarray(Image.open(io.BytesIO(fonts.converter().svg_to_png(svg))))[..., 3].max(axis=0)
    return np.flatnonzero(drawn > 127).max(initial=9) - 9


@pytest.mark.parametrize("bold", [False, True])
@pytest.mark.parametrize(
    "text", ["pick-up truck", "Щука и Ёж", "Ελλάδα", "été à Łódź", "iiiiiiiiii", "WWWWWWWW", "U+732B 0.64"]
)
def test_the_width_of_a_text_is_that_of_its_ink(text, bold):
    assert fonts.text_width(text, 20, bold=bold) == pytest.approx(ink(text, 20, bold), rel=0.01, abs=2)


@pytest.mark.parametrize("name", [*SCRIPTS, LONG, "a", "W" * 50, "i" * 200])
@pytest.mark.parametrize("pixels", [40, 84, 160])
def test_a_short_name_fits_and_ends_in_an_ellipsis_only_if_it_was_too_long(name, pixels):
    shown, whole = fonts.shorten(name, pixels, size=12), fonts.printable(name)
    assert ink(shown, 12) <= pixels + 1
    if shown == whole:
        return
    assert ink(whole, 12) > pixels - 3
    begin, dots, end = shown.partition("…")
    assert (dots, end) == ("…", "")
    assert whole.startswith(begin)
    # no code point is cut: what is left is the beginning of the name, written out
    assert begin in {fonts.printable(name[:n]).rstrip() for n in range(len(name))}


def test_names_that_begin_alike_are_shown_differently():
    names = [f"{color} and white dog of the north" for color in ("black", "brown")]
    names += [f"n{i:08d} a dog of the north, number {i}" for i in range(300)]
    names += ["เสือ", "เสือดาว", "a" * 40 + "b" + "a" * 40, "a" * 40 + "c" + "a" * 40]
    for pixels in (60, 84, 160):
        for codes in (True, False):
            shown = fonts.shorten_all(names, pixels, codes=codes)
            assert list(shown) == names
            assert len(set(shown.values())) == len(names)
            assert all(ink(text, 12) <= pixels + 1 for text in list(shown.values())[::25] if codes)
    assert fonts.shorten_all(["dog of the north 1", "dog of the north 2"], 60) == {
        "dog of the north 1": "dog…rth 1",
        "dog of the north 2": "dog…rth 2",
    }


def test_a_browser_gets_the_characters_not_their_code_points():
    spec = charts.confusion("teacher", MATRIX, ["猫", "金毛寻回犬" * 9])
    (labels,) = spec["params"]
    assert labels["value"]["猫"] == "猫"
    assert labels["value"]["金毛寻回犬" * 9].startswith("金毛寻回犬")
    assert labels["value"]["金毛寻回犬" * 9].endswith("…")
    printed = canvas._printed(spec)
    assert json.dumps(printed).isascii() or "猫" not in json.dumps(printed, ensure_ascii=False)
    assert printed["params"][0]["value"]["U+732B"] == "U+732B"


def axis_labels(spec):
    """The labels of the axes as Vega draws them for a picture."""

    def walk(node):
        if isinstance(node, dict) and node.get("role") == "axis-label":
            yield from (item["text"] for item in node["items"])
        for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
            yield from walk(child)

    printed = json.dumps(canvas._printed(spec))
    return list(walk(fonts.converter().vegalite_to_scenegraph(printed, vl_version=canvas.VEGA_LITE)))


def test_axes_name_the_classes_by_code_point_and_with_an_ellipsis():
    names = ["猫", "pick-up truck", "a name that is much longer than there is room for it"]
    spec = charts.confusion("teacher", np.eye(3, dtype=int), names)
    found = axis_labels(spec)
    assert found[:3] == found[3:6]
    assert found[:2] == ["U+732B", "pick-up truck"]
    assert found[2].startswith("a name that is much")
    assert found[2].endswith("…")
    counts = [{"class": name, "images": 3, "when": when} for when in ("filtered", "balanced") for name in names]
    assert axis_labels(charts.class_counts(counts))[:3] == found[:3]


@pytest.fixture
def texts(monkeypatch):
    """The <text> elements of the sheets that are drawn."""
    elements = []

    def svg_to_png(svg):
        elements.extend(element for element in ET.fromstring(svg) if element.text)
        return fonts.converter().svg_to_png(svg)

    ours = SimpleNamespace(svg_to_png=svg_to_png, vegalite_to_png=fonts.converter().vegalite_to_png)
    monkeypatch.setattr(canvas, "converter", lambda: ours)
    return elements


def images(n):
    return np.random.default_rng(0).integers(0, 256, (n, 8, 8, 3), np.uint8)


def disagreement(path, names=SCRIPTS, n=200, **more):
    k, draw = len(names), np.random.default_rng(1)
    first, second, labels = (
        draw.dirichlet(np.full(k, 0.5), n),
        draw.dirichlet(np.full(k, 0.5), n),
        draw.integers(0, k, n),
    )
    first, second = Outcomes.of(first, labels), Outcomes.of(second, labels)
    galleries.disagreement_gallery(path, images(n), labels, first, second, names, **{"title": "T", **more})


def pseudo_labels(path, names=SCRIPTS, n=200):
    probs = np.random.default_rng(1).dirichlet(np.full(len(names), 0.5), n)
    truth = np.random.default_rng(2).integers(-1, len(names), n)
    pool.pseudo_label_gallery(path, images(n), probs, names, threshold=0.5, truth=truth)


def gained(path, names=SCRIPTS):
    cell = {"corruption": "glass_blur", "severity": 3, "clean": images(2)[0], "changed": images(2)[1], "label": 8}
    cells = [cell | {"first": k, "second": 8} for k in range(len(names))]
    galleries.gained_gallery(path, cells, first="teacher", second=LONG, class_names=names)


@pytest.mark.parametrize("draw", [disagreement, pseudo_labels, gained])
def test_captions_of_neighbours_never_overlap(tmp_path, texts, draw):
    draw(tmp_path / "a.png")
    lines = {}
    for element in texts:
        end = int(element.get("x")) + ink(element.text, element.get("font-size"), element.get("font-weight") == "bold")
        lines.setdefault(element.get("y"), []).append((int(element.get("x")), end))
    assert max(map(len, lines.values())) > 2
    for line in lines.values():
        line.sort()
        assert all(end < start for (_, end), (start, _) in itertools.pairwise(line))


def test_a_name_of_ordinary_length_is_whole_in_every_gallery(tmp_path, texts):
    names = ["pick-up truck", "sailing ship"]
    for draw in (disagreement, pseudo_labels):
        draw(tmp_path / "a.png", names)
        shown = [element.text for element in texts]
        assert {name for name in names if any(name in text for text in shown)} == set(names)
        assert not [text for text in shown if "…" in text]
        texts.clear()


def whole(path):
    """Whether nothing is cut: the outermost pixels are white."""
    with Image.open(path) as png:
        grey = np.asarray(png.convert("L"))
    return all((side == 255).all() for side in (grey[0], grey[-1], grey[:, 0], grey[:, -1]))


def curves(name):
    part = {f"{of}_{what}": 0.5 for of in ("train", "validation") for what in ("loss", "accuracy")}
    return [{"model": name, "step": step, **part} for step in (1, 2)]


def test_titles_are_whole_however_small_the_matrix_and_however_long_the_names(tmp_path, texts):
    models = [f"{LONG}{i}" for i in range(8)]
    rows = [{"corruption": "clean", "severity": 0, "error": 0.1}, {"corruption": "fog", "severity": 1, "error": 0.2}]
    bins = [{"model": m, "lower": 0, "upper": 1, "count": 1, "confidence": 0.5, "accuracy": 0.5} for m in models]
    specs = {
        "short": charts.confusion("teacher", MATRIX, ["0", "1"]),
        "small": charts.confusion(LONG, MATRIX, ["0", "1"]),
        "errors": charts.errors(LONG, rows),
        "severity": charts.error_by_severity(dict.fromkeys(models[:2], rows)),
        "curves": charts.learning_curves([row for m in models for row in curves(m)], {m: curves(m)[0] for m in models}),
        "reliability": charts.reliability(bins),
    }
    for name, spec in specs.items():
        save_chart(tmp_path / f"{name}.png", spec)
        assert whole(tmp_path / f"{name}.png"), name
        with Image.open(tmp_path / f"{name}.png") as png:
            for part, size in (("text", 14), ("subtitle", 12)):
                lines = spec["title"][part]
                for line in [lines] if isinstance(lines, str) else lines:
                    assert png.width / 1.5 > ink(line, size) + 8, name
            assert png.width < 1800, name
    gained(tmp_path / "b.png")
    assert whole(tmp_path / "b.png")


@pytest.mark.parametrize(("title", "below"), [(LONG, "b"), ("T", "猫" * 30), (LONG, LONG * 3)])
def test_a_sheet_is_as_wide_as_what_stands_above_it(tmp_path, texts, title, below):
    canvas.save_sheet(tmp_path / "a.png", title, [((), [(images(1)[0], ())])], below=below)
    ends = [int(e.get("x")) + ink(e.text, e.get("font-size"), e.get("font-weight") == "bold") for e in texts]
    assert len(ends) == 2
    with Image.open(tmp_path / "a.png") as png:
        assert max(ends) <= png.width - 16
        assert max(ends) > png.width - 60


@pytest.mark.parametrize("classes", [100, 1000])
def test_many_classes_make_pictures_that_can_be_opened(tmp_path, classes):
    names = [f"n{i:08d} a long name of a class, number {i}" for i in range(classes)]
    counts = [{"class": name, "images": 3, "when": when} for when in ("filtered", "balanced") for name in names]
    for spec in (charts.confusion("teacher", np.eye(classes, dtype=int), names), charts.class_counts(counts)):
        save_chart(tmp_path / "a.png", spec)
        assert whole(tmp_path / "a.png")
        with Image.open(tmp_path / "a.png") as png:
            assert max(png.size) < 3000

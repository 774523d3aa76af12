"""What colours, marks and scales of pictures say, the same in all of them."""

import json
import xml.etree.ElementTree as ET
from types import SimpleNamespace

import numpy as np
import pytest

from noisy_student.drawing import canvas, charts, fonts, galleries, pool
from noisy_student.inference.outcomes import Outcomes

NAMES = ["plane", "car", "cat"]
MODELS = ["teacher", *(f"student-gen{n}" for n in range(1, 12))]


@pytest.fixture
def texts(monkeypatch):
    """(text, colour) of what is written on the sheets that are drawn."""
    written = []

    def svg_to_png(svg):
        written.extend((element.text, element.get("fill")) for element in ET.fromstring(svg) if element.text)
        return fonts.converter().svg_to_png(svg)

    monkeypatch.setattr(canvas, "converter", lambda: SimpleNamespace(svg_to_png=svg_to_png))
    return written


def images(n):
    return np.random.default_rng(0).integers(0, 256, (n, 8, 8, 3), np.uint8)


def scales(spec):
    """{model: colour} of every scale of a chart that gives models their colours."""
    if isinstance(spec, dict) and spec.get("field") == "model":
        yield dict(zip(spec["scale"]["domain"], spec["scale"]["range"], strict=True))
    for part in spec.values() if isinstance(spec, dict) else spec if isinstance(spec, list) else ():
        yield from scales(part)


def charts_of(models):
    """A chart of every kind that shows several models."""
    part = {f"{of}_{what}": 0.5 for of in ("train", "validation") for what in ("loss", "accuracy")}
    curves = [{"model": model, "step": step, **part} for model in models for step in (1, 2)]
    bins = [{"model": m, "lower": 0, "upper": 1, "count": 1, "confidence": 0.5, "accuracy": 0.5} for m in models]
    rows = [{"corruption": name, "severity": 1, "error": 0.1} for name in ("clean", "fog")]
    attacked = [{"model": model, "attack": "fgsm", "epsilon": 0, "accuracy": 0.5} for model in models]
    return [
        charts.learning_curves(curves, dict.fromkeys(models, curves[0])),
        charts.reliability(bins),
        charts.error_by_severity(dict.fromkeys(models, rows)),
        charts.attacks(attacked),
    ]


def test_a_model_has_one_colour_in_every_chart_alone_or_with_others():
    expected = canvas.colours(MODELS)
    assert len(set(expected.values())) == 12
    for models in (MODELS, MODELS[:2], ["teacher", "student-gen7"], MODELS[3:4], MODELS[9:]):
        found = [scale for chart in charts_of(models) for scale in scales(chart)]
        assert len(found) >= 7
        assert all(scale == {model: expected[model] for model in models} for scale in found)


def test_captions_of_sheets_have_the_models_colours_whoever_is_wrong(tmp_path, texts):
    zeros = np.zeros(2, int)
    sure, wrong = (Outcomes.of(np.eye(3)[[k, k]], zeros) for k in (0, 1))
    color = canvas.colours(["teacher", "student-gen2"])
    for first, second in (("teacher", "student-gen2"), ("student-gen2", "teacher")):
        texts.clear()
        galleries.disagreement_gallery(
            tmp_path / "a.png", images(2), zeros, wrong, sure, NAMES, title="T", models=(first, second)
        )
        assert texts[1][0] == f"2 of 2 images; below each: the truth, × {first}, √ {second}"
        assert texts[2:5] == [
            ("plane", canvas.BLACK),
            ("× car 1.00", color[first]),
            ("√ plane 1.00", color[second]),
        ]
        texts.clear()
        cell = {"corruption": "fog", "severity": 3, "clean": images(2)[0], "changed": images(2)[1], "label": 0}
        cells = [cell | {"first": 1, "second": 0}]
        galleries.gained_gallery(tmp_path / "a.png", cells, first=first, second=second, class_names=NAMES)
        assert texts[-2:] == [(f"{first}: car", color[first]), (f"{second}: plane", color[second])]


def test_what_is_no_model_has_no_models_colour(tmp_path, texts):
    of_models = {color for color in canvas.colours(MODELS).values() if color != canvas.BLACK}
    bins = [
        {"lower": 0.5, "upper": 1, "label": label, "images": 3, "kept": 3} for label in ("right", "wrong", "unknown")
    ]
    counts = [{"class": name, "images": 3, "when": when} for when in ("filtered", "balanced") for name in NAMES]
    specs = [charts.confidence_histogram(bins, threshold=0.4), charts.class_counts(counts)]
    assert not [color for color in of_models for spec in specs if color in json.dumps(spec | {"config": None})]
    probs = np.random.default_rng(1).dirichlet(np.full(3, 0.5), 30)
    pool.pseudo_label_gallery(tmp_path / "a.png", images(30), probs, NAMES, threshold=0.5, truth=np.zeros(30, int))
    assert not [text for text, color in texts if color in of_models]


def test_wrong_pseudo_labels_are_marked_where_the_truth_is_known(tmp_path, texts):
    probs = np.array([[0.9, 0.1, 0.0], [0.0, 0.8, 0.2], [0.3, 0.1, 0.6], [0.0, 0.2, 0.8]])
    pool.pseudo_label_gallery(
        tmp_path / "a.png", images(4), probs, NAMES, threshold=0.5, truth=np.array([0, 2, -1, 0]), each=2
    )
    shown = [(text, color) for text, color in texts if text[0] in "√×01" and "kept" not in text and "wrong" not in text]
    assert shown == [
        ("√ 0.900", canvas.RIGHT),
        ("× 0.800", canvas.WRONG),
        ("× 0.800", canvas.WRONG),
        ("0.600", canvas.BLACK),
    ]
    assert texts[texts.index(("× 0.800", canvas.WRONG)) + 1] == ("cat", canvas.WRONG)  # what it shows
    counts = [text for text, _ in texts if text.endswith(("kept", "of them wrong"))]
    assert counts == [
        "1 of 1 kept", "0 of them wrong",
        "1 of 1 kept", "1 of them wrong",
        "2 of 2 kept", "1 of them wrong",
    ]  # fmt: skip
    texts.clear()
    pool.pseudo_label_gallery(tmp_path / "a.png", images(4), probs, NAMES, threshold=0.5, truth=np.full(4, -1))
    assert not [text for text, _ in texts if "×" in text or "wrong" in text]


def test_zeros_of_a_confusion_matrix_are_shown_while_numbers_are():
    spec = charts.confusion("teacher", np.diag(np.arange(25)), [f"c{k}" for k in range(25)])
    assert len(spec["data"]["values"]) == 625
    assert sum(row["images"] == 0 for row in spec["data"]["values"]) == 601
    large = charts.confusion("teacher", np.diag(np.arange(26)), [f"c{k}" for k in range(26)])
    assert len(large["data"]["values"]) == 25
    # cells without images have the colour that the legend has for 0
    assert large["view"]["fill"] == large["layer"][0]["encoding"]["color"]["scale"]["range"][0]


@pytest.mark.parametrize("highest", [0.03, 0.4, 1.0])
def test_scales_of_errors_end_at_the_highest(highest):
    rows = [{"corruption": "clean", "severity": 0, "error": 0.01}]
    rows += [{"corruption": "fog", "severity": s, "error": s * highest / 5} for s in (1, 3, 5)]
    heat = charts.errors("teacher", rows)
    assert heat["layer"][0]["encoding"]["color"]["scale"]["domain"] == [0, pytest.approx(highest)]
    lines = charts.error_by_severity({"teacher": rows, "student-gen1": rows[:2]})
    (domain,) = {tuple(layer["encoding"]["y"]["scale"]["domain"]) for layer in lines["spec"]["layer"][1:]}
    assert domain == (0, pytest.approx(highest))


def test_the_scale_of_errors_holds_the_clean_images_too():
    rows = [{"corruption": "clean", "severity": 0, "error": 0.5}, {"corruption": "fog", "severity": 1, "error": 0.0}]
    lines = charts.error_by_severity({"teacher": rows})
    assert lines["spec"]["layer"][1]["encoding"]["y"]["scale"]["domain"] == [0, 0.5]
    nothing = [row | {"error": 0.0} for row in rows]
    assert charts.errors("teacher", nothing)["layer"][0]["encoding"]["color"]["scale"]["domain"] == [0, 0.01]

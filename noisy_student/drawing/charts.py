"""Charts as Vega-Lite specifications: drawn as PNG by `canvas.save_chart`, and by the report's page.

Each has a title, and a description for those who cannot see it. Reference: https://vega.github.io/vega-lite/docs/
"""

import textwrap
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from noisy_student.drawing.canvas import (
    AFTER,
    BEFORE,
    BLACK,
    CYCLE,
    GREY,
    LABEL_PIXELS,
    LABEL_SIZE,
    LABELS,
    RIGHT,
    WRONG,
    colours,
)
from noisy_student.drawing.fonts import printable, shorten_all
from noisy_student.inference.metrics import calibration_error

SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
_LOOK = {
    "view": {"stroke": None},
    "title": {"anchor": "start", "fontSize": 14, "fontWeight": "normal", "subtitleFontSize": 12, "limit": 0},
    "axis": {"labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": "normal", "gridColor": "#e4e4e4"},
    "legend": {"labelFontSize": 12, "titleFontSize": 12, "labelLimit": 300, "orient": "bottom", "columns": 2},
    "header": {"labelFontSize": 12, "titleFontSize": 12},
    "range": {"category": list(CYCLE)},
}
_DOT = {"type": "point", "filled": True, "size": 24, "opacity": 1, "tooltip": True}
_MOST_NUMBERS = 25  # classes of a confusion matrix with a number in each cell; more cannot be read
_MOST_NAMES = 120  # classes on an axis
_TRUTH = {"right": ("right", RIGHT), "wrong": ("wrong", WRONG), "unknown": ("truth unknown", GREY)}
# from 0 to the highest share: ColorBrewer's Blues, of which Vega's scheme leaves out the lightest
_BLUES = ["#f7fbff", "#deebf7", "#c6dbef", "#9ecae1", "#6baed6", "#4292c6", "#2171b5", "#08519c", "#08306b"]
_LINE = 110  # characters of a title's line; charts are seldom wider
_COUNT = {"tickMinStep": 1}


def chart(title: str, rows: Iterable[Mapping], *, below: str = "", description: str = "", **spec: Any) -> dict:
    """A specification with what is common to all."""
    return {
        "$schema": SCHEMA,
        "title": {"text": _lines_of(title), "subtitle": _lines_of(below)},
        "description": description or f"{title}{'; ' * bool(below)}{below}",
        "data": {"values": list(rows)},
        "config": _LOOK,
        **spec,
    }


def _lines_of(text):
    """A text that fits, or its lines."""
    lines = textwrap.wrap(text, _LINE, break_long_words=False, break_on_hyphens=False)
    return lines if len(lines) > 1 else text


def axis(field: str, title: str | None, kind: str = "quantitative", **more: Any) -> dict:
    """The encoding of a field."""
    return {"field": field, "type": kind, "title": title, **more}


def by_model(models: Iterable[str]) -> dict:
    """The encoding of a model's colour."""
    scale = colours(models)
    return axis("model", None, "nominal", scale={"domain": list(scale), "range": list(scale.values())})


def _classes(field, title, names):
    """The encoding of classes in their order; how their names are shown says a parameter of the chart, `_labels`."""
    many = len(names) > 25 or max((len(printable(name)) for name in names), default=0) > 4
    look = {"labelExpr": f"{LABELS}[datum.label]", "labelLimit": 0, "labels": len(names) <= _MOST_NAMES}
    look |= {"labelFontSize": LABEL_SIZE if len(names) <= 30 else 9}
    turned = {"labelAngle": -90 if many and field != "true" else 0, "ticks": False}
    return axis(field, title, "nominal", sort=list(names), scale={"domain": list(names)}, axis=look | turned)


def _labels(names):
    """The parameter that shortens the classes' names for a browser; `canvas.save_chart` does it for our font."""
    shown = shorten_all(names, LABEL_PIXELS, size=LABEL_SIZE, codes=False) if len(names) <= _MOST_NAMES else {}
    return [{"name": LABELS, "value": shown}]


def _lines(dashed_by, encoding):
    """Layers: lines, dashed by a field, and their points; the legend then shows lines."""
    dash = axis(dashed_by, None, "nominal", sort=None)
    return [
        {"mark": "line", "encoding": encoding | {"strokeDash": dash}},
        {"mark": _DOT, "encoding": encoding | {"detail": {"field": dashed_by}}},
    ]


def learning_curves(rows: Sequence[dict], best: Mapping[str, Mapping]) -> dict:
    """Loss and accuracy over the steps, of training batches (dashed) and of validation images.

    Args:
        rows: model, step, train_loss, validation_loss, train_accuracy, validation_accuracy; without validation images
            the figures of these are None.
        best: {model: the row of the checkpoint that was kept}, without them then.
    """
    circled = {name: row for name, row in best.items() if "validation_accuracy" in row}
    kept = {"values": [{**row, "model": name} for name, row in circled.items()]}
    texts = [f"{name}: step {row['step']:.0f}, {row['validation_accuracy']:.2%} right" for name, row in circled.items()]
    others = [f"{name}: step {row['step']:.0f}" for name, row in best.items() if name not in circled]
    panels = []
    for quantity in ("loss", "accuracy"):
        place = {"x": axis("step", "step", axis=_COUNT), "color": by_model(best)}
        curve = {"y": axis(quantity, quantity, scale={"zero": quantity == "loss"})}
        point = place | {"y": axis(f"validation_{quantity}", quantity)}
        text = {"text": {"field": f"validation_{quantity}", "format": ".4f"}}
        layers = [
            *_lines("of", place | curve),
            {"data": kept, "mark": {"type": "point", "size": 130, "opacity": 1}, "encoding": point},
            {"data": kept, "mark": {"type": "text", "dy": -13}, "encoding": point | text},
        ]
        fold = {"fold": [f"validation_{quantity}", f"train_{quantity}"], "as": ["of", quantity]}
        kind = {"calculate": "datum.of[0] == 'v' ? 'validation images' : 'training batches'", "as": "of"}
        there = {"filter": f"isValid(datum.{quantity})"}  # no validation images, no line
        panels.append({"width": 320, "height": 240, "transform": [fold, there, kind], "layer": layers})
    below = [f"circled: what was kept ({'; '.join(texts)})"] * bool(texts)
    below += [f"no validation images, kept the last ({'; '.join(others)})"] * bool(others)
    return chart("Learning curves", rows, below="; ".join(below), hconcat=panels)


def confidence_histogram(rows: Sequence[dict], *, threshold: float, max_confidence: float = 1.0) -> dict:
    """How confident the teacher is on the unlabelled pool, and how often right, from `confidence.confidence_rows`."""
    counts = {
        label: [int(sum(row[key] for row in rows if label in (row["label"], "all"))) for key in ("images", "kept")]
        for label in ("all", "right", "wrong", "unknown")
    }
    images, kept = counts.pop("all")
    names = {k: f"{_TRUTH[k][0]}: {n:,} ({own:,} kept)" for k, (n, own) in counts.items() if n or not images}
    scale = {"domain": list(names.values()), "range": [_TRUTH[label][1] for label in names]}
    bars = {
        "x": axis("lower", "confidence (highest probability)", bin="binned", scale={"domain": [0, 1]}),
        "x2": {"field": "upper"},
        "y": axis("images", "images", stack="zero", axis=_COUNT),
        "color": axis("group", None, "nominal", scale=scale),
        "order": {"field": "label"},  # what is right lies below
    }
    rule = {"type": "rule", "strokeDash": [6, 4], "color": BLACK, "strokeWidth": 2}
    bounds = {"values": [{"bound": bound} for bound in (threshold, max_confidence) if bound < 1]}
    return chart(
        f"{kept:,} of {images:,} pseudo-labels kept ({kept / max(1, images):.1%})",
        [row | {"group": names[row["label"]]} for row in rows],
        below=f"dashed: threshold {threshold:g}" + f", and at most {max_confidence:g}" * (max_confidence < 1),
        width=640,
        height=260,
        layer=[
            {"mark": {"type": "bar", "tooltip": True, "stroke": "white", "strokeWidth": 0.5}, "encoding": bars},
            {"data": bounds, "mark": rule, "encoding": {"x": axis("bound", None)}},
        ],
    )


def class_counts(rows: Sequence[dict]) -> dict:
    """How many pseudo-labelled images each class has when they are "filtered" and when they are "balanced"."""
    names, totals = list(dict.fromkeys(row["class"] for row in rows)), {"filtered": 0, "balanced": 0}
    for row in rows:
        totals[row["when"]] += int(row["images"])
    shown = {
        "filtered": f"before balancing: {totals['filtered']:,}",
        "balanced": f"after balancing: {totals['balanced']:,}",
    }
    many = len(names) > _MOST_NAMES
    side_by_side = {} if many else {"xOffset": {"field": "when", "sort": None}}
    bar, step = {"type": "bar", "tooltip": True}, {"type": "line", "interpolate": "step", "strokeWidth": 1.2}
    return chart(
        "Confident pseudo-labels by class",
        [row | {"when": shown[row["when"]]} for row in rows],
        width=int(np.clip(40 * len(names), 240, 1600)),
        height=220,
        params=_labels(names),
        mark=step if many else bar,
        encoding={
            "x": _classes("class", "predicted class", names),
            **side_by_side,
            "y": axis("images", "images", axis=_COUNT),
            "color": axis("when", None, "nominal", sort=None, scale={"range": [BEFORE, AFTER]}),
        },
    )


def confusion(name: str, matrix: npt.ArrayLike, class_names: Sequence[str]) -> dict:
    """A model's confusion matrix, coloured by the share of each true class (a row), with the counts where they fit.

    Cells without any image are not drawn where the counts do not fit: they have the colour of the ground.
    """
    matrix = np.asarray(matrix)
    numbers = len(matrix) <= _MOST_NUMBERS
    total = np.maximum(1, matrix.sum(axis=1))
    rows = [
        {"true": class_names[i], "predicted": class_names[j], "images": int(matrix[i, j])}
        | {"share": float(matrix[i, j] / total[i])}
        for i, j in np.argwhere((matrix > 0) | numbers)
    ]
    line = 11 if len(matrix) <= _MOST_NAMES else 1  # pixels that a class needs
    side = int(np.clip(36 * len(matrix), 180, max(720, line * len(matrix))))
    share = axis("share", "share of the true class", scale={"range": _BLUES, "domain": [0, 1]})
    cells = {"mark": {"type": "rect", "tooltip": True}, "encoding": {"color": share}}
    right = f"{np.trace(matrix):,} of {matrix.sum():,}"
    return chart(
        f"{name}: {right} right",
        rows,
        description=f"Confusion matrix of {name}: {right} test images right",
        width=side,
        height=side,
        params=_labels(class_names),
        view={"fill": _BLUES[0], "stroke": None},
        encoding={x: _classes(field, field, class_names) for x, field in (("x", "predicted"), ("y", "true"))},
        layer=[cells, _cell_text("images", half=0.5)] if numbers else [cells],
    )


def _cell_text(field, form="", *, half):
    """The number in each cell of a matrix, to be read on its colour, which is dark from `half` of the scale on."""
    white = {"test": f"(datum.share || datum.error || 0) > {half}", "value": "white"}
    text = {"field": field, "type": "quantitative", "format": form}
    return {"mark": {"type": "text", "fontSize": 11}, "encoding": {"text": text, "color": {"condition": white}}}


def reliability(rows: Sequence[dict[str, Any]]) -> dict:
    """Accuracy against confidence, and how many images each bin holds.

    Args:
        rows: model, lower, upper, count, confidence and accuracy, the last two empty where the count is 0.
    """
    tables = {name: [row for row in rows if row["model"] == name] for name in dict.fromkeys(r["model"] for r in rows)}
    images = {name: sum(row["count"] for row in table) for name, table in tables.items()}
    errors = ", ".join(f"{name} {calibration_error(table):.3f}" for name, table in tables.items() if images[name])
    shown = [{**row, "share": row["count"] / max(1, images[row["model"]])} for row in rows]
    whole, title = {"domain": [0, 1]}, "confidence (highest probability)"
    x, y, color = axis("confidence", title, scale=whole), axis("accuracy", "accuracy", scale=whole), by_model(tables)
    diagonal = {
        "data": {"values": [{"confidence": end, "accuracy": end} for end in (0, 1)]},
        "mark": {"type": "line", "strokeDash": [6, 4], "color": GREY, "strokeWidth": 1},
        "encoding": {"x": x, "y": y},
    }
    curve = {"transform": [{"filter": "datum.count > 0"}], "encoding": {"x": x, "y": y, "color": color}}
    share = {
        "x": x | {"field": "lower"},
        "x2": {"field": "upper"},
        "y": axis("share", "share of images"),
        "color": color,
    }
    return chart(
        "Reliability: accuracy of test images by confidence",
        shown,
        below=f"calibration error: {errors}",
        vconcat=[
            {"width": 400, "height": 300, "layer": [diagonal, curve | {"mark": "line"}, curve | {"mark": _DOT}]},
            {"width": 400, "height": 90, "mark": {"type": "rule", "strokeWidth": 2}, "encoding": share},
        ],
    )


def _corruptions(rows, extra, **more):
    """The rows below the first, which is that of clean images, with names as they are shown."""
    return [
        {"corruption": row["corruption"].replace("_", " ") + " (extra)" * (row["corruption"] in extra)}
        | {"severity": row["severity"], "error": row["error"], "clean": rows[0]["error"], **more}
        for row in rows[1:]
    ]


def error_by_severity(tables: Mapping[str, Sequence[dict]], *, extra: Collection[str] = ()) -> dict:
    """The error over the severity of each corruption; dotted: of clean images.

    Args:
        tables: {model: rows of corruption, severity and error, the clean images first}.
        extra: corruptions that do not count in the mean.
    """
    rows = [row for model, table in tables.items() for row in _corruptions(table, extra, model=model)]
    color, scale = by_model(tables), {"domain": [0, _highest(rows, "error", "clean")], "nice": 4}
    lines = {
        "x": axis("severity", "severity", axis={"tickMinStep": 1}),
        "y": axis("error", "error", scale=scale, axis={"tickCount": 4}),
        "color": color,
    }
    clean = {"y": {"aggregate": "mean", "field": "clean", "type": "quantitative"}, "color": color}
    layers = [
        {"mark": {"type": "rule", "strokeDash": [2, 3]}, "encoding": clean},
        {"mark": "line", "encoding": lines},
        {"mark": _DOT, "encoding": lines},
    ]
    order = list(dict.fromkeys(row["corruption"] for row in rows))
    return chart(
        f"Error by corruption and severity: {', '.join(tables)}",
        rows,
        below="dotted: clean images",
        facet=axis("corruption", None, "nominal", sort=order, header={"labelAnchor": "start"}),
        columns=5,
        spec={"width": 130, "height": 90, "layer": layers},
    )


def _highest(rows, *fields):
    """The end of a scale from 0 on: the highest value; one in a hundred, if nothing is higher."""
    return max([0.01, *(row[field] for row in rows for field in fields)])


def errors(name: str, rows: Sequence[dict], *, extra: Collection[str] = ()) -> dict:
    """The errors of a model as a table of coloured cells, corruptions by severities; see `error_by_severity`."""
    shown = _corruptions(rows, extra)
    highest = _highest(shown, "error")
    color = axis("error", "error", scale={"range": _BLUES, "domain": [0, highest]})
    return chart(
        f"Error, {name}",
        shown,
        below=f"clean images: {rows[0]['error']:.3f}",
        width={"step": 60},
        height={"step": 24},
        encoding={
            "x": axis("severity", "severity", "ordinal", axis={"labelAngle": 0}),
            "y": axis("corruption", None, "nominal", sort=None),
        },
        layer=[
            {"mark": {"type": "rect", "tooltip": True}, "encoding": {"color": color}},
            _cell_text("error", ".2f", half=highest / 2),
        ],
    )


def attacks(rows: Sequence[dict]) -> dict:
    """Accuracy on attacked images, by model, attack and epsilon (in grey levels)."""
    place = {
        "x": axis("epsilon", "largest change of a value, in grey levels of 255", "ordinal", axis={"labelAngle": 0}),
        "y": axis("accuracy", "accuracy", scale={"domain": [0, 1]}),
        "color": by_model(dict.fromkeys(row["model"] for row in rows)),
    }
    shown = [row | {"attack": row["attack"].upper()} for row in rows]
    return chart("Accuracy on attacked images", shown, width=480, height=260, layer=_lines("attack", place))

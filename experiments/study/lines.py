"""The picture of a study with `over`: accuracy over a parameter, as a rule the number of labels, a line a model."""

from collections.abc import Sequence
from itertools import cycle, pairwise
from typing import Any

import numpy as np

from experiments.study.findings import Findings
from experiments.study.statistics import Estimate, mean_over_seeds
from noisy_student.drawing.canvas import BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILLION
from noisy_student.drawing.charts import axis, chart

# Okabe and Ito's, in the order of the lines: the teacher and controls, students from light to dark; dashes tell peers
# apart too, and every line has its name at its end
_COLOURS = (GREY, VERMILLION, ORANGE, PURPLE)
_STUDENTS = (SKY, "#3A8FC7", BLUE)  # the last one is always the same
_USE = "inductive"  # peers that have not seen the test images, as our models have not
_OF_PEERS = {
    ("LabelSpreading, 7-NN, converged", _USE): "#8C510A",
    ("SelfTrainingClassifier", _USE): GREEN,
}
_WIDTH, _HEIGHT = 520, 380  # pixels
_LETTERS = 14  # pixels from a name to the one below
_APART = 1.012  # factor on the horizontal axis between the bars of two lines


def are_there(findings: Findings) -> bool:
    """Whether there are lines to draw: rows of arms at two values at least."""
    values = {findings.value_over(arm) for arm in findings.rows if findings.study.arms[arm].line}
    return len(values - {None}) > 1


def lines(findings: Findings) -> dict[str, Any]:
    """Means over seeds with their 95 % intervals, as Vega-Lite; an arm without a number is a level.

    A line joins neighbouring values only. Peers below all of ours are left out, and told.
    """
    points, levels, drawn = [], [], _lines_of(findings)
    for place, (name, (color, dashed, by_x)) in enumerate(drawn.items()):
        for x, estimate in by_x.items():
            look = {"line": name, "color": color, "dashed": dashed}
            if x is None:
                levels.append(look | {"mean": estimate.mean})
                continue
            shifted = x * _APART ** (place - (len(drawn) - 1) / 2)
            low, high = ((estimate.mean if end != end else end) for end in (estimate.low, estimate.high))  # NaN: none
            points.append(
                look | {"x": x, "shifted": shifted, "mean": estimate.mean, "low": low, "high": min(100, high)}
            )
    values = sorted({point["x"] for point in points})
    bottom = 10 * int(max(0, min(point["low"] for point in points if not point["dashed"])) // 10)
    top = 10 * -int(-max([point["high"] for point in points] + [level["mean"] for level in levels]) // 10)
    _number_the_parts(points, values)
    scales = {"x": [values[0] / 1.1, values[-1] * 1.1], "y": [bottom, min(100, top)]}
    return chart(
        f"{findings.study.question} ({findings.preset})",
        [],
        below="; ".join(_explained(points, levels, bottom)),
        description="Test accuracy over the number of labels, a line a model: " + "; ".join(_told(points)),
        width=_WIDTH,
        height=_HEIGHT,
        view={"stroke": None},
        layer=_layers(points, levels, values, scales),
    )


def _number_the_parts(points, values):
    """Give the points of a line between which a value is missing different parts; in the order of the values."""
    for name in {point["line"] for point in points}:
        own = sorted((point for point in points if point["line"] == name), key=lambda point: point["x"])
        for number, point in enumerate(own):
            point["part"] = values.index(point["x"]) - number


def _explained(points, levels, bottom):
    """What the picture's marks are, as far as they are in it."""
    yield "means over seeds with 95 % intervals"
    if any(point["dashed"] for point in points):
        yield "dashed: scikit-learn on the same pixels"
    if levels:
        yield f"dotted: {', '.join(level['line'] for level in levels)}"
    for point in points:
        if point["mean"] < bottom:
            yield f"below the picture: {point['line']}, {point['mean']:.0f} % at {point['x']:g}"


def _lines_of(findings):
    """{name: (colour, whether dashed, {x: Estimate in percent})}, first those of arms, then peers."""
    study = findings.study
    found: dict[str, dict[float | None, Estimate]] = {}
    for key in findings.rows:
        line = study.arms[key].line
        if line:
            by_x = found.setdefault(line, {})
            by_x[findings.value_over(key)] = mean_over_seeds(100 * findings.by_seed(key))
    students = [name for name in found if name.startswith("student")]
    colours = dict(zip(reversed(students), cycle(reversed(_STUDENTS)), strict=False))
    colours |= dict(zip([name for name in found if name not in students], cycle(_COLOURS), strict=False))
    drawn = {name: (BLACK if None in by_x else colours[name], False, by_x) for name, by_x in found.items()}
    return drawn | {
        key[0]: (_OF_PEERS[key], True, {x: mean_over_seeds(100 * np.array(shares)) for x, shares in by_x.items()})
        for key, by_x in findings.of_peers().items()
        if key in _OF_PEERS
    }


def _layers(points, levels, values, scales):
    ticks = {"values": values, "grid": False, "format": ",d"}
    x = axis("x", "labelled images (logarithmic)", scale={"type": "log", "domain": scales["x"]}, axis=ticks)
    y = axis("mean", "test accuracy, %", scale={"domain": scales["y"]})
    color = {"field": "color", "type": "nominal", "scale": None}
    dash = {"condition": {"test": "datum.dashed", "value": [5, 4]}, "value": [1, 0]}
    shifted = x | {"field": "shifted"}
    ends = _names_apart([point for point in points if point["x"] == values[-1]] + levels, scales["y"])
    line = {"x": shifted, "y": y, "color": color, "detail": [{"field": "line"}, {"field": "part"}], "strokeDash": dash}
    bar = {"x": shifted, "y": y | {"field": "low"}, "y2": {"field": "high"}, "color": color}
    level = {"y": y, "color": color}
    name = {"y": y | {"field": "place"}, "text": {"field": "line"}, "color": color, "x": {"value": _WIDTH}}
    return [
        {
            "data": {"values": levels},
            "mark": {"type": "rule", "strokeDash": [1, 3], "strokeWidth": 2},
            "encoding": level,
        },
        {
            "data": {"values": points},
            "mark": {"type": "rule", "strokeWidth": 1, "opacity": 0.6, "clip": True},
            "encoding": bar,
        },
        {"data": {"values": points}, "mark": {"type": "line", "strokeWidth": 2.2, "clip": True}, "encoding": line},
        {
            "data": {"values": [point for point in points if point["mean"] >= scales["y"][0]]},
            "mark": {"type": "point", "filled": True, "size": 30, "opacity": 1, "tooltip": True},
            "encoding": {"x": shifted, "y": y, "color": color},
        },
        {
            "data": {"values": ends},
            "mark": {"type": "text", "align": "left", "dx": 8, "fontSize": 12, "fontWeight": "bold"},
            "encoding": name,
        },
    ]


def _names_apart(ends: Sequence[dict], domain: Sequence[float]) -> list[dict]:
    """The ends of lines with the `place`, on the vertical axis, of their names: in order, none upon another."""
    least = _LETTERS * (domain[1] - domain[0]) / _HEIGHT
    ordered = sorted(ends, key=lambda end: -end["mean"])
    places = [min(end["mean"], domain[1]) for end in ordered]
    for upper, lower in pairwise(range(len(places))):
        places[lower] = min(places[lower], places[upper] - least)
    return [end | {"place": place} for end, place in zip(ordered, places, strict=True)]


def _told(points):
    """A line's name with its values, for those who do not see the picture."""
    for name in dict.fromkeys(point["line"] for point in points):
        own = ", ".join(f"{point['mean']:.1f} % at {point['x']:g}" for point in points if point["line"] == name)
        yield f"{name} {own}"

"""The picture of a study: every seed, means, and differences to the control with their intervals."""

from typing import Any

import numpy as np

from experiments.study.findings import Findings
from experiments.study.statistics import mean_over_seeds, within_90
from noisy_student.drawing.canvas import BLACK, BLUE, GREEN, GREY, VERMILLION
from noisy_student.drawing.charts import axis, chart

_BAR = {"type": "rule", "strokeWidth": 2}  # of an interval of 95 %
_THICK = {"type": "rule", "strokeWidth": 5}  # of 90 %, by which "equivalent" is said
_BAND = {"type": "rect", "opacity": 0.15, "color": GREY, "description": "differences that are of no interest"}
_COLOURS = {"better": BLUE, "worse": VERMILLION, "equivalent": GREEN, "undecided": BLACK}


def arms(findings: Findings) -> dict[str, Any]:
    """Test accuracies by arm and seed, and the differences to the control, as Vega-Lite."""
    names = {arm: findings.shown(arm) for arm in findings.rows}
    seeds = [{"arm": name, "value": 100 * value} for arm, name in names.items() for value in findings.by_seed(arm)]
    means = [
        _interval(name, mean_over_seeds(100 * findings.by_seed(arm)), 1, ends=(0, 100)) for arm, name in names.items()
    ]
    compared = findings.compared_first()
    differences = [
        _interval(names[arm], one.over_seeds, 100, colour=_COLOURS[one.verdict]) for arm, one in compared.items()
    ]
    inner = [
        _interval(names[arm], within_90(one.over_seeds), 100, colour=_COLOURS[one.verdict])
        for arm, one in compared.items()
    ]
    smallest = {arm: findings.study.smallest_with(findings.preset, arm) for arm in names}
    bands = [{"arm": names[arm], "low": -points, "high": points} for arm, points in smallest.items()]
    controls = [{"arm": names[arm], "value": 0} for arm in dict.fromkeys(one.control for one in findings.compared())]
    arm = axis("arm", None, "nominal", sort=list(names.values()), scale={"domain": list(names.values())})
    dot = {"type": "point", "filled": True, "opacity": 1, "tooltip": True, "size": 24, "color": GREY, "yOffset": 7}
    diamond = dot | {"shape": "diamond", "size": 80, "color": BLACK, "yOffset": 0}
    hollow = diamond | {"filled": False, "color": GREY}
    line = {"type": "rule", "strokeDash": [6, 4], "color": BLACK, "description": "no difference"}
    zero = {"data": {"values": [{}]}, "mark": line, "encoding": {"x": {"datum": 0}}}
    labels = {"labelLimit": 400, "grid": True}
    return chart(
        f"{findings.study.question} ({findings.preset})",
        [],
        below="dots: seeds; diamonds and thin bars: means with 95 % intervals, thick bars: 90 %; hollow: controls; "
        "grey: differences of no interest; blue: better, orange: worse, black: undecided, green: equivalent (the thick "
        "bar lies within the grey)",
        description=f"{findings.study.question} Left: test accuracy of every seed (dots) and the mean. Right: "
        "difference to the control with its 95 % and 90 % intervals, and the band of those that are of no interest.",
        hconcat=[
            _panel("test accuracy, %", arm | {"axis": labels}, (dot, seeds), (_BAR, means), (diamond, means)),
            _panel(
                "difference to its control, points",
                arm | {"axis": {"labels": False, "ticks": False, "grid": True, "zindex": 0}},
                *((_BAND, bands), (hollow, controls), (_BAR, differences), (_THICK, inner), (diamond, differences)),
                first=[zero],
            ),
        ],
    )


def _interval(arm, estimate, factor, ends=(-np.inf, np.inf), colour=BLACK):
    """A row: a mean with its interval, where there is one, and the colour that says what it decides."""
    mean = factor * estimate.mean
    low, high = np.clip(np.nan_to_num([factor * estimate.low, factor * estimate.high], nan=mean), *ends)
    return {"arm": arm, "value": float(mean), "low": float(low), "high": float(high), "side": colour}


def _panel(title, arm, *layers, first=()):
    """Marks and their rows, over the arms."""
    below = {"zindex": 0}  # the grid: Vega-Lite draws it above rectangles, and above all else with them
    scale = {"zero": False, "padding": 8, "nice": False}  # marks at the ends are whole, and no accuracy is above 100 %
    x = axis("value", title, scale=scale, axis=below)
    color = {"field": "side", "type": "nominal", "scale": None}
    drawn = []
    for mark, rows in layers:
        ends = {"x": x | {"field": "low"}, "x2": {"field": "high"}} if mark in (_BAR, _THICK, _BAND) else {"x": x}
        own = {"color": color} if rows and "side" in rows[0] else {}
        drawn.append({"data": {"values": rows}, "mark": mark, "encoding": {"y": arm, **ends, **own}})
    return {"width": 280, "height": {"step": 30}, "layer": [*first, *drawn]}

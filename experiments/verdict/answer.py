"""The answer in one sentence, and as a picture."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from experiments.study.statistics import FEWEST_SEEDS, Estimate, difference_over_seeds, seeds_needed
from experiments.study.wording import rounded
from experiments.verdict.outside import Outside
from noisy_student.drawing.canvas import BLACK, BLUE, GREY, VERMILLION
from noisy_student.drawing.charts import axis, chart
from noisy_student.runtime.types import Floats

SHOWN = {"teacher": "teacher", "noise": "noise alone, equal compute", "student": "self-training, last student"}
_COLOURS = {"teacher": GREY, "noise": VERMILLION, "student": BLUE}
_MOST = 100  # seeds that are worth naming


def sentence(accuracies: Mapping[str, Floats], *, labels: int) -> str:
    """What the runs say, without a full stop.

    Args:
        accuracies: {arm: (n,) in [0, 1], by seed}.
        labels: how many were used.
    """
    difference = difference_over_seeds(accuracies["student"], accuracies["noise"])
    points, of = rounded(abs(100 * difference.mean), 1), f"{labels:,} labels, {difference.n} seeds"
    signed = rounded(100 * difference.mean, 1, sign="+")
    if difference.n < FEWEST_SEEDS:
        what = "above" if difference.mean >= 0 else "below"
        count = "one seed" if difference.n == 1 else f"{difference.n} seeds"
        return f"self-training ends {points} points {what} noise alone, {labels:,} labels, {count}: no verdict"
    if np.isnan(difference.low):
        same = "self-training and noise alone differ by the same"
        return (
            f"{same} {rounded(100 * difference.mean, 1, sign='+')} points on every seed, so there is no interval, {of}"
        )
    low, high = rounded(100 * difference.low, 1), rounded(100 * difference.high, 1)
    if difference.low > 0:
        return f"self-training adds {points} points over noise alone, 95 % interval {low} to {high}, {of}"
    if difference.high < 0:
        span = f"{rounded(-100 * difference.high, 1)} to {rounded(-100 * difference.low, 1)}"
        return f"self-training loses {points} points against noise alone, 95 % interval {span}, {of}"
    return (
        f"self-training is statistically indistinguishable from noise alone: {signed} points, 95 % interval "
        f"{low} to {high}, {of}; a difference of this size needs {_needed(difference)}"
    )


def _needed(difference: Estimate) -> str:
    needed = seeds_needed(difference.deviation, difference.mean, most=_MOST)
    return f"more than {_MOST} seeds" if needed > _MOST else f"about {needed} seeds (power 0.8)"


def outside_sentence(estimates: list[Outside]) -> str:
    """How many images of the pool belong to no class, without a full stop; the means over seeds, of bounds too."""
    if not estimates:
        return (
            "How many images of the pool belong to no class is not told where pseudolabel.noise or "
            "test_time_augmentation changes what the teacher says of them"
        )
    share, low, high = (100 * np.mean([getattr(one, name) for one in estimates]) for name in ("share", "low", "high"))
    counts = {one.images for one in estimates}
    return (
        f"about {share:.0f} % of the {max(counts):,} images of the pool belong to no class "
        f"(95 % interval of a seed: {low:.0f} to {high:.0f}; how far such estimates are off: docs/verdict.md)"
    )


def picture(accuracies: Mapping[str, Floats], said: str) -> dict[str, Any]:
    """Test accuracies by arm, a line a seed, as Vega-Lite."""
    rows = [
        {"arm": SHOWN[arm], "seed": seed, "value": 100 * float(value), "color": _COLOURS[arm]}
        for arm, values in accuracies.items()
        for seed, value in enumerate(values)
    ]
    means = [
        {"arm": SHOWN[arm], "value": 100 * float(np.mean(values)), "color": _COLOURS[arm]}
        for arm, values in accuracies.items()
    ]
    arm = axis("arm", None, "nominal", sort=list(SHOWN.values()), axis={"labelAngle": 0, "labelLimit": 260})
    place = {"x": arm, "y": axis("value", "test accuracy, %", scale={"zero": False, "padding": 12})}
    color = {"color": {"field": "color", "type": "nominal", "scale": None}}
    text = {"text": {"field": "value", "type": "quantitative", "format": ".1f"}}
    line = {"type": "line", "color": BLACK, "opacity": 0.35, "strokeWidth": 1}
    dot, tick = {"type": "point", "filled": True, "size": 36}, {"type": "tick", "width": 60, "thickness": 3}
    return chart(
        "Does self-training pay on these images?",
        [],
        below=f"{said} (thin lines: seeds; ticks: means)",
        width=560,
        height=280,
        layer=[
            {"data": {"values": rows}, "mark": line, "encoding": place | {"detail": {"field": "seed"}}},
            {
                "data": {"values": rows},
                "mark": dot,
                "encoding": place | color,
            },
            {
                "data": {"values": means},
                "mark": tick,
                "encoding": place | color,
            },
            {
                "data": {"values": means},
                "mark": {"type": "text", "dx": 34, "align": "left", "fontSize": 13, "fontWeight": "bold"},
                "encoding": place | color | text,
            },
        ],
    )

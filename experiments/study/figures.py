"""The picture of a study: every seed, means, and differences to the control with their intervals."""

from textwrap import fill

import numpy as np

from experiments.study.statistics import mean_over_seeds
from noisy_student.drawing.canvas import BLACK, BLUE, GREY, VERMILLION, png

_LINE = 0.36  # inches an arm
_CHARACTERS = 40  # of a line of an arm's name


def arms(path, findings):
    """Draw test accuracies by arm and seed, and the differences to the control.

    Args:
        path: PNG to write.
        findings: findings.Findings.
    """
    keys, compared = list(findings.rows), findings.compared_first()
    with png(path, width=9, height=1.5 + _LINE * len(keys)) as figure:
        left, right = figure.subplots(1, 2, sharey=True)
        for place, arm in enumerate(keys):
            values = 100 * findings.values(arm)
            found = mean_over_seeds(values)
            spread = place + np.linspace(-0.16, 0.16, len(values)) if len(values) > 1 else [place]
            left.plot(values, spread, "o", color=GREY, markersize=3.5, label="a seed" if not place else None)
            _estimate(left, found, place, BLACK, "mean, 95 % interval" if not place else None)
            if arm in compared:
                one = compared[arm].over_seeds
                scaled = (100 * one.mean, 100 * one.low, 100 * one.high)
                color = BLUE if one.low > 0 else VERMILLION if one.high < 0 else BLACK
                _bar(right, *scaled, place, color)
        right.axvline(0, color=BLACK, linewidth=1, linestyle="--")
        controls = [keys.index(key) for key in sorted({one.control for one in findings.compared()})]
        right.plot([0] * len(controls), controls, "D", color=BLACK, markersize=5)
        left.set_yticks(range(len(keys)), [fill(findings.shown(arm), _CHARACTERS) for arm in keys])
        left.set_ylim(len(keys) - 0.5, -0.5)
        left.set(xlabel="test accuracy, %")
        right.set(xlabel="difference to its control, points")
        for axes in (left, right):
            axes.grid(axis="x")
        figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=2)
        figure.suptitle(f"{findings.study.question} ({findings.preset})", x=0.01, ha="left")


def _estimate(axes, found, place, color, label):
    _bar(axes, found.mean, *np.clip([found.low, found.high], 0, 100), place, color, label)


def _bar(axes, mean, low, high, place, color, label=None):
    low, high = np.nan_to_num([low, high], nan=mean)
    axes.errorbar(
        mean,
        place,
        xerr=[[mean - low], [high - mean]],
        fmt="D",
        color=color,
        capsize=3,
        markersize=5,
        label=label,
    )

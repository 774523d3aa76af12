"""Numbers and differences as texts."""

from decimal import ROUND_HALF_UP, Decimal

import numpy as np

from experiments.study.statistics import Estimate

_INDICATIVE = 3  # seeds below which a result only hints


def rounded(value: float, digits: int = 2, sign: str = "") -> str:
    """A number as text, the same whichever sum of floats it stems from: 75.645 and 75.64499999999999.

    Args:
        digits: after the point.
        sign: "+" shows the sign of positive values too.
    """
    exact = Decimal(repr(round(float(value), 9) + 0.0))  # + 0.0: no negative zero
    return f"{exact.quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP) + 0:{sign}f}"


def duration(seconds: float) -> str:
    """Seconds as text, in seconds, minutes or hours."""
    if seconds < 120:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 7200 else f"{seconds / 3600:.1f} hours"


def mean_and_deviation(share: Estimate) -> str:
    """A share as "MEAN (DEVIATION)" in percent, the mean alone of one value."""
    deviation = "" if np.isnan(share.deviation) else f" ({rounded(100 * share.deviation)})"
    return f"{rounded(100 * share.mean)}{deviation}"


def interval(estimate: Estimate, sign: str = "", factor: float = 100, most: float = np.inf) -> str:
    """An interval as "LOW to HIGH", empty without one.

    Args:
        sign: "+" shows the sign of positive values too.
        factor: by which values are multiplied first.
        most: what there can be at most; the interval is cut there.
    """
    if np.isnan(estimate.low):
        return ""
    return f"{rounded(factor * estimate.low, sign=sign)} to {rounded(min(most, factor * estimate.high), sign=sign)}"


def told_apart(difference: Estimate) -> str:
    """What one difference over seeds shows, in a word or two."""
    if np.isnan(difference.low):
        return "one seed" if difference.n < 2 else "no interval"
    if difference.n < _INDICATIVE:
        return "indicative"
    return "better" if difference.low > 0 else "worse" if difference.high < 0 else "not told apart"


def verdict(arm: str, control: str, difference: Estimate) -> str:
    """What may be concluded of one difference over seeds, in words; arm and control as tables call them."""
    low, high = 100 * difference.low, 100 * difference.high
    gain = f"{arm}, against {control}: {rounded(100 * difference.mean, sign='+')} points"
    measured = f"{gain} (95 %: {interval(difference, sign='+')}, {difference.n} seeds). "
    match told_apart(difference):
        case "one seed":
            return f"{gain}, one seed only: nothing can be concluded."
        case "no interval":
            spread = "their spread cannot be told, so nothing can be concluded"
            return f"{gain} on each of {difference.n} seeds: {spread}."
        case "indicative":
            return f"{measured}Two seeds only: indicative, nothing more."
        case "better":
            return f"{measured}Better, by at least {rounded(low)} points according to the interval."
        case "worse":
            return f"{measured}Worse, by at least {rounded(-high)} points according to the interval."
    worse, better = rounded(max(0.0, -low)), rounded(max(0.0, high))
    return f"{measured}Not told apart: from {worse} points worse to {better} better."

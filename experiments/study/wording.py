"""Numbers and differences as texts."""

from decimal import ROUND_HALF_UP, Decimal

import numpy as np

_INDICATIVE = 3  # seeds below which a result only hints


def rounded(value, digits=2, sign=""):
    """A number as text, the same whichever sum of floats it stems from: 75.645 and 75.64499999999999.

    Args:
        value: float.
        digits: after the point.
        sign: "+" shows the sign of positive values too.
    """
    exact = Decimal(repr(round(float(value), 9) + 0.0))  # + 0.0: no negative zero
    return f"{exact.quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP) + 0:{sign}f}"


def duration(seconds):
    """Seconds as text, in seconds, minutes or hours."""
    if seconds < 120:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 7200 else f"{seconds / 3600:.1f} hours"


def mean_and_deviation(found):
    """A share as "MEAN (DEVIATION)" in percent, the mean alone of one value; `found`: Estimate."""
    deviation = "" if np.isnan(found.deviation) else f" ({rounded(100 * found.deviation)})"
    return f"{rounded(100 * found.mean)}{deviation}"


def interval(found, sign="", factor=100, most=np.inf):
    """An interval as "LOW to HIGH", empty without one.

    Args:
        found: Estimate.
        sign: "+" shows the sign of positive values too.
        factor: by which values are multiplied first.
        most: what there can be at most; the interval is cut there.
    """
    if np.isnan(found.low):
        return ""
    return f"{rounded(factor * found.low, sign=sign)} to {rounded(min(most, factor * found.high), sign=sign)}"


def told_apart(found):
    """What one difference over seeds shows, in a word or two.

    Args:
        found: Estimate.
    """
    if np.isnan(found.low):
        return "one seed" if found.n < 2 else "no interval"
    if found.n < _INDICATIVE:
        return "indicative"
    return "better" if found.low > 0 else "worse" if found.high < 0 else "not told apart"


def verdict(arm, control, found):
    """What may be concluded of one difference, in words.

    Args:
        arm, control: what tables call them.
        found: Estimate of the difference over seeds.
    """
    low, high = 100 * found.low, 100 * found.high
    start = f"{arm}, against {control}: {rounded(100 * found.mean, sign='+')} points"
    measured = f"{start} (95 %: {interval(found, sign='+')}, {found.n} seeds). "
    match told_apart(found):
        case "one seed":
            return f"{start}, one seed only: nothing can be concluded."
        case "no interval":
            spread = "their spread cannot be told, so nothing can be concluded"
            return f"{start} on each of {found.n} seeds: {spread}."
        case "indicative":
            return f"{measured}Two seeds only: indicative, nothing more."
        case "better":
            return f"{measured}Better, by at least {rounded(low)} points according to the interval."
        case "worse":
            return f"{measured}Worse, by at least {rounded(-high)} points according to the interval."
    worse, better = rounded(max(0.0, -low)), rounded(max(0.0, high))
    return f"{measured}Not told apart: from {worse} points worse to {better} better."

"""Numbers and differences as texts."""

from decimal import ROUND_HALF_UP, Decimal

import numpy as np

from experiments.study.findings import Compared
from experiments.study.statistics import ALPHA, FEWEST_SEEDS, MOST_SEEDS, Estimate, seeds_to_decide


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


def points(*shares: float, unit: bool = True) -> str:
    """Smallest differences of interest as text: "1 point", "0.5 points" or "1 or 3 points".

    Args:
        unit: False: the numbers alone.
    """
    numbers = [f"{round(100 * share, 6):g}" for share in shares]
    return " or ".join(numbers) + f" point{'s' * (numbers != ['1'])}" * unit


def p_value(p: float, sign: str = "") -> str:
    """A p value as text, to three digits after the point; empty of NaN.

    Args:
        sign: "=" stands before it, where it is not "<".
    """
    if np.isnan(p):
        return ""
    return f"{f'{sign} ' if sign else ''}{p:.3f}" if p >= 0.001 else f"<{' ' if sign else ''}0.001"


def verdict(one: Compared) -> str:
    """What a comparison decides, in a few words."""
    if one.verdict != "undecided":
        return one.verdict
    seeds = seeds_to_decide(one.over_seeds, one.smallest)
    if seeds is None:
        return "undecided: one seed" if one.over_seeds.n < 2 else "undecided: all seeds alike"
    return f"undecided: needs {seeds if seeds <= MOST_SEEDS else f'more than {MOST_SEEDS}'} seeds"


def conclusion(one: Compared, control: str) -> str:
    """What may be concluded of one comparison, in words; `control`: as tables call it."""
    difference, smallest = one.over_seeds, points(one.smallest)
    low, high = 100 * difference.low, 100 * difference.high
    gain = f"{one.shown}, against {control}: {rounded(100 * difference.mean, sign='+')} points"
    measured = f"{gain} (95 %: {interval(difference, sign='+')}, {difference.n} seeds). "
    match verdict(one):
        case "undecided: one seed":
            return f"{gain}, one seed only. Undecided: the deviation is not known."
        case "undecided: all seeds alike":
            return f"{gain} on each of {difference.n} seeds. Undecided: the deviation is not known."
        case "better":
            return f"{measured}Better, by at least {rounded(low)} points according to the interval{_corrected(one.p)}."
        case "worse":
            return f"{measured}Worse, by at least {rounded(-high)} points according to the interval{_corrected(one.p)}."
        case "equivalent":
            known = "" if low <= 0 <= high else ": not zero, but too small to be of interest"
            return f"{measured}Equivalent, to within {smallest} either way{known}{_corrected(one.p)}."
    worse, better = rounded(max(0.0, -low)), rounded(max(0.0, high))
    needs = verdict(one).removeprefix("undecided: ")
    few = f"fewer than {FEWEST_SEEDS} seeds decide nothing, and " if difference.n < FEWEST_SEEDS else ""
    return (
        f"{measured}Undecided: {few}from {worse} points worse to {better} better remain possible; a verdict to within "
        f"{smallest} {needs} at this deviation."
    )


def _corrected(p):
    after = "" if p < ALPHA else ", and no longer significant"
    return f"; p {p_value(p, sign='=')} after Holm's correction{after}"

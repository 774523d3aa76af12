"""What a study found, as tables of Markdown."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from numpy.typing import ArrayLike

from experiments.study.columns import METRICS
from experiments.study.findings import Compared, Findings
from experiments.study.statistics import mean_over_seeds
from experiments.study.wording import interval, mean_and_deviation, p_value, points, rounded, verdict

TEXTS = ("arm", "compared with", "95 % interval", "verdict")  # columns that are no numbers


def main_table(findings: Findings) -> str:
    """Markdown of `main_cells`."""
    titles, *lines = main_cells(findings)
    rule = ["---" if title in TEXTS else "---:" for title in titles]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (titles, rule, *lines))


def main_cells(findings: Findings) -> list[list[str]]:
    """Titles, then for every arm its test accuracy, the difference to its control's and its verdict; lists of texts."""
    pairs = findings.compared()
    controls = {one.control for one in pairs}
    titles = ["arm", "seeds", "test accuracy, %", "95 % interval", "over its teacher"]
    titles += ["compared with"] if len(controls) > 1 else []
    titles += ["difference, points", "95 % interval", "verdict", "p (Holm)"]
    table = [titles]
    for arm in findings.rows:
        own, gain = mean_over_seeds(findings.by_seed(arm)), findings.gain(arm)
        cells = [findings.shown(arm), f"{own.n}", mean_and_deviation(own), interval(own, most=100)]
        cells.append(rounded(100 * gain.mean, sign="+"))
        comparisons: list[Compared | None] = [one for one in pairs if one.arm == arm]
        for one in comparisons or [None]:
            if len(controls) > 1:
                cells.append(findings.shown(one.control) if one else "")
            if one:
                cells += [*_difference(one.over_seeds), *_verdict(one)]
            else:
                cells += ["control" if arm in controls else "", "", "", ""]
            table.append(cells)
            cells = [""] * 5
    return table


def gain_table(findings: Findings) -> str:
    """Markdown, of a study with `over`: the last line of its picture against its first control, a line a value."""
    of_last = _of_last_line(findings)
    if not of_last:
        return "No line of the picture is compared with another."
    control, last = (findings.study.arms[arm].line for arm in (of_last[0].control, of_last[0].arm))
    lines = [
        f"| labelled images | {control}, % | {last}, % | difference, points | 95 % interval | seeds | verdict |",
        "|---:|---:|---:|---:|---|---:|---|",
    ]
    for one in of_last:
        cells = [f"{findings.value_over(one.arm):,}"]
        cells += [mean_and_deviation(mean_over_seeds(findings.by_seed(arm))) for arm in (one.control, one.arm)]
        cells += [*_difference(one.over_seeds), f"{one.over_seeds.n}", verdict(one)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def peers_table(findings: Findings) -> str:
    """Markdown, of a study with peers: their test accuracy over seeds beside that of the picture's last line."""
    by_peer, of_last = findings.of_peers(), _of_last_line(findings)
    if not by_peer:
        return ""
    of_ours = {findings.value_over(one.arm): findings.by_seed(one.arm) for one in of_last}
    shown: list[tuple[str | None, str, Mapping[Any, ArrayLike]]] = []
    if of_last:
        shown.append((findings.study.arms[of_last[0].arm].line, "ours", of_ours))
    shown += [(*key, by_x) for key, by_x in by_peer.items()]
    values = sorted({x for by_x in by_peer.values() for x in by_x})
    lines = [
        f"| test accuracy, % | | {' | '.join(f'{x:g} labels' for x in values)} |",
        "|---|---|" + "---:|" * len(values),
    ]
    for name, use, by_x in shown:
        cells = [mean_and_deviation(mean_over_seeds(by_x[x])) if x in by_x else "" for x in values]
        lines.append(f"| {name} | {use} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _of_last_line(findings):
    """Comparisons of the last line of the picture with its first control, one a value."""
    study, compared = findings.study, findings.compared_first()
    known = [
        arm
        for arm in findings.rows
        if arm in compared and study.arms[arm].line and findings.value_over(arm) is not None
    ]
    return [compared[arm] for arm in known if study.arms[arm].line == study.arms[known[-1]].line]


def further_table(findings: Findings) -> str:
    """Markdown: differences of the other columns that the study compares; empty without any."""
    lines = []
    for column in findings.study.also:
        title, factor = METRICS[column].title, METRICS[column].factor
        for one in findings.compared(column):
            cells = [title, one.shown, findings.shown(one.control), *_difference(one.over_seeds, factor)]
            cells.append(p_value(one.p))
            lines.append(f"| {' | '.join(cells)} |")
    head = "| figure | arm | against | difference | 95 % interval | p (Holm) |\n|---|---|---|---:|---|---:|\n"
    return head + "\n".join(lines) if lines else ""


def images_table(findings: Findings) -> str:
    """Markdown: differences to the control with intervals over test images."""
    known = [(one, over) for one in findings.compared() if (over := one.over_images) is not None]
    if not known:
        return "The outcomes of the single images are not at hand."
    lines = [
        "| arm | against | different test images | difference, points | 95 % interval |",
        "|---|---|---:|---:|---|",
    ]
    for one, over in known:
        cells = [one.shown, findings.shown(one.control), f"{over.n:,}", *_difference(over)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def other_table(findings: Findings) -> str:
    """Markdown: mean and standard deviation of every other column that was measured."""
    arms = list(findings.rows)
    columns = [column for column in METRICS if any(findings.by_seed(arm, column).size for arm in arms)]
    lines = [f"| mean (standard deviation) | {' | '.join(map(findings.shown, arms))} |"]
    lines.append("|---|" + "---:|" * len(arms))
    for column in columns:
        title, factor = METRICS[column].title, METRICS[column].factor
        cells = [_with_deviation(findings.by_seed(arm, column), factor) for arm in arms]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(lines)


def summary(studies: list[Findings]) -> str:
    """Markdown: how many comparisons came out how, then a line for each of them, linked from docs/ to the reports."""
    if not studies:
        return "No study has rows yet."
    lines = [
        "| study | arm | against | seeds | points | 95 % interval | of interest from | verdict | p (Holm) |",
        "|---|---|---|---:|---:|---|---:|---|---:|",
    ]
    verdicts: Counter[str] = Counter()
    for findings in studies:
        title = f"[{findings.name}](studies/{findings.preset}/{findings.name}.md)"
        for one in findings.compared():
            over = one.over_seeds
            cells = [title, one.shown, findings.shown(one.control), f"{over.n}", *_difference(over)]
            cells += [points(one.smallest, unit=False), *_verdict(one)]
            verdicts[one.verdict] += 1
            lines.append(f"| {' | '.join(cells)} |")
            title = ""
    counted = ", ".join(f"{verdicts[word]} {word}" for word in ("better", "worse", "equivalent", "undecided"))
    total = verdicts.total()
    return "\n".join([f"{total} comparison{'s' * (total != 1)}: {counted}.", "", *lines])


def _verdict(one):
    """The cells of a verdict: it, and its p."""
    return [verdict(one), p_value(one.p)]


def _difference(difference, factor=100):
    """The cells of a difference: its mean and its interval."""
    return [rounded(factor * difference.mean, sign="+"), interval(difference, sign="+", factor=factor)]


def _with_deviation(measured, factor):
    if not measured.size:
        return ""
    mean = mean_over_seeds(factor * measured)
    digits = 2 if factor == 100 else 3
    return rounded(mean.mean, digits) + ("" if mean.n < 2 else f" ({rounded(mean.deviation, digits)})")

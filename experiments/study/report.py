"""What a study found, as Markdown with a picture; from its committed rows alone."""

import re
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from experiments.study import figures, rows
from experiments.study.definition import FIGURES, FOLDER, RESULTS
from experiments.study.statistics import (
    Estimate,
    difference_over_images,
    difference_over_seeds,
    mean_over_seeds,
)
from noisy_student.errors import UserError
from noisy_student.files import write_bytes

HOME = "digits"  # the preset whose result stands at the head of a study's file
PUBLISHED = ("README.md", *(f"docs/{name}.md" for name in ("recipes", "robustness", "studies")))
_MARK = re.compile(r"^(<!-- study: (\S+)/(\S+) (\w+) -->\n).*?(<!-- end -->)", re.DOTALL | re.MULTILINE)
_INDICATIVE = 3  # seeds below which a result only hints


@dataclass(frozen=True)
class Compared:
    """An arm against the control, in shares of 1.

    Attributes:
        arm, control: their keys.
        shown: what tables call the arm.
        over_seeds: Estimate of the difference, one value a seed.
        outcomes: pairs of rows.Outcomes, the arm's and the control's, one a seed; None if one is not known.
    """

    arm: str
    control: str
    shown: str
    over_seeds: Estimate
    outcomes: list | None = field(repr=False)

    @cached_property
    def over_images(self):
        """Estimate of the same difference over test images, which takes a moment; None without outcomes."""
        return None if self.outcomes is None else difference_over_images(self.outcomes)


class Findings:
    """The rows of a study, arm by arm.

    Args:
        name: of the study.
        study: Study.
        preset: its name.
        seeds: how many count, from 0 on; None: all.

    Raises:
        UserError: there are no rows of the control.
    """

    def __init__(self, name, study, preset, seeds=None):
        self.name, self.study, self.preset = name, study, preset
        found = rows.read(name, preset)
        self.rows = {
            arm: {
                seed: row
                for (key, seed), row in sorted(found.items())
                if key == arm and (seeds is None or seed < seeds)
            }
            for arm in study.arms
        }
        if not self.rows[study.control]:
            raise UserError(
                f"{rows.table_path(name, preset)}: no row of the control, arm {study.control}. Run: "
                f"python -m experiments.study run {name} --preset {preset}"
            )
        self.rows = {arm: found for arm, found in self.rows.items() if found}
        self._outcomes = rows.read_outcomes(name, preset)

    def shown(self, arm):
        """What tables call an arm."""
        return self.study.arms[arm].shown

    def values(self, arm, column="accuracy"):
        """(n,) floats of an arm, by seed; empty if it was not measured."""
        found = [row[column] for row in self.rows[arm].values()]
        return np.array([value for value in found if value is not None])

    def gain(self, arm):
        """Estimate of what the arm's model gains over its teacher, by pairs."""
        return difference_over_seeds(self.values(arm), self.values(arm, "teacher_accuracy"))

    def compared(self, column="accuracy"):
        """Compared of every arm and each of its controls, over the seeds of which both have the figure."""
        pairs = [(arm, control) for arm in self.rows for control in self.study.controls_of(arm)]
        found = []
        for arm, key in pairs:
            own, control = self.rows[arm], self.rows.get(key, {})
            seeds = [seed for seed in own if seed in control]
            seeds = [seed for seed in seeds if None not in (own[seed][column], control[seed][column])]
            if not seeds:
                continue
            over_seeds = difference_over_seeds(
                [own[seed][column] for seed in seeds], [control[seed][column] for seed in seeds]
            )
            keys, outcomes = [((arm, seed), (key, seed)) for seed in seeds], None
            if column == "accuracy" and all(one in self._outcomes for pair in keys for one in pair):
                outcomes = [(self._outcomes[one], self._outcomes[other]) for one, other in keys]
            found.append(Compared(arm, key, self.shown(arm), over_seeds, outcomes))
        return found

    def compared_first(self):
        """{arm: Compared with the first of its controls}, for pictures, which show one an arm."""
        return {one.arm: one for one in reversed(self.compared())}

    def all_rows(self):
        """The rows of all arms."""
        return [row for own in self.rows.values() for row in own.values()]


def write(name, study, preset, *, seeds=None):
    """Write the report of a study, and every table that quotes it.

    Args:
        name: of the study.
        study: Study.
        preset: its name.
        seeds: how many count, from 0 on; None: all that have a row.

    Returns:
        what was written, one line.
    """
    findings = Findings(name, study, preset, seeds)
    folder = RESULTS / preset
    figures.arms(folder / f"{name}.png", findings)
    write_bytes(folder / f"{name}.md", markdown(findings).encode())
    if preset == HOME:
        path = FOLDER / f"{name}.yaml"
        write_bytes(path, with_head(path.read_text(encoding="utf-8"), findings).encode())
    for page in map(Path, PUBLISHED):
        if page.exists():
            text = page.read_text(encoding="utf-8")
            write_bytes(page, published(text, {(preset, name): findings}).encode())
    return f"{folder / name}.md, .png: {headline(findings)}"


def markdown(findings):
    """The report as Markdown."""
    name, study, found = findings.name, findings.study, findings.rows
    counts = sorted({len(own) for own in found.values()})
    seeds = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    of_all = findings.all_rows()
    parts = [
        f"# {study.question}",
        f"What the paper or the article says: {study.claim}",
        f"`python -m experiments.study run {name} --preset {findings.preset}`: {seeds} seeds an "
        f"arm, {len(of_all)} runs, {_computing(of_all)}. Written by "
        f"`python -m experiments.study report {name} --preset {findings.preset}` from "
        f"[the rows]({name}.csv).",
        main_table(findings),
        f"![{study.question}]({name}.png)",
        "## What may be concluded",
        conclusions_list(findings),
        "## Over test images",
        "The same differences, if the networks are taken as they are and only the test images are drawn "
        "again, each with its outcomes of all seeds (bootstrap, 95 %). The intervals above count what a new "
        "seed changes: the choice of images, weights, noise.",
        images_table(findings),
        *further(findings),
        "## What else was measured",
        other_table(findings),
        "## How it was measured",
        provenance(of_all),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def main_table(findings):
    """Markdown of `main_cells`."""
    titles, *lines = main_cells(findings)
    texts = {"arm", "compared with", "95 % interval"}
    rule = ["---" if title in texts else "---:" for title in titles]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (titles, rule, *lines))


def main_cells(findings):
    """Titles, then for every arm its test accuracy and the difference to its control's; lists of texts."""
    pairs = findings.compared()
    controls = {one.control for one in pairs}
    titles = ["arm", "seeds", "test accuracy, %", "95 % interval", "over its teacher"]
    titles += ["compared with"] if len(controls) > 1 else []
    titles += ["difference, points", "95 % interval"]
    found = [titles]
    for arm in findings.rows:
        own, gain = mean_over_seeds(findings.values(arm)), findings.gain(arm)
        cells = [findings.shown(arm), f"{own.n}", _with_deviation(own), _interval(own, most=100)]
        cells.append(f"{100 * gain.mean:+.2f}")
        for one in [one for one in pairs if one.arm == arm] or [None]:
            if len(controls) > 1:
                cells.append(findings.shown(one.control) if one else "")
            if one:
                cells += [f"{100 * one.over_seeds.mean:+.2f}", _interval(one.over_seeds, sign="+")]
            else:
                cells += ["control" if arm in controls else "", ""]
            found.append(cells)
            cells = [""] * 5
    return found


def further(findings):
    """Markdown: heading and table of the other columns that the study compares; nothing without any."""
    lines = []
    for column in findings.study.also:
        title, factor = FIGURES[column]
        for one in findings.compared(column):
            found = one.over_seeds
            cells = (
                title,
                one.shown,
                findings.shown(one.control),
                f"{factor * found.mean:+.2f}",
                _interval(found, sign="+", factor=factor),
            )
            lines.append(f"| {' | '.join(cells)} |")
    if not lines:
        return []
    head = "| figure | arm | against | difference | 95 % interval |\n|---|---|---|---:|---|\n"
    return ["## Further differences", "Over seeds, as in the first table.", head + "\n".join(lines)]


def images_table(findings):
    """Markdown: differences to the control with intervals over test images; empty without outcomes."""
    found = [one for one in findings.compared() if one.over_images is not None]
    if not found:
        return "The outcomes of the single images are not at hand."
    lines = [
        "| arm | against | different test images | difference, points | 95 % interval |",
        "|---|---|---:|---:|---|",
    ]
    for one in found:
        over = one.over_images
        cells = [one.shown, findings.shown(one.control), f"{over.n:,}"]
        cells += [f"{100 * over.mean:+.2f}", _interval(over, sign="+")]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def other_table(findings):
    """Markdown: mean and standard deviation of every other column that was measured."""
    arms = list(findings.rows)
    columns = [column for column in FIGURES if any(findings.values(arm, column).size for arm in arms)]
    lines = [f"| mean (standard deviation) | {' | '.join(map(findings.shown, arms))} |"]
    lines.append("|---|" + "---:|" * len(arms))
    for column in columns:
        title, factor = FIGURES[column]
        cells = [_with_deviation_of(findings.values(arm, column), factor) for arm in arms]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(lines)


def conclusions(findings):
    """Sentences: one a comparison, then what holds for all; texts without markup."""
    compared = findings.compared()
    found = [verdict(one.shown, findings.shown(one.control), one.over_seeds) for one in compared]
    intervals = len(compared) + sum(len(findings.compared(column)) for column in findings.study.also)
    if intervals > 1:
        found.append(
            f"Each of the {intervals} intervals over seeds stands for itself: of twenty such intervals one "
            "is expected to miss the true difference."
        )
    return found + ([" ".join(findings.study.notes.split())] if findings.study.notes else [])


def conclusions_list(findings):
    """Markdown of `conclusions`."""
    return "\n".join(f"- {sentence}" for sentence in conclusions(findings))


def verdict(arm, control, found):
    """What may be concluded of one difference, in words.

    Args:
        arm, control: what tables call them.
        found: Estimate of the difference over seeds.
    """
    start = f"{arm}, against {control}: {100 * found.mean:+.2f} points"
    if found.n < 2:
        return f"{start}, one seed only: nothing can be concluded."
    if np.isnan(found.low):
        return (
            f"{start} on each of {found.n} seeds: their spread cannot be told, so nothing can be concluded."
        )
    start += f" (95 %: {_interval(found, sign='+')}, {found.n} seeds). "
    if found.n < _INDICATIVE:
        return start + "Two seeds only: indicative, nothing more."
    if found.low > 0:
        return (
            start
            + f"It is better here; the data go with a gain of as little as {100 * found.low:.2f} points."
        )
    if found.high < 0:
        return (
            start
            + f"It is worse here; the data go with a loss of as little as {-100 * found.high:.2f} points."
        )
    return start + (
        f"The two are not told apart: the data go with a loss of {max(0.0, -100 * found.low):.2f} points as "
        f"with a gain of {100 * found.high:.2f}."
    )


def provenance(found):
    """Markdown: commits and machines of the rows."""
    commits = sorted({row["commit"][:10] + row["commit"][40:] for row in found})
    machines = sorted({row["machine"] for row in found})
    return (
        f"Commit {', '.join(commits)}; {'; '.join(machines)}. Every seed changes the choice of labelled, "
        "validation and unlabelled images (of test images too, where the source has no test split of its "
        "own), the weights and the noise; arms of one seed share them. Intervals over seeds are Student's t "
        "of the paired differences. Test images were read once a run, after training; no arm or setting was "
        "chosen by them."
    )


def headline(findings):
    """One line: the arms against their controls."""
    return "; ".join(_against(findings, one) for one in findings.compared())


def _against(findings, one):
    found = one.over_seeds
    interval = _interval(found, sign="+") or ("one seed" if found.n == 1 else "no interval")
    return f"{one.shown}: {100 * found.mean:+.2f} points ({interval}) to {findings.shown(one.control)}"


def with_head(text, findings):
    """A study's file with its command, duration and result as first comments.

    Args:
        text: of the file.
        findings: Findings of the preset `HOME`.
    """
    of_all = findings.all_rows()
    lines = [
        f"python -m experiments.study run {findings.name}",
        f"{_computing(of_all)} for {len(of_all)} runs. Test accuracy in %; differences, 95 % intervals:",
    ]
    for arm in findings.rows:
        own = mean_over_seeds(findings.values(arm))
        lines.append(f"  {findings.shown(arm)}: {_with_deviation(own)}, {own.n} seeds")
    lines += [f"  {_against(findings, one)}" for one in findings.compared()]
    body = re.sub(r"\A(#[^\n]*\n)*", "", text)
    return "".join(f"# {line}\n" for line in lines) + body


def published(text, known):
    """A page whose tables between `<!-- study: PRESET/NAME KIND -->` and `<!-- end -->` are made of rows.

    Args:
        text: of the page.
        known: {(preset, study): Findings}; other tables stay as they are. Kinds: arms, images, other,
            verdicts.
    """

    def replace(match):
        begin, preset, name, kind, end = match.groups()
        findings = known.get((preset, name))
        if findings is None:
            return match.group()
        makers = {
            "arms": main_table,
            "images": images_table,
            "other": other_table,
            "verdicts": conclusions_list,
        }
        return f"{begin}{makers[kind](findings)}\n{end}"

    return _MARK.sub(replace, text)


def quoted(text):
    """{(preset, study)} of the tables that a page quotes."""
    return {(match[1], match[2]) for match in (found.groups() for found in _MARK.finditer(text))}


def _with_deviation(found):
    return f"{100 * found.mean:.2f}" + (
        "" if np.isnan(found.deviation) else f" ({100 * found.deviation:.2f})"
    )


def _with_deviation_of(values, factor):
    if not values.size:
        return ""
    found = mean_over_seeds(factor * values)
    digits = 2 if factor == 100 else 3
    return f"{found.mean:.{digits}f}" + ("" if found.n < 2 else f" ({found.deviation:.{digits}f})")


def _interval(found, sign="", factor=100, most=np.inf):
    """The interval as text, cut at what there can be at most; empty without one."""
    if np.isnan(found.low):
        return ""
    return f"{factor * found.low:{sign}.2f} to {min(most, factor * found.high):{sign}.2f}"


def _computing(found):
    minutes = sum(row["seconds"] for row in found) / 60
    return (f"{minutes:.0f} minutes" if minutes < 120 else f"{minutes / 60:.1f} hours") + " of computing"

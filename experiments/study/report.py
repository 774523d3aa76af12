"""What a study found, as Markdown with a picture; from its committed rows alone."""

import re
from pathlib import Path
from statistics import median

from experiments.study import figures, lines, pilot
from experiments.study.definition import FOLDER, HOME, RESULTS, Study
from experiments.study.findings import Findings, all_findings
from experiments.study.rows import Row, machines
from experiments.study.statistics import mean_over_seeds
from experiments.study.tables import (
    further_table,
    gain_table,
    images_table,
    main_table,
    other_table,
    peers_table,
    summary,
)
from experiments.study.wording import conclusion, duration, interval, mean_and_deviation, points, rounded, verdict
from noisy_student.drawing.canvas import save_chart
from noisy_student.runtime.errors import UserError
from noisy_student.runtime.files import write_bytes

PUBLISHED = ("README.md", *(f"docs/{name}.md" for name in ("recipes", "robustness", "studies")))
_BEGIN = "^<!-- study: "
_MARK = re.compile(rf"({_BEGIN}(\S+)/(\S+) (\w+) -->\n)(?:(?!{_BEGIN}).)*?(^<!-- end -->)", re.DOTALL | re.MULTILINE)
# what `with_head` writes; other comments are the user's
_NO_ROWS = "no rows yet"
_HEAD = re.compile(
    rf"\A# python -m experiments\.study run [^\n]*\n"
    rf"(# {_NO_ROWS}\n|# (\d+ runs, [^\n]*|[^\n]* for \d+ runs[^\n]*)\n(#   [^\n]*\n)*)"
)
_LEGEND = (
    "Means, with standard deviations over seeds in parentheses; the first interval is that of the mean, the "
    "last that of the paired differences. A model's teacher is that of its generation and seed, whether it "
    "learns from it or not. Equivalent: two one-sided tests at 5 % say that the difference is smaller than the "
    "smallest of interest; better, worse: otherwise, the 95 % interval leaves out zero. p is that of the verdict's "
    "test, adjusted by Holm's rule for the number of comparisons."
)
_ALL = "all"  # in place of a study's name: every study of a preset


def write(name: str, study: Study, preset: str, *, seeds: int | None = None) -> str:
    """Write the report of a study and, if all seeds count, every table that quotes it.

    Args:
        name: of the study.
        seeds: how many count, from 0 on; None: all that have a row.

    Returns:
        What was written, one line.
    """
    findings = Findings(name, study, preset, seeds)
    target = RESULTS / preset / _stem(findings)
    save_chart(target.with_suffix(".png"), figures.arms(findings))
    if lines.are_there(findings):
        save_chart(target.with_suffix(".lines.png"), lines.lines(findings))
    write_bytes(target.with_suffix(".md"), markdown(findings).encode())
    if seeds is None:
        _write_quotes(findings)
    return f"{target}.md, .png: {headline(findings)}"


def _stem(findings):
    """Name of the report's files: with fewer seeds it does not take the place of the whole one."""
    return findings.name if findings.seeds is None else f"{findings.name}-{findings.seeds}-seeds"


def _write_quotes(findings):
    """Write what quotes a report: the head of its study's file, and the tables of `PUBLISHED`."""
    if findings.preset == findings.study.home:
        path = FOLDER / f"{findings.name}.yaml"
        write_bytes(path, with_head(path.read_text(encoding="utf-8"), findings).encode())
    for page in map(Path, PUBLISHED):
        if page.exists():
            try:
                write_bytes(page, published(page.read_text(encoding="utf-8")).encode())
            except UserError as error:
                raise UserError(f"{page}: {error}") from None


def markdown(findings: Findings) -> str:
    """The report as Markdown."""
    name, study, arms = findings.name, findings.study, findings.rows
    counts = sorted({len(own) for own in arms.values()})
    seeds = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    of_all, some = findings.all_rows(), "" if findings.seeds is None else f" --seeds {findings.seeds}"
    parts = [
        f"# {study.question} ({findings.preset})",
        f"What the paper or the article says: {study.claim}",
        f"`python -m experiments.study run {name} --preset {findings.preset}`: {seeds} seeds an "
        f"arm, {_computing(of_all)}. Written by "
        f"`python -m experiments.study report {name} --preset {findings.preset}{some}` from "
        f"[the rows]({name}.csv).",
        stated(findings),
        f"![{study.question}]({_stem(findings)}.lines.png)" if lines.are_there(findings) else "",
        gain_table(findings) if study.over else "",
        main_table(findings),
        _LEGEND,
        f"![{study.question}]({_stem(findings)}.png)",
        "## What may be concluded",
        conclusions_list(findings),
        "## Over test images",
        "The same differences, if the networks are taken as they are and only the test images are drawn "
        "again, each with its outcomes of all seeds (bootstrap, 95 %). The intervals above count what a new "
        "seed changes: the choice of images, weights, noise.",
        images_table(findings),
        *further(findings),
        *peers(findings),
        "## What else was measured",
        other_table(findings),
        "## How it was measured",
        provenance(of_all),
        _other_parameters(findings),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def stated(findings: Findings) -> str:
    """Markdown: what was said before the study ran."""
    study, preset = findings.study, findings.preset
    smallest = sorted({one.smallest for one in findings.compared()})
    texts = points(*(smallest or [study.smallest_with(preset) / 100]))
    seeds = study.seeds_with(preset)
    asked = f"Stated before the runs: differences below {texts} are of no interest; {seeds} seeds."
    fewest = min(map(len, findings.rows.values()))
    if findings.seeds is None and fewest < seeds:
        asked += f" Measured so far: {fewest} of them, whatever came out."
    return f"{asked} {pilot.asked_for(findings.name, study, preset)}"


def further(findings: Findings) -> list[str]:
    """Markdown: heading and table of the other columns that the study compares; nothing without any."""
    table = further_table(findings)
    return ["## Further differences", "Over seeds, as in the first table.", table] if table else []


def peers(findings: Findings) -> list[str]:
    """Markdown: heading, what they are, and table of scikit-learn's classifiers; nothing without any."""
    table, name = peers_table(findings), findings.name
    said = (
        f"`python -m experiments.study.peers {name}`, means with standard deviations over the same seeds, [the rows]"
        f"({name}.peers.csv): scikit-learn on the same pixels and splits, nothing tuned. Inductive: no test image was "
        "seen, as by our models. Transductive: the test images were in the graph, without labels."
    )
    return ["## Peers", said, table] if table else []


def conclusions(findings: Findings) -> list[str]:
    """Sentences: one a comparison, then what holds for all; texts without markup."""
    compared = findings.compared()
    sentences = [conclusion(one, findings.shown(one.control)) for one in compared]
    all_compared = [*compared, *(one for column in findings.study.also for one in findings.compared(column))]
    intervals = sum(bool(interval(one.over_seeds)) for one in all_compared)
    if intervals > 1:
        sentences.append(
            f"Each of the {intervals} intervals over seeds stands for itself: of twenty such intervals one "
            "is expected to miss the true difference; p (Holm) allows for the comparisons of one figure."
        )
    return sentences + ([" ".join(findings.study.notes.split())] if findings.study.notes else [])


def conclusions_list(findings: Findings) -> str:
    """Markdown of `conclusions`."""
    return "\n".join(f"- {sentence}" for sentence in conclusions(findings))


def provenance(measured: list[Row]) -> str:
    """Markdown: commits and machines of the rows."""
    commits = sorted({row["commit"][:10] + row["commit"][40:] for row in measured})
    return (
        f"Commit {', '.join(commits)}; {machines(measured)}. Every seed changes the choice of labelled, "
        "validation and unlabelled images (of test images too, where the source has no test split of its "
        "own), the weights and the noise; arms of one seed share them. Intervals over seeds are Student's t "
        "of the paired differences. Test images were read once a run, after training; no arm or setting was "
        "chosen by them."
    )


def _other_parameters(findings):
    """Markdown: what the command above would not measure again; nothing else."""
    arms = findings.with_other_parameters()
    if not arms:
        return ""
    which = "All arms were" if len(arms) == len(findings.rows) else f"Of the arms {', '.join(arms)} were"
    return (
        f"**{which} measured with other parameters than the study's file and the preset {findings.preset} ask for "
        "now**: some were given by `-S`, or have been changed since. The command above gives other figures; the log of "
        "the commits says more."
    )


def headline(findings: Findings) -> str:
    """One line: the arms against their controls."""
    return "; ".join(_against(findings, one) for one in findings.compared())


def _against(findings, one):
    difference = one.over_seeds
    span = f" ({interval(difference, sign='+')})" if interval(difference) else ""
    mean = f"{rounded(100 * difference.mean, sign='+')} points{span}"
    return f"{one.shown}: {mean} to {findings.shown(one.control)}, {verdict(one)}"


def with_head(text: str, findings: Findings) -> str:
    """The text of a study's file with its command, duration and result (of its `home`) as first comments."""
    of_all = findings.all_rows()
    lines = [
        _command(findings.name, findings.study),
        f"{_computing(of_all)}. Test accuracy in %; differences, 95 % intervals:",
    ]
    for arm in findings.rows:
        own = mean_over_seeds(findings.by_seed(arm))
        lines.append(f"  {findings.shown(arm)}: {mean_and_deviation(own)}, {own.n} seed{'s' * (own.n > 1)}")
    lines += [f"  {_against(findings, one)}" for one in findings.compared()]
    return "".join(f"# {line}\n" for line in lines) + _HEAD.sub("", text, count=1)


def without_rows(text: str, name: str, study: Study) -> str:
    """The text of a study's file whose first comments say that there are no rows of it with its `home`."""
    return f"# {_command(name, study)}\n# {_NO_ROWS}\n" + _HEAD.sub("", text, count=1)


def _command(name, study):
    return f"python -m experiments.study run {name}" + ("" if study.home == HOME else f" --preset {study.home}")


def published(text: str) -> str:
    """A page whose tables between `<!-- study: PRESET/NAME KIND -->` and `<!-- end -->` are made of all rows.

    NAME is a study, or "all" for the KIND summary. What has no rows stays as it is.

    Raises:
        UserError: such a mark has no end, or there is no such KIND.
    """

    def replace(match):
        begin, preset, name, kind, end = match.groups()
        if name == _ALL:
            return f"{begin}{summary(all_findings(preset))}\n{end}"
        makers = {
            "arms": main_table,
            "images": images_table,
            "further": further_table,
            "peers": peers_table,
            "gain": gain_table,
            "other": other_table,
            "verdicts": conclusions_list,
        }
        if kind not in makers:
            raise UserError(f"study: {preset}/{name} {kind}: no such table; choose of {', '.join(makers)}")
        findings = all_findings(preset, name)
        return f"{begin}{makers[kind](findings[0])}\n{end}" if findings else match.group()

    page, marks = _MARK.subn(replace, text)
    if marks != len(re.findall(_BEGIN, text, re.MULTILINE)):
        raise UserError("after a mark `<!-- study: PRESET/NAME KIND -->` there is no `<!-- end -->`")
    return page


def _computing(measured):
    """How many runs rows stem from (arms may share one), and their time; a median besides, for machines may sleep."""
    runs: dict[tuple, float] = {}
    for row in measured:
        run = row["settings"], row["seed"]
        runs[run] = max(row["seconds"], runs.get(run, 0.0))
    took = f"{duration(sum(runs.values()))} of computing (median of a run: {duration(median(runs.values()))})"
    return f"{len(runs)} runs, {took}"

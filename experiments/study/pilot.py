"""A pilot of a study: a few runs on seeds that are not reported, which say how many seeds the study needs."""

from pathlib import Path

from experiments.study import rows
from experiments.study.definition import FOLDER, Study
from experiments.study.findings import Compared, Findings
from experiments.study.statistics import FEWEST_SEEDS, MOST_SEEDS, seeds_for_equivalence, seeds_needed
from experiments.study.wording import points, rounded

FIRST_SEED = 100  # a study's own are counted from 0, and are at most `MOST_SEEDS`
SEEDS = 3


def rows_name(study: str) -> str:
    """Under what name the rows of a study's pilot are kept, beside those that are reported."""
    return f"{study}{rows.PILOT}"


def path(study: str, preset: str) -> Path:
    """The CSV file of a pilot's rows."""
    return rows.table_path(rows_name(study), preset)


def seeds_of(one: Compared) -> int | None:
    """How many seeds a comparison needs, by the deviation of its pilot.

    As many that a true difference of the smallest size of interest is shown, and one of 0 is shown to be equivalent,
    with a power of 0.8 each; if the pilot's 95 % interval lies beyond the smallest difference, as many as show a
    difference of the interval's nearer end; never below `FEWEST_SEEDS`.

    Returns:
        `MOST_SEEDS` + 1: more than can be asked for. None: the deviation is not known.
    """
    over = one.over_seeds
    if not over.deviation > 0:
        return None
    nearest = max(over.low, -over.high)
    if nearest > one.smallest:
        return max(FEWEST_SEEDS, seeds_needed(over.deviation, nearest))
    needed = seeds_needed(over.deviation, one.smallest), seeds_for_equivalence(over.deviation, one.smallest)
    return max(FEWEST_SEEDS, *needed)


def wanted(compared: list[Compared]) -> int | None:
    """How many seeds a study should ask for: what its comparisons need, at most `MOST_SEEDS`; None: not known."""
    needed = [seeds for one in compared if (seeds := seeds_of(one)) is not None]
    return min(max(needed), MOST_SEEDS) if needed else None


def lines(name: str, study: Study, preset: str) -> list[str]:
    """What a pilot says, for people: a line a comparison, then the number to write into the study's file.

    Raises:
        UserError: there are no rows of the control.
    """
    findings = Findings(rows_name(name), study, preset)
    compared = findings.compared()
    told = [f"{name}, preset {preset}: pilot on seeds from {FIRST_SEED} on, power 0.8, at most {MOST_SEEDS} seeds"]
    for one in compared:
        over, seeds = one.over_seeds, seeds_of(one)
        deviation = "unknown" if seeds is None else f"{rounded(100 * over.deviation)} points"
        need = "cannot be said" if seeds is None else f"more than {MOST_SEEDS}" if seeds > MOST_SEEDS else f"{seeds}"
        told.append(
            f"  {one.shown}, against {findings.shown(one.control)}: deviation {deviation} ({over.n} seeds); "
            f"of interest from {points(one.smallest)}; seeds needed: {need}"
        )
    if others := findings.with_other_parameters():
        told.append(
            f"Of other parameters: {', '.join(others)}. Remove these rows of {path(name, preset)}, run it again."
        )
    if (most := wanted(compared)) is None:
        told.append("The deviation is known of no comparison: run the pilot with more --seeds.")
    else:
        told.append(
            f"Write `seeds: {most}` into {FOLDER}/{name}.yaml (with this preset: `seeds: {{{preset}: {most}, ...}}`)."
        )
    return told


def asked_for(name: str, study: Study, preset: str) -> str:
    """A sentence of a report: the pilot that chose the number of seeds, or that there was none."""
    measured = rows.read(rows_name(name), preset)
    if not any(arm == study.control for arm, _ in measured):
        return "Without a pilot."
    findings, seeds = Findings(rows_name(name), study, preset), len({seed for _, seed in measured})
    if findings.with_other_parameters():
        return f"The [pilot]({path(name, preset).name}) measured other parameters."
    most = wanted(findings.compared())
    asked = "for a number that it could not tell" if most is None else f"for {most}"
    return f"The [pilot]({path(name, preset).name}), {seeds} seeds from {FIRST_SEED} on, asked {asked}."

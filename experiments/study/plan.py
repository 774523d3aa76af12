"""What the studies ask for, and what is missing of it."""

from experiments.study import definition, pilot, rows, run
from experiments.study.findings import is_current
from experiments.study.wording import points
from noisy_student.runtime.errors import UserError


def lines(preset: str) -> list[str]:
    """A head, and two lines a study with a preset; a third where the study cannot be run with it: why.

    Raises:
        UserError: a study's file is not valid.
    """
    told = [
        f"{'study':20} {'arms':>4} {'seeds':>5} {'of interest from':>18} {'rows missing':>14}  pilot (preset {preset})"
    ]
    for name, study in definition.studies_for(preset).items():
        seeds, smallest, fault = study.seeds_with(preset), study.smallest_with(preset), _fault(name, study, preset)
        told.append(
            f"{name:20} {len(study.arms):4} {seeds:5} {points(smallest / 100):>18} "
            f"{'not valid' if fault else _missing(name, study, preset):>14}  {_pilot(name, preset)}"
        )
        told += [f"    {study.question}", *([f"    {fault}"] if fault else [])]
    return told


def _fault(name, study, preset):
    """Why a study cannot be run with a preset, in one line; nothing if it can."""
    try:
        run.jobs_of(name, study, preset, seeds=1)
    except UserError as error:
        return " ".join(line.strip() for line in str(error).splitlines()[:2])  # `run` says the rest
    return ""


def _missing(name: str, study: definition.Study, preset: str) -> str:
    """Rows that the study asks for and has not, or of other parameters."""
    seeds, measured = study.seeds_with(preset), rows.read(name, preset)
    known = [row for (arm, seed), row in measured.items() if arm in study.arms and seed < seeds]
    current = sum(is_current(row, study, row["arm"], preset) for row in known)
    return f"{seeds * len(study.arms) - current} of {seeds * len(study.arms)}"


def _pilot(name, preset):
    seeds = {seed for _, seed in rows.read(pilot.rows_name(name), preset)}
    return f"{len(seeds)} seeds" if seeds else "none"

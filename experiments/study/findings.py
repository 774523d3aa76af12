"""The rows of a study, arm by arm, and how arms compare with their controls."""

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from experiments.study import rows
from experiments.study.definition import HOME, RESULTS, Study, load, names, settings_digest
from experiments.study.rows import Outcomes, Row
from experiments.study.statistics import (
    Decision,
    Estimate,
    decide,
    difference_over_images,
    difference_over_seeds,
    holm,
    p_of_difference,
)
from noisy_student.runtime.errors import ParamsError, UserError
from noisy_student.runtime.types import Floats


@dataclass(frozen=True)
class Compared:
    """An arm against the control, in shares of 1.

    Attributes:
        arm, control: their keys.
        shown: what tables call the arm.
        over_seeds: the difference, one value a seed.
        smallest: the smallest difference of interest.
        decision: None of another column than the accuracy, for which there is no smallest difference.
        p: adjusted by Holm's rule over the comparisons of this column: of the test of equivalence, if that is the
            verdict, else of that of a difference; NaN without an interval.
        outcomes: the arm's and the control's, one pair a seed; None if one is not known.
    """

    arm: str
    control: str
    shown: str
    over_seeds: Estimate
    smallest: float
    decision: Decision | None
    p: float
    outcomes: list[tuple[Outcomes, Outcomes]] | None = field(repr=False)

    @property
    def verdict(self) -> str:
        """Better, worse, equivalent or undecided; empty of another column than the accuracy."""
        return self.decision.verdict if self.decision else ""

    @cached_property
    def over_images(self) -> Estimate | None:
        """The same difference over test images, which takes a moment; None without outcomes."""
        return None if self.outcomes is None else difference_over_images(self.outcomes)


def is_current(row: Row, study: Study, arm: str, preset: str) -> bool:
    """Whether a row was measured with the parameters that the study and the preset ask for now.

    Raises:
        ParamsError: what they ask for is not valid.
    """
    return row["settings"] == settings_digest(study.parameters(arm, preset, row["seed"]))


class Findings:
    """The rows of a study, arm by arm.

    Args:
        name: of the study.
        seeds: how many count, from 0 on; None: all.

    Raises:
        UserError: there are no rows of the control.
    """

    def __init__(self, name: str, study: Study, preset: str, seeds: int | None = None) -> None:
        self.name, self.study, self.preset, self.seeds = name, study, preset, seeds
        measured = rows.read(name, preset)
        self.rows: dict[str, dict[int, Row]] = {
            arm: {
                seed: row
                for (key, seed), row in sorted(measured.items())
                if key == arm and (seeds is None or seed < seeds)
            }
            for arm in study.arms
        }
        if not self.rows[study.control]:
            command = "pilot" if name.endswith(rows.PILOT) else "run"
            raise UserError(
                f"{rows.table_path(name, preset)}: no row of the control, arm {study.control}. Run: "
                f"python -m experiments.study {command} {name.removesuffix(rows.PILOT)} --preset "
                f"{preset if study.is_for(preset) else study.home}"
            )
        self.rows = {arm: of_arm for arm, of_arm in self.rows.items() if of_arm}
        self._outcomes = rows.read_outcomes(name, preset)

    def shown(self, arm: str) -> str:
        """What tables call an arm."""
        return self.study.arms[arm].shown

    def with_other_parameters(self) -> list[str]:
        """The arms of which a seed was measured with other parameters than the study and the preset ask for now."""

        def is_other(arm, row):
            try:
                return not is_current(row, self.study, arm, self.preset)
            except ParamsError:
                return True

        return [arm for arm, by_seed in self.rows.items() if any(is_other(arm, row) for row in by_seed.values())]

    def of_peers(self) -> dict[tuple[str, str], dict[float, list[float]]]:
        """{(peer, use): {value of `Study.over`: test accuracies of the seeds, shares of 1}}, see `peers`."""
        found: dict[tuple[str, str], dict[float, list[float]]] = {}
        for row in rows.read_peers(self.name, self.preset):
            if self.seeds is None or row["seed"] < self.seeds:
                found.setdefault((row["peer"], row["use"]), {}).setdefault(row["x"], []).append(row["accuracy"])
        return found

    def value_over(self, arm: str) -> float | None:
        """The arm's value of `Study.over`, the parameter on the picture's horizontal axis; None: it has none."""
        study = self.study
        if study.over is None:
            return None
        return (study.changes(self.preset) | study.arms[arm].changes(self.preset)).get(study.over)

    def by_seed(self, arm: str, column: str = "accuracy") -> Floats:
        """(n,) of an arm, by seed; empty if it was not measured."""
        cells = [row[column] for row in self.rows[arm].values()]
        return np.array([cell for cell in cells if cell is not None])

    def gain(self, arm: str) -> Estimate:
        """What the arm's model gains over its teacher, by pairs."""
        return difference_over_seeds(self.by_seed(arm), self.by_seed(arm, "teacher_accuracy"))

    def compared(self, column: str = "accuracy") -> list[Compared]:
        """Every arm and each of its controls, over the seeds of which both have the figure."""
        pairs = [(arm, control) for arm in self.rows for control in self.study.controls_of(arm)]
        comparisons = []
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
            if column == "accuracy":
                outcomes = self._outcomes_of(keys)
            smallest = self.study.smallest_with(self.preset, arm) / 100
            decision = decide(over_seeds, smallest) if column == "accuracy" else None
            comparisons.append(Compared(arm, key, self.shown(arm), over_seeds, smallest, decision, np.nan, outcomes))
        return _adjusted(comparisons)

    def _outcomes_of(self, pairs):
        """Pairs of Outcomes of the same images; None if there is another pair among them."""
        outcomes = [(self._outcomes.get(one), self._outcomes.get(other)) for one, other in pairs]
        known = all(one and other and np.array_equal(one.images, other.images) for one, other in outcomes)
        return outcomes if known else None

    def compared_first(self) -> dict[str, Compared]:
        """{arm: Compared with the first of its controls}, for pictures, which show one an arm."""
        return {one.arm: one for one in reversed(self.compared())}

    def all_rows(self) -> list[Row]:
        """The rows of all arms."""
        return [row for own in self.rows.values() for row in own.values()]


def _adjusted(comparisons):
    """The same with their p; the tests of a difference are one family, those of equivalence another."""
    different = holm([p_of_difference(one.over_seeds) for one in comparisons])
    equivalent = holm([one.decision.p_equivalent if one.decision else np.nan for one in comparisons])
    return [
        replace(one, p=float(own if one.verdict == "equivalent" else other))
        for one, own, other in zip(comparisons, equivalent, different, strict=True)
    ]


def all_findings(preset: str = "*", name: str = "*") -> list[Findings]:
    """Findings of every study that has rows of its control, the preset `HOME` first."""
    known = names()
    paths = [path for path in RESULTS.glob(f"{preset}/{name}.csv") if path.stem in known]
    findings = []
    for path in sorted(paths, key=lambda path: (path.parent.name != HOME, path)):
        study = load(path.stem)
        if any(arm == study.control for arm, _ in rows.read(path.stem, path.parent.name)):
            findings.append(Findings(path.stem, study, path.parent.name))
    return findings

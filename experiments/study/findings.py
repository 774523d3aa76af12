"""The rows of a study, arm by arm, and how arms compare with their controls."""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from experiments.study import rows
from experiments.study.definition import HOME, RESULTS, load, names
from experiments.study.statistics import (
    Estimate,
    difference_over_images,
    difference_over_seeds,
)
from noisy_student.runtime.errors import UserError


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
        self.name, self.study, self.preset, self.seeds = name, study, preset, seeds
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
            if column == "accuracy":
                outcomes = self._outcomes_of(keys)
            found.append(Compared(arm, key, self.shown(arm), over_seeds, outcomes))
        return found

    def _outcomes_of(self, pairs):
        """Pairs of Outcomes of the same images; None if there is another pair among them."""
        found = [(self._outcomes.get(one), self._outcomes.get(other)) for one, other in pairs]
        known = all(one and other and np.array_equal(one.images, other.images) for one, other in found)
        return found if known else None

    def compared_first(self):
        """{arm: Compared with the first of its controls}, for pictures, which show one an arm."""
        return {one.arm: one for one in reversed(self.compared())}

    def all_rows(self):
        """The rows of all arms."""
        return [row for own in self.rows.values() for row in own.values()]


def all_findings(preset="*", name="*"):
    """Findings of every study that has rows of its control, the preset `HOME` first.

    Args:
        preset, name: of the study; default: all.
    """
    known = names()
    paths = [path for path in RESULTS.glob(f"{preset}/{name}.csv") if path.stem in known]
    found = []
    for path in sorted(paths, key=lambda path: (path.parent.name != HOME, path)):
        study = load(path.stem)
        if any(arm == study.control for arm, _ in rows.read(path.stem, path.parent.name)):
            found.append(Findings(path.stem, study, path.parent.name))
    return found

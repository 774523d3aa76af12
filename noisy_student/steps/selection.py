"""Which pseudo-labelled images the student sees (paper, algorithm 1, step 3), and what was left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from noisy_student.data.inputs import Inputs
from noisy_student.inference.metrics import equal_edges, histogram
from noisy_student.pseudo_labels.balancing import confident_images, equal, rule_of
from noisy_student.pseudo_labels.confidence import StoredProbs, best_guesses, is_kept, pieces
from noisy_student.pseudo_labels.two_passes import BINS, select_into
from noisy_student.runtime import layout
from noisy_student.runtime.advice import KEY, warn
from noisy_student.runtime.errors import DataError
from noisy_student.runtime.files import link_or_copy, write_array, write_csv, write_json
from noisy_student.runtime.layout import Model
from noisy_student.runtime.types import Floats, Ints, Labels, Probs, Rows
from noisy_student.settings.params import Params

if TYPE_CHECKING:
    from noisy_student.settings.schema import BalanceParams, PseudoLabelParams


EVERY = {"threshold": -1.0, "max_confidence": 1.0}  # bounds that all labels keep
REPEATED = 10  # times: more often a student rather learns these images than their class


@dataclass(frozen=True)
class Numbers:
    """How many images there are.

    Attributes:
        filtered: (K,) of each class that the filter keeps.
        chosen: (K,) of them those that balancing chooses, repetitions included ...
        different: (K,) ... and without these.
        confidence: (BINS,) of the whole pool, in equal bins.
    """

    filtered: Ints
    chosen: Ints
    different: Ints
    confidence: Ints

    @classmethod
    def of_rows(
        cls, guesses: tuple[Labels, Floats], rows: Rows, *, classes: int, threshold: float, max_confidence: float
    ) -> Numbers:
        """Those of what `select` chose of a pool, of which `guesses` are the `best_guesses`."""
        predicted, confidence = guesses
        passed = is_kept(confidence, threshold, max_confidence)
        filtered, chosen, different = (
            np.bincount(predicted[own], minlength=classes) for own in (passed, rows, np.unique(rows))
        )
        return cls(filtered, chosen, different, histogram(confidence, equal_edges(BINS)))


def select_and_write(params: Params, generation: str) -> None:
    """Choose the pseudo-labelled images of a generation's student, and write tables of what that did."""
    chosen, inputs, tables = params.generation(generation), Inputs(), layout.balance_tables(generation)
    if not chosen.student.uses_pseudo_labels:
        print(f"balance {generation}: no pseudo-labels, the student learns from the labelled images only", flush=True)
        write_array(layout.balanced(generation), np.empty(0, np.int64))
        write_array(layout.learned_from(Model(generation).name), np.empty(0, np.int64))
        write_json(tables / f"{KEY}.json", [])
        return
    names, probs = inputs.classes, inputs.probs(generation)
    print(f"balance {generation}: {len(probs):,} pseudo-labels of {len(names):,} classes", flush=True)
    if chosen.pseudolabel.reassign:
        numbers = _keep(layout.balanced(generation), inputs, probs, chosen.teacher, generation, names)
    else:
        numbers = _select_into(layout.balanced(generation), probs, chosen.pseudolabel, chosen.balance, names)
    link_or_copy(layout.balanced(generation), layout.learned_from(Model(generation).name))
    write_tables(tables, numbers, class_names=names)
    total, different = numbers.chosen.sum(), numbers.different.sum()
    print(f"balance {generation}: {total:,} chosen, {different:,} different images", flush=True)
    write_json(tables / f"{KEY}.json", warn(_repetitions(generation, numbers, names)))


def _keep(path, inputs, probs, teacher, generation, names):
    """Write the rows that were chosen for the teacher, which has labelled them anew: nothing is filtered."""
    rows, labelled = np.asarray(inputs.learned_from(teacher)), inputs.labelled_rows(generation)
    if labelled is None or not np.array_equal(labelled, np.unique(rows)):
        raise DataError(f"{layout.pseudo_labels(generation)}: not of the rows of {teacher}. Run `dvc repro`.")
    write_array(path, rows)
    places = np.searchsorted(labelled, rows)
    return Numbers.of_rows(best_guesses(probs), places, classes=len(names), **EVERY)


def _select_into(path, probs, pseudolabel, balancing, names):
    """Write the chosen rows; those of the rule "equal" without holding anything of the pool in memory."""
    bounds = pseudolabel.model_dump(include={"threshold", "max_confidence"})
    if rule_of(balancing) is not equal or not len(probs):  # an empty pool is refused by `select`
        rows = select(probs, pseudolabel, balancing, class_names=names)
        write_array(path, rows)
        return Numbers.of_rows(best_guesses(probs), rows, classes=len(names), **bounds)
    counts = select_into(path, lambda: pieces(probs), balancing, classes=names, **bounds)
    different = counts.chosen(balancing.per_class)
    chosen = np.where(different > 0, counts.size(balancing.per_class), 0)
    return Numbers(counts.kept, chosen, different, counts.histogram)


def _repetitions(generation, numbers, names):
    """Yield a line about the classes whose few images are repeated often."""
    chosen, different = numbers.chosen, numbers.different
    often = np.flatnonzero(chosen > REPEATED * different)
    if len(often):
        shown = [f"{names[k]} ({different[k]}, {chosen[k] / different[k]:.0f} times each)" for k in often[:5]]
        more = f" and {len(often) - 5} more classes" if len(often) > 5 else ""
        yield (
            f"balance {generation}: few pseudo-labels are repeated often: {', '.join(shown)}{more}. Lower "
            "pseudolabel.threshold, give balance.per_class a lower number, or train the teacher longer."
        )


def select(
    probs: Probs | StoredProbs, pseudolabel: PseudoLabelParams, balancing: BalanceParams, *, class_names: Sequence[str]
) -> Rows:
    """Filter by confidence, then choose by the balancing rule; with balancing rows repeat.

    Raises:
        EmptyClassError: no image is confident, or none of a class and `on_empty` is "error".
    """
    bounds = pseudolabel.model_dump(include={"threshold", "max_confidence"})
    confident = confident_images(probs, **bounds, class_names=class_names)
    return rule_of(balancing)(confident, balancing)


def write_tables(folder: Path, numbers: Numbers, *, class_names: Sequence[str]) -> None:
    """Write class_counts.csv and confidence.csv."""
    table: list[dict] = []
    for when, counts in (("filtered", numbers.filtered), ("balanced", numbers.chosen)):
        pairs = zip(class_names, counts.tolist(), strict=True)
        table += [{"class": name, "images": n, "when": when} for name, n in pairs]
    write_csv(folder / "class_counts.csv", table)
    write_csv(folder / "confidence.csv", confidence_bins(numbers.confidence))


def confidence_bins(counts: Ints) -> list[dict]:
    """(B,) images in equal bins of confidence over [0, 1] as a dict a bin; its lower edge names a bin."""
    return [
        {"confidence": round(float(lower), 4), "images": int(number)}
        for lower, number in zip(equal_edges(len(counts))[:-1], counts, strict=True)
    ]

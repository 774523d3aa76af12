"""Which pseudo-labelled images the student sees (paper, algorithm 1, step 3), and what was left out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from noisy_student.data.inputs import Inputs
from noisy_student.inference.metrics import equal_edges, histogram
from noisy_student.pseudo_labels.balancing import confident_images, rule_of
from noisy_student.pseudo_labels.confidence import best_guesses, is_kept
from noisy_student.runtime import layout
from noisy_student.runtime.advice import KEY, warn
from noisy_student.runtime.files import write_array, write_csv, write_json
from noisy_student.runtime.types import Floats, Labels, Probs, Rows
from noisy_student.settings.params import Params

if TYPE_CHECKING:
    from noisy_student.settings.schema import BalanceParams, PseudoLabelParams


REPEATED = 10  # times: more often a student rather learns these images than their class


def select_and_write(params: Params, generation: str) -> None:
    """Choose the pseudo-labelled images of a generation's student, and write tables of what that did."""
    chosen, inputs, tables = params.generation(generation), Inputs(), layout.balance_tables(generation)
    if not chosen.student.uses_pseudo_labels:
        print(f"balance {generation}: no pseudo-labels, the student learns from the labelled images only", flush=True)
        write_array(layout.balanced(generation), np.empty(0, np.int64))
        write_json(tables / f"{KEY}.json", [])
        return
    names, probs = inputs.classes, inputs.probs(generation)
    print(f"balance {generation}: {len(probs):,} pseudo-labels of {len(names):,} classes", flush=True)
    rows = select(probs, chosen.pseudolabel, chosen.balance, class_names=names)
    guesses = best_guesses(probs)
    write_tables(tables, guesses, rows, class_names=names, pseudolabel=chosen.pseudolabel)
    write_array(layout.balanced(generation), rows)
    different = len(np.unique(rows))
    print(f"balance {generation}: {len(rows):,} chosen, {different:,} different images", flush=True)
    write_json(tables / f"{KEY}.json", warn(_repetitions(generation, guesses[0], rows, names)))


def _repetitions(generation, predicted, rows, names):
    """Yield a line about the classes whose few images are repeated often."""
    chosen = np.bincount(predicted[rows], minlength=len(names))
    different = np.bincount(predicted[np.unique(rows)], minlength=len(names))
    often = np.flatnonzero(chosen > REPEATED * different)
    if len(often):
        shown = [f"{names[k]} ({different[k]}, {chosen[k] / different[k]:.0f} times each)" for k in often[:5]]
        more = f" and {len(often) - 5} more classes" if len(often) > 5 else ""
        yield (
            f"balance {generation}: few pseudo-labels are repeated often: {', '.join(shown)}{more}. Lower "
            "pseudolabel.threshold, give balance.per_class a lower number, or train the teacher longer."
        )


def select(
    probs: Probs, pseudolabel: PseudoLabelParams, balancing: BalanceParams, *, class_names: Sequence[str]
) -> Rows:
    """Filter by confidence, then choose by the balancing rule; with balancing rows repeat.

    Raises:
        EmptyClassError: no image is confident, or none of a class and `on_empty` is "error".
    """
    bounds = pseudolabel.model_dump(include={"threshold", "max_confidence"})
    confident = confident_images(probs, **bounds, class_names=class_names)
    return rule_of(balancing)(confident, balancing)


def write_tables(
    folder: Path,
    guesses: tuple[Labels, Floats],
    rows: Rows,
    *,
    class_names: Sequence[str],
    pseudolabel: PseudoLabelParams,
) -> None:
    """Write class_counts.csv and confidence.csv; `guesses` are `best_guesses`, `rows` what `select` chose of them."""
    predicted, confidence = guesses
    passed = is_kept(confidence, pseudolabel.threshold, pseudolabel.max_confidence)
    table: list[dict] = []
    for when, chosen in (("filtered", passed), ("balanced", rows)):
        counts = np.bincount(predicted[chosen], minlength=len(class_names)).tolist()
        table += [{"class": name, "images": n, "when": when} for name, n in zip(class_names, counts, strict=True)]
    write_csv(folder / "class_counts.csv", table)
    write_csv(folder / "confidence.csv", confidence_bins(confidence))


def confidence_bins(confidence: Floats, *, bins: int = 20) -> list[dict]:
    """Histogram of (N,) highest probabilities over [0, 1], a dict a bin; its lower edge names a bin."""
    edges = equal_edges(bins)
    return [
        {"confidence": round(float(lower), 4), "images": int(number)}
        for lower, number in zip(edges[:-1], histogram(confidence, edges), strict=True)
    ]

"""Which pseudo-labelled images the student sees (paper, algorithm 1, step 3), and what was left out."""

import numpy as np

from noisy_student.data.inputs import Inputs
from noisy_student.pseudo_labels.balancing import balance, confident_rows, counts
from noisy_student.pseudo_labels.confidence import best_guesses, is_kept
from noisy_student.runtime import layout
from noisy_student.runtime.files import write_array, write_csv
from noisy_student.settings.params import Params


def select_and_write(params: Params, generation: str) -> None:
    """Choose the pseudo-labelled images of a generation's student, and write tables of what that did."""
    chosen, inputs = params.generation(generation), Inputs()
    names, probs = inputs.classes, inputs.probs(generation)
    if chosen.student.uses_pseudo_labels:
        rows = select(probs, chosen.pseudolabel, chosen.balance, class_names=names)
    else:  # none need be confident
        rows = np.empty(0, np.int64)
    write_tables(layout.balance_tables(generation), probs, rows, class_names=names, pseudolabel=chosen.pseudolabel)
    write_array(layout.balanced(generation), rows)


def select(probs, pseudolabel, balancing, *, class_names):
    """Filter by confidence and, if asked for, balance the classes.

    Args:
        probs: (N, K) float32, the teacher's distributions.
        pseudolabel: PseudoLabelParams, for the threshold.
        balancing: BalanceParams.
        class_names: K names, for messages.

    Returns:
        int64 rows of `probs`; with balancing they repeat.

    Raises:
        EmptyClassError: no image is confident, or none of a class and `on_empty` is "error".
    """
    if balancing.enabled:
        return balance(
            probs,
            min_confidence=pseudolabel.threshold,
            max_confidence=pseudolabel.max_confidence,
            per_class=balancing.per_class,
            on_empty=balancing.on_empty,
            class_names=class_names,
        )
    return confident_rows(
        probs,
        min_confidence=pseudolabel.threshold,
        max_confidence=pseudolabel.max_confidence,
    )


def write_tables(folder, probs, rows, *, class_names, pseudolabel):
    """Write class_counts.csv and confidence.csv.

    Args:
        folder: pathlib.Path.
        probs: (N, K) float32.
        rows: what `select` chose.
        class_names: K names.
        pseudolabel: PseudoLabelParams, for the bounds of confidence.
    """
    bounds = {"threshold": pseudolabel.threshold, "max_confidence": pseudolabel.max_confidence}
    before = counts(probs, np.flatnonzero(is_kept(best_guesses(probs)[1], **bounds)))
    after = counts(probs, rows)
    write_csv(
        folder / "class_counts.csv",
        [
            {"class": name, "images": int(number), "when": when}
            for when, numbers in (("filtered", before), ("balanced", after))
            for name, number in zip(class_names, numbers, strict=True)
        ],
    )
    write_csv(folder / "confidence.csv", confidence_bins(probs))


def confidence_bins(probs, *, bins=20):
    """Histogram of the highest probability over [0, 1], a dict a bin."""
    numbers, edges = np.histogram(probs.max(axis=1), bins=bins, range=(0.0, 1.0))
    return [
        {"confidence": round(float(lower), 4), "images": int(number)}
        for lower, number in zip(edges[:-1], numbers, strict=True)
    ]

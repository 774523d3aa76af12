"""Which pseudo-labelled images the student sees (paper, algorithm 1, step 3), and what was left out."""

import numpy as np

from noisy_student.inference.metrics import equal_edges, histogram
from noisy_student.pseudo_labels.balancing import RULES, confident_images
from noisy_student.pseudo_labels.confidence import best_guesses, is_kept
from noisy_student.runtime.files import write_csv


def select(probs, pseudolabel, balancing, *, class_names, without=()):
    """Filter by confidence, then choose by the balancing rule.

    Args:
        probs: (N, K) float32, the teacher's distributions, may be memory-mapped.
        pseudolabel: PseudoLabelParams, for the bounds of confidence.
        balancing: BalanceParams.
        class_names: K names, for messages.
        without: rows that cannot be chosen.

    Returns:
        int64 rows of `probs`; with balancing they repeat.

    Raises:
        EmptyClassError: no image is confident, or none of a class and `on_empty` is "error".
    """
    bounds = pseudolabel.model_dump(include={"threshold", "max_confidence"})
    confident = confident_images(probs, **bounds, class_names=class_names, without=without)
    return RULES["equal" if balancing.enabled else "unbalanced"](confident, balancing)


def write_tables(folder, probs, rows, *, class_names, pseudolabel):
    """Write class_counts.csv and confidence.csv.

    Args:
        folder: pathlib.Path.
        probs: (N, K) float32, may be memory-mapped.
        rows: what `select` chose.
        class_names: K names.
        pseudolabel: PseudoLabelParams, for the bounds of confidence.
    """
    predicted, confidence = best_guesses(probs)
    passed = is_kept(confidence, pseudolabel.threshold, pseudolabel.max_confidence)
    table = []
    for when, chosen in (("filtered", passed), ("balanced", rows)):
        counts = np.bincount(predicted[chosen], minlength=len(class_names)).tolist()
        table += [{"class": name, "images": n, "when": when} for name, n in zip(class_names, counts, strict=True)]
    write_csv(folder / "class_counts.csv", table)
    write_csv(folder / "confidence.csv", confidence_bins(confidence))


def confidence_bins(confidence, *, bins=20):
    """Histogram of (N,) highest probabilities over [0, 1], a dict a bin; its lower edge names a bin."""
    edges = equal_edges(bins)
    return [
        {"confidence": round(float(lower), 4), "images": int(number)}
        for lower, number in zip(edges[:-1], histogram(confidence, edges), strict=True)
    ]

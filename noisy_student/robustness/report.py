"""From the outcomes of `measure` to the figures in metrics/robustness and to tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from noisy_student.inference import metrics
from noisy_student.robustness import scores, severities
from noisy_student.robustness.severities import STANDARD
from noisy_student.runtime.types import Labels, Probs

if TYPE_CHECKING:
    from noisy_student.robustness.measure import Outcome


def calibration(found: Outcome, labels: Labels, threshold: float) -> dict[str, float]:
    """How far the confidence can be trusted.

    Args:
        found: an outcome of `measure`.
        threshold: of pseudo-labels.

    Returns:
        dict: error, nll (nats), ece (15 bins), brier, and confident_errors, the share of images that are
        wrong above the threshold.
    """
    wrong = found["predicted"] != labels
    return {
        "error": float(wrong.mean()),
        "nll": metrics.mean_nll(found["true"]),
        "ece": metrics.calibration_error(metrics.reliability_of(found["confidence"], ~wrong)),
        "brier": float(found["brier"].mean(dtype=np.float64)),
        "confident_errors": scores.confident_errors(found["confidence"], wrong, threshold),
    }


def corruption_rows(
    results: dict[tuple, Outcome], labels: Labels, *, clean: Outcome, clean_labels: Labels, threshold: float
) -> list[dict]:
    """The table of corruptions: one dict a corruption and severity, the clean images first.

    Args:
        results: {("corruption", name, severity): outcome}, other keys are ignored.
        labels: (N,) ints of the corrupted images.
        clean: outcome on the clean images.
        clean_labels: (M,) ints.
        threshold: of pseudo-labels.
    """
    rows = [{"corruption": "clean", "severity": 0, **calibration(clean, clean_labels, threshold)}]
    for key, found in results.items():
        if key[0] == "corruption":
            given = {"corruption": key[1], "severity": key[2]}
            rows.append(given | calibration(found, labels, threshold))
    return rows


def errors_of(rows: list[dict], names: Sequence[str]) -> dict[str, list[float]]:
    """{corruption: errors by severity} of `corruption_rows`."""
    return {name: [row["error"] for row in rows if row["corruption"] == name] for name in names}


def summary(
    results: dict[tuple, Outcome],
    rows: list[dict],
    *,
    reference: dict | None,
    paired: bool = True,
    imagenet: bool = False,
) -> dict[str, Any]:
    """The content of metrics/robustness/NAME.json, but for what the caller knows.

    Args:
        results: of `measure.run`.
        rows: of `corruption_rows`.
        reference: the summary of the teacher; None: this is the teacher.
        paired: whether the clean images are those that were corrupted; else what corruption adds is unknown.
        imagenet: whether to compare with AlexNet's published errors, which are means over five severities.

    Returns:
        dict; see docs/robustness.md for each figure.
    """
    errors = errors_of(rows, severities.ALL)
    standard = {name: errors[name] for name in STANDARD}
    clean = rows[0]["error"]
    figures = {
        "clean_error": clean,
        "mean_corruption_error": scores.mean_corruption_error(standard),
        "corruption_error": {name: float(np.mean(row)) for name, row in errors.items()},
    }
    flips = {key[1]: float(np.mean(found["flips"])) for key, found in results.items() if key[0] == "sequence"}
    figures["mean_flip_probability"] = float(np.mean(list(flips.values())))
    figures["flip_probability"] = flips
    distances = [found["top5"].mean() for key, found in results.items() if "top5" in found]
    if distances:
        figures["mean_top5_distance"] = float(np.mean(distances))
    for kind in ("fgsm", "pgd"):
        figures[f"{kind}_accuracy"] = {
            str(epsilon): float(results[kind, epsilon]["correct"].mean()) for epsilon in severities.EPSILONS
        }
    figures["calibration"] = _by_severity(rows)
    figures |= _relative(figures, standard, reference or figures)
    if imagenet:
        figures["mce_to_alexnet"] = scores.mce(standard, severities.ALEXNET)
        figures["relative_mce_to_alexnet"] = scores.relative_mce(
            standard, clean, severities.ALEXNET, severities.ALEXNET_CLEAN
        )
    return {name: value for name, value in figures.items() if paired or not name.startswith("relative")}


def _relative(figures, standard, reference):
    """What is measured against the teacher; what has no value is left out."""
    known = {name: reference["corruption_error"][name] for name in STANDARD}
    found = {
        "mce_to_teacher": scores.mce(standard, known),
        "relative_mce_to_teacher": scores.relative_mce(
            standard, figures["clean_error"], known, reference["clean_error"]
        ),
        "mfr_to_teacher": scores.mfr(figures["flip_probability"], reference["flip_probability"]),
    }
    return {name: value for name, value in found.items() if value is not None}


def _by_severity(rows):
    """Means over the standard corruptions of each figure of `calibration`, by severity; 0 is clean."""
    found = {}
    for severity in sorted({row["severity"] for row in rows}):
        group = [row for row in rows if row["severity"] == severity and row["corruption"] in ("clean", *STANDARD)]
        name = f"severity_{severity}" if severity else "clean"
        found[name] = {
            figure: float(np.mean([row[figure] for row in group]))
            for figure in ("nll", "ece", "brier", "confident_errors")
        }
    return found


def extra_test(probs: Probs, labels: Labels, *, present: Sequence[int], test_accuracy: float) -> dict[str, Any]:
    """Accuracy on another test set.

    Args:
        present: the classes that the set can hold: the others' probabilities do not count, as for
            ImageNet-A's 200 classes.
        test_accuracy: on the project's own test split.

    Returns:
        dict: images, classes, accuracy, accuracy_interval (Wilson's, 95 %) and drop against the test split.
    """
    predicted = np.asarray(present)[probs[:, present].argmax(axis=1)]
    correct = int((predicted == labels).sum())
    accuracy = correct / len(labels)
    return {
        "images": len(labels),
        "classes": len(present),
        "accuracy": accuracy,
        "accuracy_interval": list(metrics.accuracy_interval(correct, len(labels))),
        "drop": test_accuracy - accuracy,
    }

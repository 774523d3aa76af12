"""From the outcomes of `measure` to tables, and to the few figures of metrics/robustness."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from noisy_student.inference import metrics
from noisy_student.robustness import scores, severities
from noisy_student.robustness.severities import STANDARD
from noisy_student.runtime.types import Labels

if TYPE_CHECKING:
    from noisy_student.robustness.measure import Outcome


def calibration(outcome: Outcome, labels: Labels, threshold: float) -> dict[str, float]:
    """How far the confidence can be trusted, by the threshold of pseudo-labels; nll in nats, ece in 15 bins."""
    wrong = outcome["predicted"] != labels
    return {
        "error": float(wrong.mean()),
        "nll": metrics.mean_nll(outcome["true"]),
        "ece": metrics.calibration_error(metrics.reliability_of(outcome["confidence"], ~wrong)),
        "brier": float(outcome["brier"].mean(dtype=np.float64)),
        "confident_errors": scores.confident_errors(outcome["confidence"], wrong, threshold),
    }


def corruption_rows(
    results: dict[tuple, Outcome], labels: Labels, *, clean: Outcome, clean_labels: Labels, threshold: float
) -> list[dict]:
    """The table of corruptions: one dict a corruption and severity of `measure.run`'s results, the clean images first.

    `labels` are the corrupted images'.
    """
    rows = [{"corruption": "clean", "severity": 0, **calibration(clean, clean_labels, threshold)}]
    for key, outcome in results.items():
        if key[0] == "corruption":
            rows.append({"corruption": key[1], "severity": key[2], **calibration(outcome, labels, threshold)})
    return rows


def summary(
    results: dict[tuple, Outcome], rows: list[dict], *, reference: dict | None, paired: bool, imagenet: bool
) -> dict[str, Any]:
    """The content of metrics/tables/robustness/NAME/summary.json but for what the caller knows: docs/robustness.md.

    Args:
        rows: of `corruption_rows`.
        reference: the summary of the teacher; None: this is the teacher.
        paired: whether the clean images are those that were corrupted; else what corruption adds is unknown.
        imagenet: whether to compare with AlexNet's published errors, which are means over five severities.
    """
    errors = {name: [row["error"] for row in rows if row["corruption"] == name] for name in severities.ALL}
    standard = {name: errors[name] for name in STANDARD}
    flips = {key[1]: float(np.mean(outcome["flips"])) for key, outcome in results.items() if key[0] == "sequence"}
    clean = rows[0]["error"]
    summarised: dict[str, Any] = {
        "clean_error": clean,
        "mean_corruption_error": scores.mean_corruption_error(standard),
        "corruption_error": {name: float(np.mean(row)) for name, row in errors.items()},
        "mean_flip_probability": float(np.mean(list(flips.values()))),
        "flip_probability": flips,
    }
    distances = [outcome["top5"].mean() for outcome in results.values() if "top5" in outcome]
    if distances:
        summarised["mean_top5_distance"] = float(np.mean(distances))
    for kind in ("fgsm", "pgd"):
        accuracies = {str(epsilon): results[kind, epsilon]["correct"].mean() for epsilon in severities.EPSILONS}
        summarised[f"{kind}_accuracy"] = {epsilon: float(accuracy) for epsilon, accuracy in accuracies.items()}
    summarised["calibration"] = _by_severity(rows)
    teacher = reference or summarised
    known, known_clean = teacher["corruption_error"], teacher["clean_error"]
    summarised["mce_to_teacher"] = scores.mce(standard, known)
    summarised["relative_mce_to_teacher"] = scores.relative_mce(standard, clean, known, known_clean)
    summarised["mfr_to_teacher"] = scores.mfr(flips, teacher["flip_probability"])
    if imagenet:
        known, known_clean = severities.ALEXNET, severities.ALEXNET_CLEAN
        summarised["mce_to_alexnet"] = scores.mce(standard, known)
        summarised["relative_mce_to_alexnet"] = scores.relative_mce(standard, clean, known, known_clean)
    left_out = () if paired else ("relative_mce_to_teacher", "relative_mce_to_alexnet")
    return {name: value for name, value in summarised.items() if value is not None and name not in left_out}


def _by_severity(rows):
    """Means over the standard corruptions of what `calibration` gives, by severity; 0 is clean."""
    means = {}
    for severity in sorted({row["severity"] for row in rows}):
        group = [row for row in rows if row["severity"] == severity and row["corruption"] in ("clean", *STANDARD)]
        means[f"severity_{severity}" if severity else "clean"] = {
            metric: float(np.mean([row[metric] for row in group]))
            for metric in ("nll", "ece", "brier", "confident_errors")
        }
    return means


HEADLINE = (  # of the summary, in metrics/robustness/NAME.json
    *("robustness", "corruptions", "clean_error", "mean_corruption_error", "mce_to_teacher", "mce_to_alexnet"),
    *("mean_flip_probability", "mfr_to_teacher"),
)


def headline(summary: dict[str, Any]) -> dict[str, Any]:
    """The few figures of a summary that `dvc metrics diff` compares: a screen for several models."""
    few = {name: summary[name] for name in HEADLINE if name in summary}
    return few | {f"{kind}_accuracy": {"4": summary[f"{kind}_accuracy"]["4"]} for kind in ("fgsm", "pgd")}

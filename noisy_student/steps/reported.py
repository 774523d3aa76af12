"""The metrics of a trained model, a line each: of metrics/eval.json, of `make results`, and of studies.

Only eval depends on this file, so that a new metric evaluates again but trains nothing again.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from noisy_student.inference import metrics
from noisy_student.pseudo_labels.confidence import best_guesses, is_kept


@dataclass(frozen=True)
class Predictions:
    """What a model says of N labelled images.

    Attributes:
        probs: (N, K) float32.
        labels: (N,) integers.
        class_names: K names.
        penalty: sum of the model's weight penalties, in nats.
    """

    probs: np.ndarray
    labels: np.ndarray
    class_names: Sequence[str]
    penalty: float


@dataclass(frozen=True)
class Pool:
    """What a teacher says of N unlabelled images.

    Attributes:
        predicted: (N,) its best classes.
        kept: (N,) bool, which of its labels pass the filter.
        truth: (N,) int classes, -1 where unknown.
    """

    predicted: np.ndarray
    kept: np.ndarray
    truth: np.ndarray


@dataclass(frozen=True)
class Metric:
    """One metric.

    Attributes:
        name: its key in metrics/eval.json.
        of: function of `Predictions` (in `TEST`) or of `Pool` (in `POOL`). A number is compared by `dvc metrics
            diff`, a list is not; of None there is no entry.
        column: (title, function from value to text) in the table of `make results`; None: not shown there.
        study: (title, factor) of the column in studies; None: none.
        leads: whether it stands before the others in tables.
        of_teacher: whether studies have the teacher's beside it.
    """

    name: str
    of: Callable[[Any], Any]
    column: tuple[str, Callable[[Any], str]] | None = None
    study: tuple[str, float] | None = None
    leads: bool = False
    of_teacher: bool = False


def percent(share: float) -> str:
    """A share of 1 as text."""
    return f"{100 * share:.2f} %"


def decimals(value: float) -> str:
    """A number as text."""
    return f"{value:.4f}"


def span(interval: Sequence[float]) -> str:
    """An interval of shares as text, in percent."""
    return f"{100 * interval[0]:.1f} to {100 * interval[1]:.1f}"


def _top5(predictions):
    return (
        metrics.top_k_accuracy(predictions.probs, predictions.labels, 5) if len(predictions.class_names) > 5 else None
    )


def _ece(predictions):
    return metrics.calibration_error(metrics.reliability(predictions.probs, predictions.labels))


def _accuracy_interval(predictions):
    correct = (predictions.probs.argmax(axis=1) == predictions.labels).sum()
    return list(metrics.accuracy_interval(correct, len(predictions.labels)))


def _recall(predictions):
    recalls = metrics.recall_per_class(predictions.probs, predictions.labels)
    return [
        {"class": name, "recall": None if np.isnan(recall) else float(recall)}
        for name, recall in zip(predictions.class_names, recalls, strict=True)
    ]


def _pool_accuracy(pool):
    known = pool.kept & (pool.truth >= 0)
    return float((pool.predicted[known] == pool.truth[known]).mean()) if known.any() else None


TEST = (  # in the order of metrics/eval.json; what the article reports as loss holds the weight penalties
    Metric("loss", lambda p: metrics.nll(p.probs, p.labels) + p.penalty, ("loss", decimals)),
    Metric("nll", lambda p: metrics.nll(p.probs, p.labels), study=("loss, nats", 1)),
    Metric(
        "accuracy",
        lambda p: metrics.accuracy(p.probs, p.labels),
        ("test accuracy", percent),
        ("test accuracy, %", 100),
        leads=True,
        of_teacher=True,
    ),
    Metric("top5", _top5),
    Metric("ece", _ece, ("ECE", decimals), ("calibration error, %", 100)),
    Metric("accuracy_interval", _accuracy_interval, ("95 % interval", span), leads=True),
    Metric("recall", _recall),
)
POOL = (  # of the pseudo-labels that a student learned from
    Metric("pseudo_label_coverage", lambda p: float(p.kept.mean()), ("labels kept", percent), ("labels kept, %", 100)),
    Metric("pseudo_label_accuracy", _pool_accuracy, ("of them right", percent), ("of them right, %", 100)),
)


def for_tables(listed: Sequence[Metric]) -> list[Metric]:
    """`TEST` or `POOL` in the order of tables."""
    return sorted(listed, key=lambda metric: not metric.leads)


def evaluate(predictions: Predictions) -> dict[str, Any]:
    """{name: value} of all metrics in `TEST`."""
    return _all_of(TEST, predictions)


def pseudo_label_quality(
    probs: np.ndarray, truth: np.ndarray, *, threshold: float, max_confidence: float = 1.0
) -> dict[str, Any]:
    """{name: value} of all metrics in `POOL`.

    Args:
        probs: (N, K) teacher distribution, may be memory-mapped.
        truth: (N,) int classes, -1 where unknown.
        threshold, max_confidence: of the images that are kept, see `is_kept`.
    """
    predicted, confidence = best_guesses(probs)
    return _all_of(POOL, Pool(predicted, is_kept(confidence, threshold, max_confidence), truth))


def _all_of(listed, measured):
    values = {metric.name: metric.of(measured) for metric in listed}
    return {name: value for name, value in values.items() if value is not None}

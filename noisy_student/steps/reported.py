"""The metrics of a trained model, a line each: of metrics/eval.json, of `make results`, and of studies.

Only eval depends on this file, so that a new metric evaluates again but trains nothing again.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from noisy_student.inference import metrics
from noisy_student.pseudo_labels.confidence import StoredProbs, best_guesses, is_kept
from noisy_student.runtime.types import Labels, Mask, Probs


@dataclass(frozen=True)
class Predictions:
    """What a model says of labelled images."""

    probs: Probs
    labels: Labels
    class_names: Sequence[str]
    penalty: float  # sum of the model's weight penalties, in nats

    @property
    def right(self) -> Mask:
        """Which images are classified correctly."""
        return self.probs.argmax(axis=1) == self.labels


@dataclass(frozen=True)
class Pool:
    """What a teacher says of unlabelled images."""

    predicted: Labels
    passed: Mask  # which of its labels pass the filter
    truth: Labels  # -1 where unknown

    @property
    def right(self) -> Mask:
        """Of the images that pass and whose truth is known."""
        known = self.passed & (self.truth >= 0)
        return self.predicted[known] == self.truth[known]


@dataclass(frozen=True)
class Metric:
    """One metric: a number is compared by `dvc metrics diff`, a list is not; of None there is no entry."""

    name: str  # its key in metrics/eval.json
    of: Callable[[Any], Any]  # of `Predictions` (in `TEST`) or of `Pool` (in `POOL`)
    column: tuple[str, Callable[[Any], str]] | None = None  # in `make results`: title, value to text; None: not there
    study: tuple[str, float] | None = None  # in studies: title, factor; None: not there
    leads: bool = False  # whether it stands before the others in tables
    of_teacher: bool = False  # whether studies have the teacher's beside it


def percent(share: float) -> str:
    """A share of 1 as text."""
    return f"{100 * share:.2f} %"


def decimals(value: float) -> str:
    """A number as text."""
    return f"{value:.4f}"


def span(interval: Sequence[float]) -> str:
    """An interval of shares as text, in percent."""
    return f"{100 * interval[0]:.1f} to {100 * interval[1]:.1f}"


def _nll(model):
    return metrics.nll(model.probs, model.labels)


def _accuracy(model):
    return metrics.accuracy(model.probs, model.labels)


def _top5(model):
    return metrics.top_k_accuracy(model.probs, model.labels, 5) if len(model.class_names) > 5 else None


def _ece(model):
    return metrics.calibration_error(metrics.reliability(model.probs, model.labels))


def _accuracy_interval(model):
    return list(metrics.accuracy_interval(model.right.sum(), len(model.labels)))


def _recall(model):
    recalls = zip(model.class_names, metrics.recall_per_class(model.probs, model.labels), strict=True)
    return [{"class": name, "recall": None if np.isnan(recall) else float(recall)} for name, recall in recalls]


def _right(pool):
    return float(pool.right.mean()) if len(pool.right) else None


TEST = (  # in the order of metrics/eval.json
    Metric("loss", lambda model: _nll(model) + model.penalty, ("loss", decimals)),  # what the article reports
    Metric("nll", _nll, study=("loss, nats", 1)),
    Metric("accuracy", _accuracy, ("test accuracy", percent), ("test accuracy, %", 100), leads=True, of_teacher=True),
    Metric("top5", _top5),
    Metric("ece", _ece, ("ECE", decimals), ("calibration error, %", 100)),
    Metric("accuracy_interval", _accuracy_interval, ("95 % interval", span), leads=True),
    Metric("recall", _recall),
)
POOL = (  # of the pseudo-labels that a student learned from
    Metric(
        "pseudo_label_coverage",
        lambda pool: float(pool.passed.mean()),
        ("labels kept", percent),
        ("labels kept, %", 100),
    ),
    Metric("pseudo_label_accuracy", _right, ("of them right", percent), ("of them right, %", 100)),
)


def for_tables(listed: Sequence[Metric]) -> list[Metric]:
    """`TEST` or `POOL` in the order of tables."""
    return sorted(listed, key=lambda metric: not metric.leads)


def evaluate(predictions: Predictions) -> dict[str, Any]:
    """{name: value} of all metrics in `TEST`."""
    return _all_of(TEST, predictions)


def pseudo_label_quality(
    probs: Probs | StoredProbs, truth: Labels, *, threshold: float, max_confidence: float = 1.0
) -> dict[str, Any]:
    """{name: value} of all metrics in `POOL`; truth is -1 where unknown, for the bounds see `is_kept`."""
    predicted, confidence = best_guesses(probs)
    return _all_of(POOL, Pool(predicted, is_kept(confidence, threshold, max_confidence), truth))


def _all_of(listed, measured):
    return {metric.name: value for metric in listed if (value := metric.of(measured)) is not None}

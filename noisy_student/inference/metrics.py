"""Metrics on arrays of probabilities; no model is needed. Labels that do not fit are a DataError everywhere."""

from typing import Any

import numpy as np

from noisy_student.runtime.errors import DataError
from noisy_student.runtime.types import Floats, Ints, Labels, Mask, Probs


def _check(probs, labels):
    """Raise DataError unless labels (N,) are classes of probs (N, K), N > 0."""
    if probs.ndim != 2 or labels.shape != probs.shape[:1] or not probs.size:
        raise DataError(
            f"Metrics need probabilities (images, classes) and one label an image, at least one image; "
            f"found shapes {probs.shape} and {labels.shape}. Run `dvc repro` to make them anew."
        )
    if labels.min() < 0 or labels.max() >= probs.shape[1]:
        raise DataError(
            f"Labels must lie in 0..{probs.shape[1] - 1}, found {labels.min()}..{labels.max()}. "
            "Mend the labels of the source (data.source) and run `dvc repro`."
        )


def nll(probs: Probs, labels: Labels) -> float:
    """Mean negative log-likelihood of the labels, in nats."""
    _check(probs, labels)
    return mean_nll(probs[np.arange(len(labels)), labels])


def mean_nll(true_probs: Floats) -> float:
    """The same of the (N,) probabilities of the true classes, each raised to 1e-7 at least."""
    return float(-np.log(np.clip(true_probs.astype(np.float64), 1e-7, 1.0)).mean())


def accuracy(probs: Probs, labels: Labels) -> float:
    """Share of images, 0..1, whose most probable class is the label (ties: the lower class)."""
    return top_k_accuracy(probs, labels, 1)


def top_k_accuracy(probs: Probs, labels: Labels, k: int) -> float:
    """Share of images, 0..1, whose label is among the `k` most probable classes (ties: lower first)."""
    _check(probs, labels)
    best = np.argsort(-probs, axis=1, kind="stable")[:, :k]
    return float((best == labels[:, None]).any(axis=1).mean())


def recall_per_class(probs: Probs, labels: Labels) -> Floats:
    """(K,) share of each class's images that are predicted as it, 0..1; NaN for a class without images."""
    matrix = confusion(probs, labels)
    total = matrix.sum(axis=1)
    return np.divide(matrix.diagonal(), total, out=np.full(len(matrix), np.nan), where=total > 0)


def confusion(probs: Probs, labels: Labels) -> Ints:
    """(K, K) images by true class (rows) and predicted class (columns)."""
    _check(probs, labels)
    classes = probs.shape[1]
    pairs = labels.astype(np.int64) * classes + probs.argmax(axis=1)
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)


def equal_edges(bins: int) -> Floats:
    """(bins + 1,) edges of equal bins of [0, 1]."""
    return np.arange(bins + 1) / bins  # correctly rounded, so 11 / 20 is what 0.55 is read as; linspace's is not


def bin_of(numbers: Floats, edges: Floats) -> Ints:
    """(N,) places of numbers among bins. **The rule for edges**: a bin holds lower < number <= upper.

    As a pseudo-label is kept when threshold < confidence <= max_confidence, no bin between such edges is half kept;
    edges are therefore rounded to the numbers' own type first, as NumPy does when it compares an array with one number.
    The first bin also holds what lies at its lower edge or below, the last what rounding has put above 1.
    """
    return np.searchsorted(np.asarray(edges)[1:-1].astype(numbers.dtype), numbers)


def histogram(numbers: Floats, edges: Floats) -> Ints:
    """(bins,) how many numbers each bin holds, see `bin_of`."""
    return np.bincount(bin_of(numbers, edges), minlength=len(edges) - 1)


def reliability(probs: Probs, labels: Labels, bins: int = 15) -> list[dict[str, Any]]:
    """`reliability_of` the best classes."""
    _check(probs, labels)
    return reliability_of(probs.max(axis=1), probs.argmax(axis=1) == labels, bins)


def reliability_of(confidence: Floats, correct: Mask, bins: int = 15) -> list[dict[str, Any]]:
    """Compare confidence with accuracy in equal bins of confidence (Guo et al. 2017, arXiv:1706.04599).

    Returns:
        a dict a bin: lower, upper, count, confidence (mean) and accuracy, the last two None in an empty bin.
    """
    edges, table = equal_edges(bins), []
    place, confidence = bin_of(confidence, edges), confidence.astype(np.float64)
    for k in range(bins):
        inside = place == k
        row: dict[str, Any] = {"lower": float(edges[k]), "upper": float(edges[k + 1]), "count": int(inside.sum())}
        for name, each in (("confidence", confidence), ("accuracy", correct)):
            row[name] = float(each[inside].mean()) if row["count"] else None
        table.append(row)
    return table


def calibration_error(table: list[dict[str, Any]]) -> float:
    """Mean distance of accuracy from confidence in a table of `reliability`, weighted by its counts; 0..1.

    Source: Guo et al. 2017, arXiv:1706.04599, equation 3.
    """
    filled = [row for row in table if row["count"]]
    images = sum(row["count"] for row in filled)
    return sum(row["count"] * abs(row["accuracy"] - row["confidence"]) for row in filled) / images


def accuracy_interval(correct: int, n: int) -> tuple[float, float]:
    """Wilson's 95 % interval (low, high), in 0..1, of a share of `correct` out of `n` images."""
    from scipy.stats import binomtest  # two seconds, which the stages that only count need not wait

    interval = binomtest(int(correct), int(n)).proportion_ci(0.95, method="wilson")
    return float(interval.low), float(interval.high)

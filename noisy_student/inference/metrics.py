"""Metrics on arrays of probabilities; no model is needed."""

import numpy as np
from scipy.stats import binomtest

from noisy_student.runtime.errors import DataError


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


def nll(probs, labels):
    """Mean negative log-likelihood.

    Args:
        probs: (N, K) probabilities; the true class's is raised to 1e-7 at least.
        labels: (N,) int classes.

    Returns:
        float, in nats.

    Raises:
        DataError: the shapes do not fit or a label is out of range (so do all functions here).
    """
    _check(probs, labels)
    true = probs[np.arange(len(labels)), labels].astype(np.float64)
    return float(-np.log(np.clip(true, 1e-7, 1.0)).mean())


def accuracy(probs, labels):
    """Share of images, 0..1, whose most probable class is the label (ties: the lower class)."""
    return top_k_accuracy(probs, labels, 1)


def top_k_accuracy(probs, labels, k):
    """Share of images, 0..1, whose label is among the `k` most probable classes (ties: lower first)."""
    _check(probs, labels)
    best = np.argsort(-probs, axis=1, kind="stable")[:, :k]
    return float((best == labels[:, None]).any(axis=1).mean())


def recall_per_class(probs, labels):
    """Share of each class's images that are predicted as it.

    Returns:
        (K,) float64 in 0..1; NaN for a class without images.
    """
    matrix = confusion(probs, labels)
    total = matrix.sum(axis=1)
    return np.divide(matrix.diagonal(), total, out=np.full(len(matrix), np.nan), where=total > 0)


def confusion(probs, labels):
    """Count images by true class (rows) and predicted class (columns).

    Returns:
        (K, K) int64.
    """
    _check(probs, labels)
    classes = probs.shape[1]
    pairs = labels.astype(np.int64) * classes + probs.argmax(axis=1)
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)


def reliability(probs, labels, bins=15):
    """Compare confidence with accuracy in equal bins of confidence (Guo et al. 2017, arXiv:1706.04599).

    Args:
        probs: (N, K) probabilities.
        labels: (N,) int classes.
        bins: number of bins of [0, 1]; a bin holds lower < confidence <= upper.

    Returns:
        list of `bins` dicts: lower, upper, count, confidence (mean) and accuracy, the last two None
        in an empty bin.
    """
    _check(probs, labels)
    return _bins(probs.max(axis=1), probs.argmax(axis=1) == labels, bins)


def _bins(confidence, correct, bins):
    confidence = confidence.astype(np.float64)
    edges = np.linspace(0, 1, bins + 1)
    place = np.searchsorted(edges[1:-1], confidence)
    result = []
    for i in range(bins):
        inside = place == i
        count = int(inside.sum())
        result.append(
            {
                "lower": float(edges[i]),
                "upper": float(edges[i + 1]),
                "count": count,
                "confidence": float(confidence[inside].mean()) if count else None,
                "accuracy": float(correct[inside].mean()) if count else None,
            }
        )
    return result


def expected_calibration_error(probs, labels, bins=15):
    """Mean distance of accuracy from confidence, weighted by the bins' counts; 0..1.

    Source: Guo et al. 2017, arXiv:1706.04599, equation 3. Arguments as of `reliability`.
    """
    _check(probs, labels)
    return calibration_error(probs.max(axis=1), probs.argmax(axis=1) == labels, bins)


def calibration_error(confidence, correct, bins=15):
    """The same of the (N,) highest probabilities, and whether their classes are right ((N,) bool)."""
    filled = [b for b in _bins(confidence, correct, bins) if b["count"]]
    return sum(b["count"] * abs(b["accuracy"] - b["confidence"]) for b in filled) / len(correct)


def accuracy_interval(correct, n):
    """Wilson's 95 % interval of a share of `correct` out of `n` images.

    Returns:
        (low, high) floats in 0..1.
    """
    interval = binomtest(int(correct), int(n)).proportion_ci(0.95, method="wilson")
    return float(interval.low), float(interval.high)

"""Figures of robustness, each with its formula (arXiv:1903.12261, sections 4.1 and 4.2).

Errors and probabilities are shares, 0..1; lower is better in all of them.
"""

from __future__ import annotations

import numpy as np

from noisy_student.runtime.types import Floats, Ints, Labels, Mask, Probs

Errors = dict[str, list[float]]  # {corruption: errors by severity}


def mean_corruption_error(errors: Errors) -> float:
    """The plain mean over corruptions and severities, which the field reports for CIFAR-10-C.

    Args:
        errors: {corruption: errors by severity}.

    Returns:
        mean over c of mean over s of E[c, s].
    """
    return float(np.mean([np.mean(row) for row in errors.values()]))


def mce(errors: Errors, reference: dict[str, float]) -> float | None:
    """The mean corruption error relative to another model's, ImageNet-C's "mCE".

    Args:
        errors: {corruption: errors by severity} of the model.
        reference: the same of the model it is compared with (AlexNet in the paper), or its mean errors.

    Returns:
        mean over c of (sum over s of E[c, s]) / (sum over s of E_ref[c, s]): 1 is as good as the reference;
        None if the reference makes no error on some corruption.
    """
    return _mean_ratio((np.mean(errors[name]), np.mean(reference[name])) for name in errors)


def relative_mce(errors: Errors, clean: float, reference: dict[str, float], reference_clean: float) -> float | None:
    """How much more errors corruption brings, relative to another model: ImageNet-C's "relative mCE".

    Args:
        errors: {corruption: errors by severity} of the model.
        clean: its error on clean images.
        reference: the errors of the model it is compared with, or their means.
        reference_clean: its error on clean images.

    Returns:
        mean over c of (sum over s of E[c, s] - E_clean) / (sum over s of E_ref[c, s] - E_ref_clean); None if
        some corruption brings the reference no more errors, or fewer.
    """
    return _mean_ratio((np.mean(errors[name]) - clean, np.mean(reference[name]) - reference_clean) for name in errors)


def _mean_ratio(pairs):
    pairs = list(pairs)
    if min(below for _, below in pairs) <= 0:
        return None
    return float(np.mean([above / below for above, below in pairs]))


def flips(predicted: Ints, *, noise: bool) -> Floats:
    """How often the prediction changes along each image's sequence.

    Args:
        predicted: (frames, N) predicted classes.
        noise: True compares every frame with the first one, False with the one before it.

    Returns:
        (N,) float64: share of the frames but the first whose prediction differs.
    """
    before = predicted[:1] if noise else predicted[:-1]
    return (predicted[1:] != before).mean(axis=0)


def mfr(probabilities: dict[str, float], reference: dict[str, float]) -> float | None:
    """The mean flip rate: flip probabilities relative to another model's.

    Args:
        probabilities: {sequence: flip probability} of the model.
        reference: the same of the model it is compared with.

    Returns:
        mean over sequences of FP / FP_ref; None if the reference never flips on some sequence.
    """
    return _mean_ratio((probabilities[name], reference[name]) for name in probabilities)


def top5_distances(probs: Floats, *, noise: bool) -> Floats:
    """How much the five best classes change places along each image's sequence.

    Args:
        probs: (frames, N, K) probabilities, K > 5.
        noise: True compares every frame with the first one, False with the one before it.

    Returns:
        (N,) float64, mean over the frames but the first of sum over i = 1..5 of
        |min(i, 6) - min(sigma(i), 6)|, with sigma(i) the present rank of what was the i-th best class: the
        places that it moved, counted down to the sixth; 0 to 20 or less.
    """
    order = np.argsort(-probs, axis=-1, kind="stable")
    ranks = np.argsort(order, axis=-1, kind="stable") + 1
    before = order[:1] if noise else order[:-1]
    best = np.broadcast_to(before[..., :5], (len(order) - 1, *order.shape[1:-1], 5))
    moved = np.minimum(np.take_along_axis(ranks[1:], best, axis=-1), 6)
    return np.abs(np.arange(1, 6) - moved).sum(axis=-1).mean(axis=0)


def brier(probs: Probs, labels: Labels) -> Floats:
    """Brier's score of each image: sum over k of (p_k - [k is the label])^2, 0..2.

    Returns:
        (N,) float64.
    """
    difference = probs.astype(np.float64)
    difference[np.arange(len(labels)), labels] -= 1
    return (difference**2).sum(axis=1)


def confident_errors(confidence: Floats, wrong: Mask, threshold: float) -> float:
    """Share of all images that are wrong with a confidence above the threshold of pseudo-labels."""
    return float((wrong & (confidence > threshold)).mean())

"""Metrics of robustness, each with its formula (arXiv:1903.12261, sections 4.1 and 4.2).

Errors and probabilities are shares, 0..1; lower is better in all of them. What is compared with a reference model is 1
where both are equally good; it is None where the reference makes no error, so that there is no ratio.
"""

from __future__ import annotations

import numpy as np

from noisy_student.runtime.types import Floats, Ints, Labels, Mask, Probs

Errors = dict[str, list[float]]  # {corruption: errors by severity}


def mean_corruption_error(errors: Errors) -> float:
    """Mean over c of mean over s of E[c, s]: the plain mean, which the field reports for CIFAR-10-C."""
    return float(np.mean([np.mean(row) for row in errors.values()]))


def mce(errors: Errors, reference: dict[str, float]) -> float | None:
    """Mean over c of (sum over s of E[c, s]) / (sum over s of E_ref[c, s]): ImageNet-C's "mCE".

    The reference (AlexNet in the paper) may be given by its mean errors.
    """
    return _mean_ratio((np.mean(errors[name]), np.mean(reference[name])) for name in errors)


def relative_mce(errors: Errors, clean: float, reference: dict[str, float], reference_clean: float) -> float | None:
    """Mean over c of (sum over s of E[c, s] - E_clean) / (sum over s of E_ref[c, s] - E_ref_clean).

    It is ImageNet-C's "relative mCE": how many more errors corruption brings; None if one brings the reference no more.
    """
    return _mean_ratio((np.mean(errors[name]) - clean, np.mean(reference[name]) - reference_clean) for name in errors)


def _mean_ratio(pairs):
    pairs = list(pairs)
    if min(below for _, below in pairs) <= 0:
        return None
    return float(np.mean([above / below for above, below in pairs]))


def flips(predicted: Ints, *, noise: bool) -> Floats:
    """Of each image the share of the frames but the first whose predicted class, of (frames, N), differs.

    With `noise` every frame is compared with the first one, otherwise with the one before it.
    """
    before = predicted[:1] if noise else predicted[:-1]
    return (predicted[1:] != before).mean(axis=0)


def mfr(probabilities: dict[str, float], reference: dict[str, float]) -> float | None:
    """Mean over sequences of FP / FP_ref, the flip probabilities: the mean flip rate."""
    return _mean_ratio((probabilities[name], reference[name]) for name in probabilities)


def top5_distances(probs: Floats, *, noise: bool) -> Floats:
    """Of each image how much its five best classes change places; (frames, N, K > 5), frames compared as by `flips`.

    Mean over the frames but the first of sum over i = 1..5 of |min(i, 6) - min(sigma(i), 6)|, with sigma(i) the present
    rank of what was the i-th best class: the places that it moved, counted down to the sixth; 0 to 20 or less.
    """
    order = np.argsort(-probs, axis=-1, kind="stable")
    ranks = np.argsort(order, axis=-1, kind="stable") + 1
    before = order[:1] if noise else order[:-1]
    best = np.broadcast_to(before[..., :5], (len(order) - 1, *order.shape[1:-1], 5))
    moved = np.minimum(np.take_along_axis(ranks[1:], best, axis=-1), 6)
    return np.abs(np.arange(1, 6) - moved).sum(axis=-1).mean(axis=0)


def brier(probs: Probs, labels: Labels) -> Floats:
    """Brier's score of each image, in float64: sum over k of (p_k - [k is the label])^2, 0..2."""
    difference = probs.astype(np.float64)
    difference[np.arange(len(labels)), labels] -= 1
    return (difference**2).sum(axis=1)


def confident_errors(confidence: Floats, wrong: Mask, threshold: float) -> float:
    """Share of all images that are wrong with a confidence above the threshold of pseudo-labels."""
    return float((wrong & (confidence > threshold)).mean())

"""A teacher's best guess for every image, from distributions that need not fit into memory."""

import numpy as np

_PIECE = 8 * 2**20  # bytes read at once


def best_guesses(probs):
    """Find the most probable class of every image, and its probability.

    The distributions are read in pieces: NumPy's argmax first copies an array that is read-only, as
    memory maps are here, as a whole.

    Args:
        probs: (N, K) float, may be memory-mapped; K > 0.

    Returns:
        (predicted, confidence): (N,) int64, of equally probable classes the first, and (N,) of the dtype of
        `probs`.
    """
    predicted, confidence = np.empty(len(probs), np.int64), np.empty(len(probs), probs.dtype)
    step = max(1, _PIECE // (probs.shape[1] * probs.itemsize))
    for start in range(0, len(probs), step):
        piece = slice(start, start + step)
        predicted[piece] = probs[piece].argmax(axis=1)
        confidence[piece] = probs[piece].max(axis=1)
    return predicted, confidence


def is_kept(confidence, threshold, max_confidence=1.0):
    """Which images the filter keeps: more confident than the threshold, at most as confident as a bound.

    Args:
        confidence: (N,) highest probabilities.
        threshold: in [0, 1).
        max_confidence: in (0, 1]; 1 sets no bound, however a probability was rounded.

    Returns:
        (N,) bool.
    """
    kept = confidence > threshold
    return kept & (confidence <= max_confidence) if max_confidence < 1 else kept


def pseudo_label_quality(probs, truth, *, threshold, max_confidence=1.0):
    """How much of the unlabelled pool is kept, and how much of that is right.

    Args:
        probs: (N, K) teacher distribution, may be memory-mapped.
        truth: (N,) int classes, -1 where unknown.
        threshold, max_confidence: of the images that are kept, see `is_kept`.

    Returns:
        dict: coverage, share of the pool kept; accuracy, share of the kept images of known truth
        whose label is right, None if there is none.
    """
    predicted, confidence = best_guesses(probs)
    kept = is_kept(confidence, threshold, max_confidence)
    known = kept & (truth >= 0)
    right = predicted[known] == truth[known]
    return {
        "coverage": float(kept.mean()),
        "accuracy": float(right.mean()) if len(right) else None,
    }

"""A teacher's best guess for every image, from distributions that need not fit into memory."""

import numpy as np

_PIECE = 8 * 2**20  # bytes read at once


def best_guesses(probs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
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
    for first in range(0, len(probs), step):
        piece = slice(first, first + step)
        predicted[piece] = probs[piece].argmax(axis=1)
        confidence[piece] = probs[piece].max(axis=1)
    return predicted, confidence


def is_kept(confidence: np.ndarray, threshold: float, max_confidence: float = 1.0) -> np.ndarray:
    """Which images the filter keeps: more confident than the threshold, at most as confident as a bound.

    The same rule for edges as that of bins, `metrics.bin_of`.

    Args:
        confidence: (N,) highest probabilities.
        threshold: in [0, 1).
        max_confidence: in (0, 1]; 1 sets no bound, however a probability was rounded.

    Returns:
        (N,) bool.
    """
    above = confidence > threshold
    return above & (confidence <= max_confidence) if max_confidence < 1 else above

"""Which pseudo-labelled images a student sees: the confident ones, equally many of every class."""

import numpy as np

from noisy_student.pseudo_labels.confidence import best_guesses, is_kept
from noisy_student.runtime.errors import DataError, EmptyClassError

_LINES = 5  # classes that a message names one by one


def confident_rows(probs, *, min_confidence, max_confidence=1.0):
    """Choose the images whose highest probability is above a threshold, and at most a bound.

    Source: arXiv:1911.04252, section 3.1.

    Args:
        probs: (N, K) float teacher distribution, may be memory-mapped; rows sum to 1.
        min_confidence, max_confidence: an image stays when its highest probability is greater than the first
            and at most the second, see `guesses.is_kept`.

    Returns:
        (n,) int64 rows of `probs`, ascending.

    Raises:
        DataError: `probs` is no list of distributions.
        EmptyClassError: no image is above the threshold.
    """
    _check(probs)
    return _kept(best_guesses(probs)[1], min_confidence, max_confidence)


def _kept(confidence, min_confidence, max_confidence):
    rows = np.flatnonzero(is_kept(confidence, min_confidence, max_confidence))
    if not len(rows):
        raise EmptyClassError(
            f"No pseudo-label of any class is {_range(min_confidence, max_confidence)} "
            f"(best {confidence.max():.3f}, 0 of {len(confidence):,}).\n"
            "Lower pseudolabel.threshold or train the teacher longer."
        )
    return rows


def balance(probs, *, min_confidence, per_class, on_empty, class_names, max_confidence=1.0):
    """Choose the same number of confident images for every class.

    Too many: the most confident stay; too few: they are repeated in order. Images of equal
    confidence keep the order of their rows, so nothing is random.
    Source: arXiv:1911.04252, section 3.1.

    Args:
        probs: (N, K) float teacher distribution, may be memory-mapped; rows sum to 1.
        min_confidence, max_confidence: an image stays when its highest probability is greater than the first
            and at most the second, see `guesses.is_kept`.
        per_class: images per class returned; None takes the largest class's count.
        on_empty: "error" or "skip": what happens to a class without any confident image.
        class_names: K names, for messages.

    Returns:
        (classes * per_class,) int64 rows of `probs`, grouped by class, most confident first; `classes`
        is K less the skipped ones. Pixels are never copied.

    Raises:
        DataError: `probs` is no list of distributions.
        EmptyClassError: a class has no confident image and `on_empty` is "error", or no class has any.
    """
    _check(probs)
    predicted, confidence = best_guesses(probs)
    rows = _kept(confidence, min_confidence, max_confidence)
    classes = predicted[rows]
    by_class = [rows[classes == k] for k in range(probs.shape[1])]
    empty = [k for k, members in enumerate(by_class) if not len(members)]
    if empty and on_empty == "error":
        where = _range(min_confidence, max_confidence)
        raise EmptyClassError(_empty_message(predicted, confidence, empty, where, class_names))
    size = max(map(len, by_class)) if per_class is None else per_class
    return np.concatenate([_take(confidence, members, size) for members in by_class if len(members)])


def _take(confidence, members, size):
    order = np.argsort(-confidence[members], kind="stable")
    return np.resize(members[order], size)  # cuts, or starts again from the first


def counts(probs, rows):
    """Count the chosen images by predicted class.

    Args:
        probs: (N, K) teacher distribution, may be memory-mapped.
        rows: (n,) rows of `probs`, repeats allowed.

    Returns:
        (K,) int64.
    """
    return np.bincount(best_guesses(probs)[0][rows], minlength=probs.shape[1])


def _range(min_confidence, max_confidence):
    above = f"above pseudolabel.threshold={min_confidence}"
    if max_confidence == 1:
        return above
    return f"{above} and at most pseudolabel.max_confidence={max_confidence}"


def _empty_message(predicted, confidence, empty, where, class_names):
    lines = []
    for k in empty[:_LINES]:
        own = confidence[predicted == k]
        found = f"best {own.max():.3f}, 0 of {len(own):,}" if len(own) else f"none of {len(predicted):,}"
        lines.append(f"class {k} ({class_names[k]}): no pseudo-label is {where} ({found} predicted as it).")
    if len(empty) > _LINES:
        lines.append(f"... and {len(empty) - _LINES} more of {len(class_names)} classes.")
    lines.append("Lower pseudolabel.threshold, train the teacher longer, or set balance.on_empty=skip in params.yaml.")
    return "\n".join(lines)


def _check(probs):
    if probs.ndim != 2 or not probs.size:
        raise DataError(
            f"Pseudo-labels must be an array (images, classes) with at least one image, found shape "
            f"{probs.shape}.\nGive data.unlabelled_from a pool that holds images, then `dvc repro`."
        )
    total = probs.sum(axis=1, dtype=np.float64)
    # a NaN fails both comparisons
    wrong = np.flatnonzero(~((np.abs(total - 1) <= 1e-3) & (probs.min(axis=1) >= 0)))
    if len(wrong):
        row = wrong[0]
        raise DataError(
            f"Pseudo-labels: {len(wrong):,} of {len(probs):,} rows are no probabilities; "
            f"row {row} sums to {total[row]:.4g}, its least value is {probs[row].min():.4g}.\n"
            "The teacher is unsound: lower teacher.optimizer.learning_rate in params.yaml, then `dvc repro`."
        )

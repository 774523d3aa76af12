"""Stratified random subsets: every class keeps its share."""

import numpy as np

from noisy_student.runtime.errors import DataError


def stratified(labels, count, *, rng, name, classes):
    """Choose `count` rows at random so that every class keeps its share of them.

    Shares are rounded by largest remainder, ties in favour of the lower label; every class gets at least one row.

    Args:
        labels: (N,) int64 in [0, K).
        count: rows to choose, in [K, N].
        rng: NumPy generator.
        name: the parameter below `data.` that says `count`, for messages.
        classes: K class names.

    Returns:
        (count,) int64 rows, ascending.

    Raises:
        DataError: there are fewer rows than asked, a class has none, or `count` is less than K.
    """
    frequencies = np.bincount(labels, minlength=len(classes))
    if len(labels) < count:
        raise DataError(
            f"data.{name}: {count:,} images asked, found {len(labels):,}. Lower data.{name}, or add images."
        )
    for label in np.flatnonzero(frequencies == 0):
        raise DataError(
            f"data.{name}: {count:,} images asked, but class {label} ({classes[label]}) has no image left "
            f"to choose. Lower data.{name} or what the other splits take, or add images of this class."
        )
    if count < len(classes):
        raise DataError(
            f"data.{name}: {count:,} images asked, but there are {len(classes):,} classes (the last is "
            f"{classes[-1]}) and each needs at least one. Raise data.{name}."
        )
    rows = [
        rng.permutation(np.flatnonzero(labels == label))[:share]
        for label, share in enumerate(_shares(frequencies, count))
    ]
    return np.sort(np.concatenate(rows))


def _shares(frequencies, count):
    total = int(frequencies.sum())
    quotas = [count * int(frequency) for frequency in frequencies]  # in units of 1 / total: exact
    shares = [max(1, quota // total) for quota in quotas]
    while sum(shares) != count:
        step = 1 if sum(shares) < count else -1
        # The class that lies furthest below (or above) its quota; a class never loses its last row.
        change = [k for k in range(len(shares)) if step > 0 or shares[k] > 1]
        furthest = max(change, key=lambda k: step * (quotas[k] - shares[k] * total))
        shares[furthest] += step
    return shares

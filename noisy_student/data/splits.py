"""Stratified random subsets: every class keeps its share."""

from collections.abc import Sequence

import numpy as np

from noisy_student.runtime.errors import DataError
from noisy_student.runtime.types import Labels, Rows


def stratified(labels: Labels, count: int, *, rng: np.random.Generator, name: str, classes: Sequence[str]) -> Rows:
    """Choose `count` rows, in [number of classes, N], at random so that every class keeps its share; ascending.

    Shares are rounded by largest remainder, ties in favour of the lower label; every class gets at least one row.

    Args:
        name: the parameter below `data.` that says `count`, for messages.

    Raises:
        DataError: there are fewer rows than asked, a class has none, or `count` is less than there are classes.
    """
    asked = f"data.{name}: {count:,} images asked"
    frequencies = np.bincount(labels, minlength=len(classes))
    if len(labels) < count:
        raise DataError(f"{asked}, found {len(labels):,}. Lower data.{name}, or add images.")
    for label in np.flatnonzero(frequencies == 0).tolist():
        raise DataError(
            f"{asked}, but class {label} ({classes[label]}) has no image left to choose. "
            f"Lower data.{name} or what the other splits take, or add images of this class."
        )
    if count < len(classes):
        raise DataError(
            f"{asked}, but there are {len(classes):,} classes (the last is {classes[-1]}) and each needs "
            f"at least one. Raise data.{name}."
        )
    shares = enumerate(_shares(frequencies, count))
    return np.sort(np.concatenate([rng.permutation(np.flatnonzero(labels == k))[:share] for k, share in shares]))


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

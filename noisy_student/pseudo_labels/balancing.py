"""Which pseudo-labelled images a student sees: the confident ones, equally many of every class.

A balancing rule is one function of this file, `rule(confident, settings) -> rows`, found by its name: see `RULES`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from noisy_student.pseudo_labels.confidence import StoredProbs, best_guesses, is_kept
from noisy_student.runtime.errors import DataError, EmptyClassError, ParamsError
from noisy_student.runtime.types import Floats, Ints, Labels, Probs, Rows

if TYPE_CHECKING:
    from noisy_student.settings.schema import BalanceParams

_LINES = 5  # classes that a message names one by one

RULES: dict[str, Callable] = {}  # {name: rule}, see `rule`


def rule(function: Callable) -> Callable:
    """Decorator: let a balancing rule be found by the name of its function.

    A rule takes the `Confident` images and BalanceParams; it gives (n,) int64 rows of the pool, which may repeat.
    """
    RULES[function.__name__] = function
    return function


def rule_of(settings: BalanceParams, where: str = "balance") -> Callable:
    """The rule that the section asks for.

    Args:
        where: the section, for messages.

    Raises:
        ParamsError: there is no such rule.
    """
    name = settings.rule if settings.enabled else "unbalanced"
    if name not in RULES:
        raise ParamsError(f"{where}.rule={name}: no such rule; choose one of {', '.join(sorted(RULES))}")
    return RULES[name]


@dataclass(frozen=True)
class Confident:
    """The images that pass the filter, of which a rule chooses."""

    rows: Rows  # ascending, at least one
    predicted: Labels  # of the whole pool, as is the confidence
    confidence: Floats
    where: str  # the filter in words, for messages
    class_names: Sequence[str]

    def by_class(self) -> list[Rows]:
        """For each of the K classes the rows that are predicted as it, most confident first, ties by row."""
        classes = self.predicted[self.rows]
        ordered = self.rows[np.lexsort((-self.confidence[self.rows], classes))]
        return np.split(ordered, np.bincount(classes, minlength=len(self.class_names)).cumsum()[:-1])


@rule
def unbalanced(confident: Confident, settings: BalanceParams) -> Rows:
    """Every confident image once."""
    return confident.rows


@rule
def equal(confident: Confident, settings: BalanceParams) -> Rows:
    """The same number of confident images for every class (arXiv:1911.04252, section 3.1).

    Too many: the most confident stay; too few: they are repeated in order. Images of equal confidence keep the
    order of their rows, so nothing is random.

    Returns:
        (classes * per_class,) rows, grouped by class, most confident first; `classes` is K less the skipped ones.

    Raises:
        EmptyClassError: a class has no confident image and `on_empty` is "error".
    """
    by_class = confident.by_class()
    empty = [k for k, members in enumerate(by_class) if not len(members)]
    if empty and settings.on_empty == "error":
        classes = len(by_class)
        best = np.zeros(classes, confident.confidence.dtype)
        np.maximum.at(best, confident.predicted, confident.confidence)
        counts = np.bincount(confident.predicted, minlength=classes)
        refuse_empty_classes(empty, confident.where, confident.class_names, best=best, predicted=counts)
    size = max(map(len, by_class)) if settings.per_class is None else settings.per_class
    # resize cuts, or starts again from the first
    return np.concatenate([np.resize(members, size) for members in by_class if len(members)])


def confident_images(
    probs: Probs | StoredProbs, *, threshold: float, max_confidence: float = 1.0, class_names: Sequence[str]
) -> Confident:
    """Filter a pool by confidence (arXiv:1911.04252, section 3.1), see `is_kept`.

    Raises:
        DataError: `probs` is no list of distributions.
        EmptyClassError: no image passes.
    """
    _check(probs)
    predicted, confidence = best_guesses(probs)
    rows = np.flatnonzero(is_kept(confidence, threshold, max_confidence))
    where = words_of_range(threshold, max_confidence)
    if not len(rows):
        raise no_label_passes(where, confidence.max(), len(confidence))
    return Confident(rows, predicted, confidence, where, class_names)


def no_label_passes(where: str, best: float, images: int) -> EmptyClassError:
    """The error of a pool of which no image passes the filter, which `where` describes."""
    return EmptyClassError(
        f"No pseudo-label of any class is {where} (best {best:.3f}, 0 of {images:,}).\n"
        "Lower pseudolabel.threshold or train the teacher longer."
    )


def words_of_range(threshold: float, max_confidence: float) -> str:
    """The filter in words, for messages."""
    above = f"above pseudolabel.threshold={threshold}"
    if max_confidence == 1:
        return above
    return f"{above} and at most pseudolabel.max_confidence={max_confidence}"


def refuse_empty_classes(
    empty: Sequence[int], where: str, class_names: Sequence[str], *, best: Floats, predicted: Ints
) -> None:
    """Raise the error of classes without a confident image.

    Args:
        empty: these classes.
        where: the filter in words.
        best: (K,) highest confidence of the images that are predicted as each class ...
        predicted: (K,) ... and how many these are.
    """
    lines = []
    for k in empty[:_LINES]:
        found = f"best {best[k]:.3f}, 0 of {predicted[k]:,}" if predicted[k] else f"none of {predicted.sum():,}"
        lines.append(f"class {k} ({class_names[k]}): no pseudo-label is {where} ({found} predicted as it).")
    if len(empty) > _LINES:
        lines.append(f"... and {len(empty) - _LINES} more of {len(class_names)} classes.")
    lines.append("Lower pseudolabel.threshold, train the teacher longer, or set balance.on_empty=skip in params.yaml.")
    raise EmptyClassError("\n".join(lines))


def _check(probs):
    if probs.ndim != 2 or not probs.size:
        raise DataError(
            f"Pseudo-labels must be an array (images, classes) with at least one image, found shape "
            f"{probs.shape}.\nGive data.unlabelled_from a pool that holds images, then `dvc repro`."
        )
    if not isinstance(probs, np.ndarray):
        return  # its shards were checked when they were opened
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

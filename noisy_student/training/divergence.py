"""Stopping a training that cannot lead anywhere, with the step, the rate and what to try."""

import math
from typing import Any

import numpy as np
import scipy.stats

from noisy_student.runtime.errors import DivergenceError
from noisy_student.runtime.layout import Model
from noisy_student.runtime.types import Labels
from noisy_student.training.phases import Phase

PATIENCE = 3  # validations in a row at the level of guessing
EVIDENCE = 5_000  # training images after the warm-up, before which nothing is concluded
MOST = 0.5  # share of a class from which on accuracies tell little
GAIN = 0.05  # of the entropy of the labels: who knows no image, but how frequent classes are, has all of it


def check_finite(name: str, what: str, value: float, *, steps: tuple[int, int], rate: float) -> None:
    """Raise DivergenceError unless a loss of the training `name` is finite.

    Args:
        what: e.g. "validation loss".
        steps: (first, last) step that it is about, counted from 1.
        rate: the learning rate at the last one.
    """
    if np.isfinite(value):
        return
    section = _section(name)
    mend = f"Lower {section}.optimizer.learning_rate or raise {section}.schedule.warmup in params.yaml."
    if name.endswith(" finetune"):
        mend = f"Lower {section}.finetune.learning_rate in params.yaml."
    raise DivergenceError(
        f"{name}: the {what} became {value} between steps {steps[0]} and {steps[1]} "
        f"(learning rate {rate:.3g}); no model is saved.\n{mend}"
    )


def entropy(labels: Labels) -> float:
    """The cross entropy of who knows no image, but how frequent the classes are; in nats."""
    return float(scipy.stats.entropy(np.bincount(labels)))


def guessing_limit(share: float, images: int) -> float:
    """The accuracy that who guesses hardly exceeds: three standard deviations above the largest class's share."""
    return share + 3.0 * math.sqrt(share * (1.0 - share) / images)


def check_learning(phase: Phase, history: list[dict[str, Any]], labels: Labels, *, batch_size: int) -> None:
    """Raise DivergenceError if nothing is learned; `labels` are those of the validation images, if there are any.

    That is so if in `PATIENCE` validations in a row, after `EVIDENCE` images, neither the training's accuracy nor
    the validation's exceeds `guessing_limit`, nor is the validation loss below the labels' `entropy` by the share
    `GAIN` (where one class is most of the images, accuracies tell little). Classes are as frequent as they are in the
    batches and in the validation images: a student learns from balanced pseudo-labels, whatever is frequent elsewhere.
    Without validation images it is the training's accuracy alone that tells, unless one class is most of the images.
    """
    warmup = phase.training.schedule.warmup * phase.steps
    rows = [row for row in history if row["step"] > warmup][-PATIENCE:]
    if len(rows) < PATIENCE or (rows[-1]["step"] - warmup) * batch_size < EVIDENCE:
        return
    last, section = rows[-1], _section(phase.name)
    limits = {"train_accuracy": guessing_limit(phase.largest_class, phase.round_steps * batch_size)}
    validated, right, largest, highest_loss = last["validation_loss"] is not None, "", "", 0.0
    if validated:
        share, highest_loss = float(np.bincount(labels).max() / len(labels)), (1 - GAIN) * entropy(labels)
        limits["validation_accuracy"] = guessing_limit(share, len(labels))
        right = f" and {100 * last['validation_accuracy']:.1f} % of the validation images"
        largest = f" and {100 * share:.1f} % of the validation images"
    elif phase.largest_class > MOST:
        return
    for row in rows:
        if validated and row["validation_loss"] < highest_loss:
            return
        if any(row[name] > limit for name, limit in limits.items()):
            return
    raise DivergenceError(
        f"{phase.name}: nothing is learned. At step {last['step']} (learning rate "
        f"{last['learning_rate']:.3g}), {PATIENCE} or more validations after the warm-up, "
        f"{100 * last['train_accuracy']:.1f} % of the training images are right{right}; the largest class is "
        f"{100 * phase.largest_class:.1f} % of the training images{largest}; no model is saved.\n"
        f"Lower {section}.optimizer.learning_rate (or raise it, if it is tiny), raise "
        f"{section}.schedule.warmup, or look whether the labels belong to the images."
    )


def _section(name):
    """The section of the parameters: "student" of "student-gen1 finetune"."""
    return Model.named(name.partition(" ")[0]).section

"""Stopping a training that cannot lead anywhere, with the step, the rate and what to try."""

import math

import numpy as np
import scipy.stats

from noisy_student.runtime.errors import DivergenceError
from noisy_student.runtime.layout import Model

PATIENCE = 3  # validations in a row at the level of guessing
EVIDENCE = 5_000  # training images after the warm-up, before which nothing is concluded
GAIN = 0.05  # of the entropy of the labels: who knows no image, but how frequent classes are, has all of it


def check_finite(name, what, value, *, steps, rate):
    """Raise unless a loss is finite.

    Args:
        name: of the training.
        what: e.g. "validation loss".
        value: of it.
        steps: (first, last) step that it is about, counted from 1.
        rate: the learning rate at the last one.

    Raises:
        DivergenceError: it is NaN or infinite.
    """
    if np.isfinite(value):
        return
    section, tuning = _section(name)
    mend = f"Lower {section}.optimizer.learning_rate or raise {section}.schedule.warmup in params.yaml."
    if tuning:
        mend = f"Lower {section}.finetune.learning_rate in params.yaml."
    raise DivergenceError(
        f"{name}: the {what} became {value} between steps {steps[0]} and {steps[1]} "
        f"(learning rate {rate:.3g}); no model is saved.\n{mend}"
    )


def entropy(labels):
    """The cross entropy of who knows no image, but how frequent the classes are; in nats.

    Args:
        labels: (N,) int classes.
    """
    return float(scipy.stats.entropy(np.bincount(labels)))


def guessing_limit(share, images):
    """The accuracy that who guesses hardly exceeds: three standard deviations above the expectation.

    Args:
        share: of the largest class, in [0, 1].
        images: how many are guessed.
    """
    return share + 3.0 * math.sqrt(share * (1.0 - share) / images)


def check_learning(phase, history: list[dict], labels, *, batch_size: int):
    """Raise if nothing is learned.

    That is so if in `PATIENCE` validations in a row, after `EVIDENCE` images, neither the training's accuracy nor
    the validation's exceeds `guessing_limit`, nor is the validation loss below the labels' `entropy` by the share
    `GAIN` (where one class is most of the images, accuracies tell little).

    Args:
        phase: phases.Phase.
        history: the rows of the learning curves so far.
        labels: (N,) int classes of the validation images.
        batch_size: images a step.

    Raises:
        DivergenceError: nothing is learned.
    """
    warmup = phase.training.schedule.warmup * phase.steps
    rows = [row for row in history if row["step"] > warmup][-PATIENCE:]
    if len(rows) < PATIENCE or (rows[-1]["step"] - warmup) * batch_size < EVIDENCE:
        return
    share = float(np.bincount(labels).max() / len(labels))
    limits = [guessing_limit(share, images) for images in (phase.round_steps * batch_size, len(labels))]
    highest_loss = (1 - GAIN) * entropy(labels)
    for row in rows:
        if row["train_accuracy"] > limits[0] or row["validation_accuracy"] > limits[1]:
            return
        if row["validation_loss"] < highest_loss:
            return
    last, (section, _) = rows[-1], _section(phase.name)
    raise DivergenceError(
        f"{phase.name}: nothing is learned. At step {last['step']} (learning rate "
        f"{last['learning_rate']:.3g}), {PATIENCE} or more validations after the warm-up, "
        f"{100 * last['train_accuracy']:.1f} % of the training images are right and "
        f"{100 * last['validation_accuracy']:.1f} % of the validation images, of which the largest class "
        f"is {100 * share:.1f} %; no model is saved.\n"
        f"Lower {section}.optimizer.learning_rate (or raise it, if it is tiny), raise "
        f"{section}.schedule.warmup, or look whether the labels belong to the images."
    )


def _section(name):
    """The section of the parameters, and whether it is about fine-tuning: ("student", False)."""
    model, _, tuning = name.partition(" ")  # "student-gen1 finetune"
    return Model.named(model).section, bool(tuning)

"""Stopping a training that cannot lead anywhere, with the step, the rate and what to try."""

import math
import time

import keras
import numpy as np
import scipy.stats

from noisy_student.runtime.errors import DivergenceError

PATIENCE = 3  # validations in a row at the level of guessing
EVIDENCE = 5_000  # training images after the warm-up, before which nothing is concluded
GAIN = 0.05  # of the entropy of the labels: who knows no image, but how frequent classes are, has all of it
SECONDS = 1.0  # between two looks at the loss within a round: each waits for the device


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


class Divergence(keras.callbacks.Callback):
    """Stop when the loss is not finite, or when after the warm-up nothing is learned.

    Nothing is learned if in `PATIENCE` validations in a row, after `EVIDENCE` images, neither the training's
    accuracy nor the validation's exceeds `guessing_limit`, nor is the validation loss below the labels'
    `entropy` by the share `GAIN` (where one class is most of the images, accuracies tell little).

    Args:
        validation: callbacks.Validation, which comes before.
        batches: training.batches.TrainingBatches.
        warmup: steps in which the rate rises.
        name: of the training.
    """

    def __init__(self, validation, *, batches, warmup, name):
        super().__init__()
        self.validation, self.batches, self.warmup, self.name = validation, batches, warmup, name
        self.share = float(np.bincount(validation.labels).max() / len(validation.labels))
        self.entropy = entropy(validation.labels)
        self._looked = time.monotonic()

    def on_train_batch_end(self, batch, logs=None):
        """Look at the running mean of the loss now and then."""
        if time.monotonic() - self._looked < SECONDS:
            return
        start = self.batches.round * self.batches.round_steps
        last = start + self.batches.start + batch + 1
        rate = self.validation.rate_used(last)
        check_finite(self.name, "loss", float(logs["loss"]), steps=(start + 1, last), rate=rate)
        self._looked = time.monotonic()

    def on_epoch_end(self, epoch, logs=None):
        """Compare the last validations with guessing."""
        rows = [row for row in self.validation.history if row["step"] > self.warmup][-PATIENCE:]
        images = (self.batches.round_steps * self.batches.batch_size, len(self.validation.labels))
        if len(rows) < PATIENCE or any(self._learns(row, *images) for row in rows):
            return
        last, (section, _) = rows[-1], _section(self.name)
        if (last["step"] - self.warmup) * self.batches.batch_size < EVIDENCE:
            return
        raise DivergenceError(
            f"{self.name}: nothing is learned. At step {last['step']} (learning rate "
            f"{last['learning_rate']:.3g}), {PATIENCE} or more validations after the warm-up, "
            f"{100 * last['train_accuracy']:.1f} % of the training images are right and "
            f"{100 * last['validation_accuracy']:.1f} % of the validation images, of which the largest class "
            f"is {100 * self.share:.1f} %; no model is saved.\n"
            f"Lower {section}.optimizer.learning_rate (or raise it, if it is tiny), raise "
            f"{section}.schedule.warmup, or look whether the labels belong to the images."
        )

    def _learns(self, row, trained, validated):
        return (
            row["train_accuracy"] > guessing_limit(self.share, trained)
            or row["validation_accuracy"] > guessing_limit(self.share, validated)
            or row["validation_loss"] < (1 - GAIN) * self.entropy
        )


def _section(name):
    """The section of the parameters, and whether it is about fine-tuning: ("student", False)."""
    model, _, tuning = name.partition(" ")  # "student-gen1 finetune"
    return model.partition("-")[0], bool(tuning)

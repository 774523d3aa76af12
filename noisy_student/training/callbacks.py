"""What happens between the rounds of a training."""

import sys

import keras
import numpy as np

from noisy_student import metrics
from noisy_student.errors import DivergenceError
from noisy_student.predict import predict_logits, to_probs
from noisy_student.progress import bar


def _synchronise(model):
    # the JAX trainer keeps the variables to itself between steps
    if keras.backend.backend() == "jax":
        model.jax_state_sync()


class Rounds(keras.callbacks.Callback):
    """Tell the batches which round it is, and stop a training that diverged."""

    def __init__(self, batches, *, name):
        super().__init__()
        self.batches, self.name = batches, name

    def on_epoch_begin(self, epoch, logs=None):
        """Set the round before the first batch of it is made."""
        self.batches.round = epoch

    def on_epoch_end(self, epoch, logs=None):
        """Raise DivergenceError when the mean loss of the round is not finite."""
        if np.isfinite(logs["loss"]):
            return
        _synchronise(self.model)
        rate = float(self.model.optimizer.learning_rate)
        first, last = epoch * self.batches.round_steps + 1, (epoch + 1) * self.batches.round_steps
        raise DivergenceError(
            f"{self.name}: the loss became {logs['loss']} between steps {first} and {last} "
            f"(learning rate {rate:.3g}); no model is saved.\n"
            f"Lower {self.name}.optimizer.learning_rate or raise {self.name}.schedule.warmup."
        )


class Validation(keras.callbacks.Callback):
    """Validate after every round, keep the best weights and the history.

    With a moving average of the weights, the average is what is validated and kept.

    Attributes:
        history: a dict a round, the rows of the learning curves.
        best: the row of the best round.
        best_weights: the weights of that round.
    """

    def __init__(self, images, labels, *, batch_size, select_by, round_steps):
        super().__init__()
        self.images, self.labels, self.batch_size = images, labels, batch_size
        self.select_by, self.round_steps = select_by, round_steps
        self.history, self.best, self.best_weights = [], None, None

    def on_epoch_end(self, epoch, logs=None):
        """Add val_loss and val_accuracy to the logs, for the callbacks after this one."""
        _synchronise(self.model)
        rate = float(self.model.optimizer.learning_rate)
        trained = self.model.get_weights()
        if self.model.optimizer.use_ema:
            self.model.optimizer.finalize_variable_values(self.model.trainable_variables)
        probs = to_probs(predict_logits(self.model, self.images, batch_size=self.batch_size))
        logs["val_loss"] = metrics.nll(probs, self.labels)
        logs["val_accuracy"] = metrics.accuracy(probs, self.labels)
        row = {
            "step": (epoch + 1) * self.round_steps,
            "train_loss": float(logs["loss"]),
            "validation_loss": logs["val_loss"],
            "train_accuracy": float(logs["accuracy"]),
            "validation_accuracy": logs["val_accuracy"],
            "learning_rate": rate,
        }
        self.history.append(row)
        if self.best is None or self._rank(row) > self._rank(self.best):
            self.best, self.best_weights = row, self.model.get_weights()
        if self.model.optimizer.use_ema:
            self.model.set_weights(trained)

    def _rank(self, row):
        loss, accuracy = -row["validation_loss"], row["validation_accuracy"]
        return (loss, accuracy) if self.select_by == "loss" else (accuracy, loss)


class PlateauFrom(keras.callbacks.ReduceLROnPlateau):
    """Keras' ReduceLROnPlateau that sleeps before epoch `first` (counted from 1)."""

    def __init__(self, first, **options):
        super().__init__(**options)
        self.first = first

    def on_epoch_end(self, epoch, logs=None):
        """Do nothing before the first epoch of the rule."""
        if epoch + 1 >= self.first:
            super().on_epoch_end(epoch, logs)


class Progress(keras.callbacks.Callback):
    """A progress bar over all steps, with the last validation beside it."""

    def __init__(self, *, name, steps):
        super().__init__()
        self.name, self.steps = name, steps

    def on_train_begin(self, logs=None):
        """Open the bar."""
        self._bar = bar(total=self.steps, name=self.name, unit="step")

    def on_train_batch_end(self, batch, logs=None):
        """Move the bar."""
        self._bar.update()

    def on_epoch_end(self, epoch, logs=None):
        """Show the validation."""
        self._bar.set_postfix({"val_accuracy": f"{logs['val_accuracy']:.4f}"})

    def on_train_end(self, logs=None):
        """Close the bar."""
        self._bar.close()


def make_callbacks(training, *, name, batches, validation, steps):
    """All callbacks of a training, in the order in which they must run."""
    callbacks = [Rounds(batches, name=name), validation]
    schedule = training.schedule
    if schedule.plateau_from_epoch is not None:
        first = schedule.plateau_from_epoch
        # Keras counts epochs from 0; both rules forget what came before the first epoch
        callbacks.append(
            PlateauFrom(first, monitor="val_loss", factor=0.1, patience=schedule.plateau_patience)
        )
        callbacks.append(
            keras.callbacks.EarlyStopping(
                monitor="val_loss", patience=schedule.stop_patience, start_from_epoch=first - 1
            )
        )
    if sys.stderr.isatty():  # a callback at every step costs time
        callbacks.append(Progress(name=name, steps=steps))
    return callbacks

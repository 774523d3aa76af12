"""What happens between the rounds of a training."""

import sys

import keras

from noisy_student.inference import metrics
from noisy_student.inference.predict import predict_logits, to_probs
from noisy_student.runtime.progress import bar
from noisy_student.training.divergence import Divergence, check_finite


def synchronise(model):
    """Let the variables of a model hold what its training has made of them."""
    # the JAX trainer keeps the variables to itself between steps
    if keras.backend.backend() == "jax":
        model.jax_state_sync()


class Rounds(keras.callbacks.Callback):
    """Tell the batches which round it is."""

    def __init__(self, batches):
        super().__init__()
        self.batches = batches

    def on_epoch_begin(self, epoch, logs=None):
        """Set the round before the first batch of it is made."""
        self.batches.round = epoch


class Validation(keras.callbacks.Callback):
    """Validate after every round, keep the best weights and the history, stop a training that diverged.

    With a moving average of the weights, the average is what is validated and kept, together with batch
    normalisation's own moving statistics.

    Args:
        network: the model that gives logits for images: the one that is fitted, or what it puts behind noise.
        images, labels: (N, H, W, 3) uint8 and (N,) integers that choose the checkpoint.
        batch_size: images a step.
        select_by: "loss" or "accuracy".
        rate: the schedule of the learning rate, or a number; see `make_schedule`.
        name: of the training.
        round_steps: steps in a round.

    Attributes:
        history: a dict a round, the rows of the learning curves.
        best: the row of the best round.
        best_weights: the weights of that round.
    """

    def __init__(self, network, images, labels, *, batch_size, select_by, rate, name, round_steps):
        super().__init__()
        self.network = network
        self.images, self.labels, self.batch_size = images, labels, batch_size
        self.select_by, self.rate, self.name, self.round_steps = select_by, rate, name, round_steps
        self.history, self.best, self.best_weights = [], None, None

    def on_epoch_end(self, epoch, logs=None):
        """Add val_loss and val_accuracy to the logs, for the callbacks after this one.

        Raises:
            DivergenceError: the mean loss of the round, or the validation loss, is not finite.
        """
        synchronise(self.model)
        row = {
            "step": (epoch + 1) * self.round_steps,
            "train_loss": float(logs["loss"]),
            "train_accuracy": float(logs["accuracy"]),
            "learning_rate": self.rate_used((epoch + 1) * self.round_steps),
        }
        self._check(row, "loss", row["train_loss"])
        trained = self._average_weights()
        row |= self.measure()
        logs["val_loss"], logs["val_accuracy"] = row["validation_loss"], row["validation_accuracy"]
        self._check(row, "validation loss", row["validation_loss"])
        self.history.append(row)
        if self.best is None or self._rank(row) > self._rank(self.best):
            self.best, self.best_weights = row, self.network.get_weights()
        if trained is not None:
            self.network.set_weights(trained)

    def measure(self):
        """The figures of the validation images with the present weights."""
        probs = to_probs(predict_logits(self.network, self.images, batch_size=self.batch_size))
        return {
            "validation_loss": metrics.nll(probs, self.labels),
            "validation_accuracy": metrics.accuracy(probs, self.labels),
        }

    def state(self):
        """What is to be saved: (arrays, the rest), for `restore`."""
        weights = [] if self.best_weights is None else self.best_weights
        best = None if self.best is None else self.history.index(self.best)
        return {f"best_{i}": w for i, w in enumerate(weights)}, {"history": self.history, "best": best}

    def restore(self, arrays, rest):
        """Go on from what `state` gave."""
        self.history = rest["history"]
        if rest["best"] is not None:
            self.best = self.history[rest["best"]]
            names = [name for name in arrays if name.startswith("best_")]
            self.best_weights = [arrays[f"best_{i}"] for i in range(len(names))]

    def rate_used(self, step):
        """The learning rate of a step, counted from 1."""
        rate = self.rate
        return float(rate(step - 1)) if callable(rate) else float(self.model.optimizer.learning_rate)

    def _average_weights(self):
        """Put the moving average into the model; return the weights that the training goes on with."""
        if not self.model.optimizer.use_ema:
            return None
        trained = self.network.get_weights()
        self.model.optimizer.finalize_variable_values(self.network.trainable_variables)
        # a copy: on JAX model and optimizer would share buffers, and the next step frees them
        self.network.set_weights(self.network.get_weights())
        return trained

    def _rank(self, row):
        loss, accuracy = -row["validation_loss"], row["validation_accuracy"]
        return (loss, accuracy) if self.select_by == "loss" else (accuracy, loss)

    def _check(self, row, what, value):
        steps = row["step"] - self.round_steps + 1, row["step"]
        check_finite(self.name, what, value, steps=steps, rate=row["learning_rate"])


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

    def __init__(self, *, name, steps, batches):
        super().__init__()
        self.name, self.steps, self.batches = name, steps, batches

    def on_train_begin(self, logs=None):
        """Open the bar."""
        self._bar = bar(total=self.steps, name=self.name, unit="step")

    def on_epoch_begin(self, epoch, logs=None):
        """Remember where the fit starts in the training."""
        self._before = epoch * self.batches.round_steps + self.batches.start

    def on_train_batch_end(self, batch, logs=None):
        """Move the bar; several steps may have been taken since the last call."""
        self._bar.update(self._before + batch + 1 - self._bar.n)

    def on_epoch_end(self, epoch, logs=None):
        """Show the validation."""
        self._bar.set_postfix({"val_accuracy": f"{logs['val_accuracy']:.4f}"})

    def on_train_end(self, logs=None):
        """Close the bar."""
        self._bar.close()


def make_callbacks(training, *, name, batches, validation, steps):
    """All callbacks of a training, in the order in which they must run."""
    schedule = training.schedule
    guard = Divergence(validation, batches=batches, warmup=schedule.warmup * steps, name=name)
    callbacks = [Rounds(batches), validation, guard]
    if schedule.plateau_from_epoch is not None:
        first = schedule.plateau_from_epoch
        # Keras counts epochs from 0; both rules forget what came before the first epoch
        callbacks.append(PlateauFrom(first, monitor="val_loss", factor=0.1, patience=schedule.plateau_patience))
        callbacks.append(
            keras.callbacks.EarlyStopping(
                monitor="val_loss", patience=schedule.stop_patience, start_from_epoch=first - 1
            )
        )
    if sys.stderr.isatty():  # a callback at every step costs time
        callbacks.append(Progress(name=name, steps=steps, batches=batches))
    return callbacks

"""What cannot wait for the end of a round."""

import time

import keras

from noisy_student.training.divergence import check_finite

SECONDS = 1.0  # between two looks at the loss: each waits for the device


class WithinRound(keras.callbacks.Callback):
    """Look at the loss now and then, save when that is due, move the progress bar; decide nothing else.

    Args:
        state: snapshots.State, of which only `index` changes here.
        phase: phases.Phase.
        batches: batches.TrainingBatches, that know the round.
        save: see `snapshots.saving`.
        shown: a progress bar over all steps.

    Attributes:
        weights: those at the end of the round where Keras' `fit` ends by replacing them by their moving average,
            for the training to go on with; else None.
    """

    def __init__(self, state, phase, batches, *, save, shown):
        super().__init__()
        self.state, self.phase, self.batches, self.save, self.shown = state, phase, batches, save, shown
        self.weights = None
        self._looked = time.monotonic()

    def on_epoch_begin(self, epoch, logs=None):
        """Go on from what was loaded: here, because Keras has just reset the running means of the round."""
        self.state.restore(self.model, self.batches)

    def on_train_batch_end(self, batch, logs=None):
        """`batch` is the last of the steps taken since the previous call."""
        before = self.batches.round * self.phase.round_steps
        self.state.index = self.batches.done + batch + 1
        step = before + self.state.index
        self.shown.update(step - self.shown.n)
        if time.monotonic() - self._looked >= SECONDS:
            rate = self.phase.rate_at(step, self.model.optimizer)
            check_finite(self.phase.name, "loss", float(logs["loss"]), steps=(before + 1, step), rate=rate)
            self._looked = time.monotonic()
        if self.state.index < self.phase.round_steps:
            self.save()

    def on_epoch_end(self, epoch, logs=None):
        """Keep the weights, if they are about to be replaced."""
        self.weights = self.model.get_weights() if self.model.optimizer.use_ema else None

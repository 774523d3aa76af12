"""What cannot wait for the end of a round."""

import time
from collections.abc import Callable
from typing import Any

import keras

from noisy_student.runtime.progress import Shown
from noisy_student.runtime.types import Floats
from noisy_student.training.batches import TrainingBatches
from noisy_student.training.divergence import check_finite
from noisy_student.training.phases import Phase
from noisy_student.training.snapshots import State

SECONDS = 1.0  # between two looks at the loss: each waits for the device


class WithinRound(keras.callbacks.Callback):
    """Look at the loss now and then, save when that is due, move the progress bar; decide nothing else.

    Of `state` only `index` changes here. `weights` are those at the end of a round where Keras' `fit` replaces them by
    their moving average, for the training to go on with; else None.
    """

    def __init__(
        self, state: State, phase: Phase, batches: TrainingBatches, *, save: Callable[[], None], shown: Shown
    ) -> None:
        super().__init__()
        self.state, self.phase, self.batches, self.save, self.shown = state, phase, batches, save, shown
        self.weights: list[Floats] | None = None
        self._looked = time.monotonic()

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Go on from what was loaded: here, because Keras has just reset the running means of the round."""
        self.state.restore(self.model)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
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

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Keep the weights, if they are about to be replaced."""
        self.weights = self.model.get_weights() if self.model.optimizer.use_ema else None

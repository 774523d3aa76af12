"""Batches as a function of the step: what step 1,000 sees does not depend on the steps before it."""

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from noisy_student.seeds import generator


class ShuffledRows:
    """An endless stream of row numbers: one permutation of all rows after the other.

    Args:
        rows: number of rows.
        batch_size: rows a step; may exceed `rows`.
        seed: of the permutations.
        name: tells several streams of one training apart.
    """

    def __init__(self, rows, *, batch_size, seed, name):
        self.rows, self.batch_size, self.seed, self.name = rows, batch_size, seed, name
        self._kept = {}

    def at(self, step):
        """(batch_size,) int64: the rows of step `step`, counted from 0."""
        positions = np.arange(step * self.batch_size, (step + 1) * self.batch_size)
        epochs, places = np.divmod(positions, self.rows)
        chosen = np.empty(self.batch_size, np.int64)
        for epoch in np.unique(epochs):
            here = epochs == epoch
            chosen[here] = self._permutation(int(epoch))[places[here]]
        return chosen

    def _permutation(self, epoch):
        if epoch not in self._kept:
            self._kept = {e: p for e, p in self._kept.items() if e >= epoch - 1}
            order = generator(self.seed, "order", self.name, epoch).permutation(self.rows)
            self._kept[epoch] = order
        return self._kept[epoch]


@dataclass(frozen=True)
class Share:
    """A part of every batch.

    Attributes:
        name: of its stream of rows.
        examples: what it is drawn from; see `noisy_student.training.examples`.
        batch_size: how many of them a batch holds.
        weight: of the mean loss over them in the batch's loss.
    """

    name: str
    examples: Any
    batch_size: int
    weight: float = 1.0


class TrainingBatches(keras.utils.PyDataset):
    """Noised batches for `keras.Model.fit`, one round (stretch between validations) an epoch.

    The loss of a batch is the sum over its shares of weight x mean cross entropy (paper, algorithm
    1; official code). Keras averages over the whole batch, so an image of a share that makes up the part
    b/B of the batch weighs weight x B/b.

    Args:
        shares: list of `Share`.
        noise: callable (images uint8, generator) -> images uint8.
        round_steps: steps in a round.
        seed: of order and noise.
    """

    def __init__(self, shares, *, noise, round_steps, seed):
        super().__init__()
        self.shares, self.noise, self.round_steps, self.seed = shares, noise, round_steps, seed
        self.round = 0  # set at the start of every round, see callbacks.Rounds
        self._streams = [
            ShuffledRows(len(s.examples), batch_size=s.batch_size, seed=seed, name=s.name) for s in shares
        ]
        size = sum(share.batch_size for share in shares)
        self._weights = np.concatenate(
            [np.full(s.batch_size, s.weight * size / s.batch_size, np.float32) for s in shares]
        )

    @property
    def num_batches(self):
        """Steps in a round."""
        return self.round_steps

    def __getitem__(self, index):
        """Images (B, H, W, 3) uint8, targets (B, K) float32 and sample weights (B,) float32."""
        step = self.round * self.round_steps + index
        drawn = [s.examples.take(rows.at(step)) for s, rows in zip(self.shares, self._streams, strict=True)]
        images = np.concatenate([images for images, _ in drawn])
        targets = np.concatenate([targets for _, targets in drawn])
        return self.noise(images, generator(self.seed, "noise", step)), targets, self._weights

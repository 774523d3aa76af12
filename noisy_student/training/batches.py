"""Batches as a function of the step: what step 1,000 sees does not depend on the steps before it."""

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from noisy_student.runtime.seeds import derive_seed, generator, image_keys


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
        """What step `step`, counted from 0, is made of.

        Returns:
            (epochs, rows), both (batch_size,) int64: how many permutations went before, and the row. No two
            steps, nor two places of a step, have the same pair.
        """
        positions = np.arange(step * self.batch_size, (step + 1) * self.batch_size)
        epochs, places = np.divmod(positions, self.rows)
        chosen = np.empty(self.batch_size, np.int64)
        for epoch in np.unique(epochs):
            here = epochs == epoch
            chosen[here] = self._permutation(int(epoch))[places[here]]
        return epochs, chosen

    def _permutation(self, epoch):
        order = self._kept.get(epoch)
        if order is None:
            order = generator(self.seed, "order", self.name, epoch).permutation(self.rows)
            # a new dict, never a changed one: several threads may ask
            self._kept = {e: p for e, p in self._kept.items() if e >= epoch - 1} | {epoch: order}
        return order


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
        noise: noisy_student.noise.pipeline.InputNoise. What an image gets is a function of the seed, the
            name of its share, and how often which row was seen.
        round_steps: steps in a round.
        seed: of order and noise.
        in_graph: noise.in_graph.InGraphNoise of `noise`: the batches hold draws, for the device to carry out.
            None: they hold noised images.
    """

    def __init__(self, shares, *, noise, round_steps, seed, in_graph=None):
        super().__init__()
        self.in_graph = in_graph
        self.shares, self.noise, self.round_steps, self.seed = shares, noise, round_steps, seed
        self.round = 0
        self.done = 0  # steps of the round that were taken before, when a training goes on within one
        self._streams = [ShuffledRows(len(s.examples), batch_size=s.batch_size, seed=seed, name=s.name) for s in shares]
        self._noise_seeds = [derive_seed(seed, "noise", share.name) for share in shares]
        self.batch_size = sum(share.batch_size for share in shares)
        self._weights = np.concatenate(
            [np.full(s.batch_size, s.weight * self.batch_size / s.batch_size, np.float32) for s in shares]
        )

    @property
    def num_batches(self):
        """Steps that are left in a round."""
        return self.round_steps - self.done

    def __getitem__(self, index):
        """Batch `index` of those that are left in the round.

        Returns:
            (images, targets, weights): (B, H, W, 3) uint8, (B, K) float32 and (B,) float32. With `in_graph`,
            instead of images a dict of "images" as they are and of what `InGraphNoise.prepare` returns.
        """
        step, first = self.round * self.round_steps + self.done + index, self.shares[0].examples
        images = np.empty((self.batch_size, *first.shape), np.uint8)
        targets = np.empty((self.batch_size, first.classes), np.float32)
        keys = np.empty(self.batch_size, np.uint64)
        here = slice(0, 0)
        for share, stream, seed in zip(self.shares, self._streams, self._noise_seeds, strict=True):
            here = slice(here.stop, here.stop + share.batch_size)
            epochs, rows = stream.at(step)
            share.examples.write(rows, images[here], targets[here])
            keys[here] = image_keys(seed, epochs, rows)
        if self.in_graph is not None:
            height, width = images.shape[1:3]
            draw = self.in_graph.prepare(self.noise.draw(keys), height=height, width=width)
            return {"images": images, **draw}, targets, self._weights
        if self.noise.active:
            self.noise.apply(images, self.noise.draw(keys), out=images)
        return images, targets, self._weights

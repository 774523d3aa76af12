"""Batches as a function of the step: what step 1,000 sees does not depend on the steps before it."""

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from noisy_student.data.views import resized
from noisy_student.noise.in_graph import InGraphNoise
from noisy_student.noise.pipeline import InputNoise
from noisy_student.runtime.seeds import derive_seed, generator, image_keys
from noisy_student.runtime.types import Floats, Rows
from noisy_student.training.examples import Examples


class ShuffledRows:
    """An endless stream of row numbers: one permutation of all rows after the other.

    Args:
        batch_size: rows a step; may exceed `rows`.
        name: tells several streams of one training apart.
    """

    def __init__(self, rows: int, *, batch_size: int, seed: int, name: str) -> None:
        self.rows, self.batch_size, self.seed, self.name = rows, batch_size, seed, name
        self._orders: dict[int, Rows] = {}

    def at(self, step: int) -> tuple[Rows, Rows]:
        """What step `step`, counted from 0, is made of.

        Returns:
            (epochs, rows), both (batch_size,): how many permutations went before, and the row. No two steps, nor two
            places of a step, have the same pair.
        """
        positions = np.arange(step * self.batch_size, (step + 1) * self.batch_size)
        epochs, places = np.divmod(positions, self.rows)
        chosen = np.empty(self.batch_size, np.int64)
        for epoch in np.unique(epochs):
            here = epochs == epoch
            chosen[here] = self._permutation(int(epoch))[places[here]]
        return epochs, chosen

    def _permutation(self, epoch):
        order = self._orders.get(epoch)
        if order is None:
            order = generator(self.seed, "order", self.name, epoch).permutation(self.rows)
            # a new dict, never a changed one: several threads may ask
            self._orders = {e: o for e, o in self._orders.items() if e >= epoch - 1} | {epoch: order}
        return order


@dataclass(frozen=True)
class Share:
    """A part of every batch: `batch_size` examples, whose mean loss counts `weight` times in the batch's."""

    name: str  # of its stream of rows
    examples: Examples
    batch_size: int
    weight: float = 1.0


class TrainingBatches(keras.utils.PyDataset):
    """Noised batches for `keras.Model.fit`, one round (stretch between validations) an epoch.

    The loss of a batch is the sum over its shares of weight x mean cross entropy (paper, algorithm
    1; official code). Keras averages over the whole batch, so an image of a share that makes up the part
    b/B of the batch weighs weight x B/b.

    Args:
        noise: what an image gets is a function of the seed, the name of its share, and how often which row was seen.
        round_steps: steps in a round.
        seed: of order and noise.
        image_size: side in pixels of the images that are trained on; None: as they are stored. A resized crop brings
            them to it from their stored size in one go, as the correction of resolutions wants it (arXiv:1906.06423).
        part: (which, of how many): make this part only of every batch, one of equal ones that follow each other.
        in_graph: that of `noise`: the batches hold draws, for the device to carry out. None: they hold noised images.
    """

    def __init__(
        self,
        shares: list[Share],
        *,
        noise: InputNoise,
        round_steps: int,
        seed: int,
        image_size: int | None = None,
        part: tuple[int, int] = (0, 1),
        in_graph: InGraphNoise | None = None,
    ) -> None:
        super().__init__()
        self.shares, self.noise, self.in_graph, self.round_steps, self.seed = shares, noise, in_graph, round_steps, seed
        self.round = 0
        self.error: Exception | None = None  # what making a batch raised, where a framework puts another in its place
        stored = shares[0].examples.shape[0]
        self._resized_to = image_size if image_size not in (None, stored) and not noise.resizes else None
        self.done = 0  # steps of the round that were taken before, when a training goes on within one
        self._streams = [ShuffledRows(len(s.examples), batch_size=s.batch_size, seed=seed, name=s.name) for s in shares]
        self._noise_seeds = [derive_seed(seed, "noise", share.name) for share in shares]
        self.batch_size = sum(share.batch_size for share in shares)
        which, parts = part
        self._own = range(self.batch_size * which // parts, self.batch_size * (which + 1) // parts)
        weights = [np.full(s.batch_size, s.weight * self.batch_size / s.batch_size, np.float32) for s in shares]
        self._weights = np.concatenate(weights)[self._own.start : self._own.stop]

    @property
    def num_batches(self) -> int:
        """Steps that are left in a round."""
        return self.round_steps - self.done

    def __getitem__(self, index: int) -> tuple[Any, Floats, Floats]:
        """Batch `index` of those that are left in the round, or this process's part of it.

        Returns:
            (images, targets, weights): (B, H, W, 3) uint8, (B, K) float32 and (B,) float32. With `in_graph`,
            instead of images a dict of "images" before their noise and of what `InGraphNoise.prepare` returns.
        """
        step, first = self.round * self.round_steps + self.done + index, self.shares[0].examples
        images = np.empty((len(self._own), *first.shape), np.uint8)
        targets = np.empty((len(self._own), first.classes), np.float32)
        keys = np.empty(len(self._own), np.uint64)
        begin = -self._own.start  # of the share, counted from where the part begins
        for share, stream, seed in zip(self.shares, self._streams, self._noise_seeds, strict=True):
            here, before = slice(max(begin, 0), min(begin + share.batch_size, len(self._own))), begin
            begin += share.batch_size
            if here.start >= here.stop:
                continue
            epochs, rows = (column[here.start - before : here.stop - before] for column in stream.at(step))
            share.examples.write(rows, images[here], targets[here])
            keys[here] = image_keys(seed, epochs, rows)
        if self._resized_to is not None:
            images = resized(images, self._resized_to)
        height, width = images.shape[1:3]
        if self.in_graph is not None:
            draw = self.in_graph.prepare(self.noise.draw(keys, (height, width)), height=height, width=width)
            return {"images": images, **draw}, targets, self._weights.copy()
        if self.noise.active:
            out = None if self.noise.resizes else images
            images = self.noise.apply(images, self.noise.draw(keys, (height, width)), out=out)
        return images, targets, self._weights.copy()  # TensorFlow computes in the memory of what it is given

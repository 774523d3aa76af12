"""What is trained for how long: a training, or the fine-tuning that follows it."""

import functools
import math
from dataclasses import dataclass

import keras
import numpy as np

from noisy_student.data.labelled import LabelledImages
from noisy_student.runtime.seeds import derive_seed
from noisy_student.settings.params import Params
from noisy_student.settings.schema import ScheduleParams, TrainingParams
from noisy_student.training.batches import Share
from noisy_student.training.optimization import WarmUpDecay, make_schedule
from noisy_student.training.shares import teacher_shares


@dataclass(frozen=True)
class Phase:
    """A training, or the fine-tuning that follows it."""

    name: str  # in messages, e.g. "student-gen1"
    training: TrainingParams  # that hold for it
    shares: list[Share]
    image_size: int
    round_steps: int
    rounds: int
    seed: int  # of weights, order and noise
    augmented: bool = True  # whether the input noise of the training acts
    frozen: int | None = None  # how many blocks stay as they are, besides the stem; None: everything learns
    smaller: tuple[tuple[int, int], ...] = ()  # (pixels, rounds that are done when it ends) of every smaller size

    @property
    def steps(self) -> int:
        """Its length in steps."""
        return self.rounds * self.round_steps

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """(pixels, rounds that are done when it ends) of all sizes in order; the last one is `image_size`."""
        return [*self.smaller, (self.image_size, self.rounds)]

    @functools.cached_property
    def rate(self) -> float | WarmUpDecay:
        """The learning rate."""
        return make_schedule(self.training, steps=self.steps)

    @functools.cached_property
    def largest_class(self) -> float:
        """The accuracy in training of who says the same class of every image: the most frequent one of its batches."""
        counts = [share.batch_size * share.examples.frequencies() for share in self.shares]
        return float(np.sum(counts, axis=0).max() / sum(share.batch_size for share in self.shares))

    def rate_at(self, step: int, optimizer: keras.optimizers.Optimizer) -> float:
        """The learning rate of a step, counted from 1, that the optimizer has just taken."""
        return float(self.rate(step - 1)) if callable(self.rate) else float(optimizer.learning_rate)


def round_length(training: TrainingParams, shares: list[Share]) -> tuple[int, int]:
    """(steps a round, rounds) of a training.

    An epoch is the number of steps in which every image of every share was seen at least once.
    """
    if training.steps and training.validate_every:
        return training.validate_every, training.steps // training.validate_every
    return max(math.ceil(len(s.examples) / s.batch_size) for s in shares), training.epochs or 0


def main_phase(params: Params, training: TrainingParams, shares: list[Share], *, name: str, stored: int) -> Phase:
    """The training itself; `stored` is the side of the images as `prepare` has written them."""
    steps, rounds = round_length(training, shares)
    size = training.image_size or stored
    return Phase(
        name=name,
        training=training,
        shares=shares,
        image_size=size,
        smaller=smaller_sizes(training, size, rounds),
        round_steps=steps,
        rounds=rounds,
        frozen=training.freeze_blocks,
        seed=derive_seed(params.seed, name),
    )


def smaller_sizes(training: TrainingParams, size: int, rounds: int) -> tuple[tuple[int, int], ...]:
    """`Phase.smaller` of a training: sides that grow evenly from `progressive.image_size` to `size`, in pixels."""
    first, count = training.progressive.image_size, training.progressive.sizes
    if first is None:
        return ()
    sides = [first + (size - first) * place // count for place in range(count)]
    return tuple(zip(sides, training.ends_of_sizes(rounds), strict=True))


def finetune_phase(main: Phase, labelled: LabelledImages, *, classes: int) -> Phase | None:
    """The phase after `main`, of one round; None if there is none."""
    training, tuning = main.training, main.training.finetune
    if not tuning.epochs:
        return None
    size = tuning.image_size or main.image_size
    rate = training.optimizer.rate / 10 if tuning.learning_rate is None else tuning.learning_rate
    changes = {
        "image_size": size,
        "batch_size": tuning.batch_size,
        "optimizer": training.optimizer.model_copy(update={"learning_rate": rate}),
        "schedule": ScheduleParams(name="cosine"),
        "ema": 0.0,
    }
    tuned = training.model_copy(update=changes)
    return Phase(
        name=f"{main.name} finetune",
        training=tuned,
        shares=teacher_shares(tuned, labelled, classes=classes),
        image_size=size,
        augmented=tuning.augment,
        round_steps=max(1, math.ceil(tuning.epochs * len(labelled.labels) / tuning.batch_size)),
        rounds=1,
        frozen=tuning.freeze_blocks,
        seed=derive_seed(main.seed, "finetune"),
    )

"""What is trained for how long: a training, or the fine-tuning that follows it."""

import functools
import math
from dataclasses import dataclass

from noisy_student.runtime.seeds import derive_seed
from noisy_student.settings.schema import ScheduleParams, TrainingParams
from noisy_student.training.optimization import make_schedule
from noisy_student.training.shares import teacher_shares


@dataclass(frozen=True)
class Phase:
    """A training, or the fine-tuning that follows it.

    Attributes:
        name: in messages, e.g. "student-gen1".
        training: TrainingParams that hold for it.
        shares: what its batches are made of.
        image_size: side of its images in pixels.
        augmented: whether the input noise of the training acts.
        round_steps, rounds: its length.
        frozen: how many blocks stay as they are, besides the stem; None: everything learns.
        seed: of weights, order and noise.
    """

    name: str
    training: TrainingParams
    shares: list
    image_size: int
    augmented: bool
    round_steps: int
    rounds: int
    frozen: int | None
    seed: int

    @property
    def steps(self) -> int:
        """Its length in steps."""
        return self.rounds * self.round_steps

    @functools.cached_property
    def rate(self):
        """The learning rate: a number or a schedule."""
        return make_schedule(self.training, steps=self.steps)

    def rate_at(self, step: int, optimizer) -> float:
        """The learning rate of a step, counted from 1, that the optimizer has just taken."""
        return float(self.rate(step - 1)) if callable(self.rate) else float(optimizer.learning_rate)


def round_length(training, shares):
    """(steps a round, rounds) of a training.

    An epoch is the number of steps in which every image of every share was seen at least once.
    """
    if training.epochs is None:
        return training.validate_every, training.steps // training.validate_every
    return max(math.ceil(len(s.examples) / s.batch_size) for s in shares), training.epochs


def main_phase(params, training, shares, *, name: str, stored: int) -> Phase:
    """The training itself; `stored` is the side of the images as `prepare` has written them."""
    steps, rounds = round_length(training, shares)
    return Phase(
        name=name,
        training=training,
        shares=shares,
        image_size=training.image_size or stored,
        augmented=True,
        round_steps=steps,
        rounds=rounds,
        frozen=None,
        seed=derive_seed(params.seed, name),
    )


def finetune_phase(main: Phase, labelled, *, classes: int) -> Phase | None:
    """The phase after `main`, of one round; None if there is none."""
    training, tuning = main.training, main.training.finetune
    if not tuning.epochs:
        return None
    changes = {
        "image_size": tuning.image_size or main.image_size,
        "batch_size": tuning.batch_size,
        "optimizer": training.optimizer.model_copy(update={"learning_rate": tuning.learning_rate}),
        "schedule": ScheduleParams(name="cosine"),
        "ema": 0.0,
    }
    tuned = training.model_copy(update=changes)
    return Phase(
        name=f"{main.name} finetune",
        training=tuned,
        shares=teacher_shares(tuned, labelled, classes=classes),
        image_size=tuned.image_size,
        augmented=tuning.augment,
        round_steps=max(1, math.ceil(tuning.epochs * len(labelled.labels) / tuning.batch_size)),
        rounds=1,
        frozen=tuning.freeze_blocks,
        seed=derive_seed(main.seed, "finetune"),
    )

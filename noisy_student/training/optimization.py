"""Optimizers and learning-rate schedules from parameters."""

import math
from dataclasses import dataclass
from typing import Any

import keras
from keras import ops

from noisy_student import backends
from noisy_student.runtime.types import Tensor
from noisy_student.settings.schema import TrainingParams


@dataclass(eq=False, kw_only=True)
class WarmUpDecay(keras.optimizers.schedules.LearningRateSchedule):
    """Rise linearly from 0 to the peak, then stay, or fall to 0 along a line or half a cosine."""

    peak: float
    steps: int  # of the whole training
    warmup: float  # share of the steps that rise, in [0, 1)
    shape: str  # "constant", "linear", "cosine" (Loshchilov and Hutter 2017, eq. 5) or "exponential": in stairs
    decay_rate: float = 1.0  # factor of an exponential fall
    decay_every: float = 1.0  # share of the steps after which it falls once more, in (0, 1]

    def __call__(self, step: Tensor) -> Tensor:
        """The rate of step `step`, counted from 0; the last step still moves the weights."""
        step = ops.cast(step, "float32")
        rising = self.warmup * self.steps
        left = ops.clip((self.steps - step) / (self.steps - rising), 0.0, 1.0)
        fall = {
            "constant": lambda: 1.0,
            "linear": lambda: left,
            "cosine": lambda: (1.0 - ops.cos(math.pi * left)) / 2.0,
            "exponential": lambda: self.decay_rate ** ops.floor(step / (self.decay_every * self.steps)),
        }[self.shape]()
        rise = (step + 1.0) / rising if rising else 1.0
        return self.peak * ops.minimum(ops.minimum(rise, fall), 1.0)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return dict(vars(self))


def make_schedule(training: TrainingParams, *, steps: int) -> float | WarmUpDecay:
    """The learning rate in so many steps: a number where it is constant."""
    schedule, peak = training.schedule, training.optimizer.rate
    if schedule.name == "constant" and not schedule.warmup:
        return peak
    return WarmUpDecay(
        peak=peak,
        steps=steps,
        warmup=schedule.warmup,
        shape=schedule.name,
        decay_rate=schedule.decay_rate,
        decay_every=schedule.decay_every,
    )


def make_optimizer(training: TrainingParams, rate: float | WarmUpDecay) -> keras.optimizers.Optimizer:
    """The optimizer of a training at a rate of `make_schedule`.

    Weight decay is decoupled (Loshchilov and Hutter 2019) and leaves biases and normalisation
    scales alone. Its strength is multiplied by the learning rate.
    """
    params = training.optimizer
    common: dict[str, Any] = {"use_ema": training.ema > 0, "weight_decay": params.weight_decay or None}
    if training.ema > 0:
        common["ema_momentum"] = training.ema
    if params.name == "sgd":
        common |= {"momentum": params.momentum, "nesterov": params.momentum > 0}
    if params.name == "rmsprop":
        common |= {"momentum": params.momentum, "rho": params.rho, "epsilon": params.epsilon}
    optimizer = backends.current().OPTIMIZERS[params.name](rate, **common)
    if params.weight_decay > 0:
        optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer

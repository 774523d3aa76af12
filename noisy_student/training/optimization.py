"""Optimizers and learning-rate schedules from parameters."""

import math

import keras
from keras import ops

from noisy_student import backends


class WarmUpDecay(keras.optimizers.schedules.LearningRateSchedule):
    """Rise linearly from 0 to the peak, then stay, or fall to 0 along a line or half a cosine.

    Args:
        peak: the highest rate.
        steps: steps of the whole training.
        warmup: share of the steps that rise, in [0, 1).
        shape: "constant", "linear", "cosine" (Loshchilov and Hutter 2017, eq. 5) or "exponential": in stairs.
        decay_rate: factor of an exponential fall.
        decay_every: share of the steps after which it falls once more, in (0, 1].
    """

    def __init__(self, *, peak, steps, warmup, shape, decay_rate=1.0, decay_every=1.0):
        self.peak, self.steps, self.warmup, self.shape = peak, steps, warmup, shape
        self.decay_rate, self.decay_every = decay_rate, decay_every

    def __call__(self, step):
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

    def get_config(self):
        """The arguments."""
        names = ("peak", "steps", "warmup", "shape", "decay_rate", "decay_every")
        return {name: getattr(self, name) for name in names}


def make_schedule(training, *, steps):
    """The learning rate: a number where it is constant, else a `WarmUpDecay`.

    Args:
        training: TrainingParams.
        steps: of the whole training.
    """
    schedule, learning_rate = training.schedule, training.optimizer.learning_rate
    if schedule.name == "constant" and not schedule.warmup:
        return learning_rate
    fall = {"decay_rate": schedule.decay_rate, "decay_every": schedule.decay_every}
    return WarmUpDecay(
        peak=learning_rate,
        steps=steps,
        warmup=schedule.warmup,
        shape=schedule.name,
        **(fall if schedule.name == "exponential" else {}),
    )


def make_optimizer(training, rate):
    """The optimizer of a training.

    Weight decay is decoupled (Loshchilov and Hutter 2019) and leaves biases and normalisation
    scales alone. Its strength is multiplied by the learning rate.

    Args:
        training: TrainingParams.
        rate: see `make_schedule`.
    """
    params = training.optimizer
    common = {"use_ema": training.ema > 0}
    if training.ema > 0:
        common["ema_momentum"] = training.ema
    if params.weight_decay > 0:
        common["weight_decay"] = params.weight_decay
    if params.name == "sgd":
        common |= {"momentum": params.momentum, "nesterov": params.momentum > 0}
    if params.name == "rmsprop":
        common |= {"momentum": params.momentum, "rho": params.rho, "epsilon": params.epsilon}
    optimizer = backends.current().OPTIMIZERS[params.name](rate, **common)
    if params.weight_decay > 0:
        optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer

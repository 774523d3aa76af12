"""Optimizers and learning-rate schedules from parameters."""

import math
from dataclasses import dataclass
from typing import Any

import keras
from keras import ops

from noisy_student import backends
from noisy_student.models.build import LOGITS
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
    params, kind = training.optimizer, backends.current().OPTIMIZERS[training.optimizer.name]
    common: dict[str, Any] = {"weight_decay": params.weight_decay or None}
    if training.ema > 0:
        kind = _with_warm_up(kind)
        common |= {"use_ema": True, "ema_momentum": training.ema}
    if training.body_rate < 1.0:
        kind = _with_slow_body(kind, training.body_rate)
    if params.name == "sgd":
        common |= {"momentum": params.momentum, "nesterov": params.momentum > 0}
    if params.name == "rmsprop":
        common |= {"momentum": params.momentum, "rho": params.rho, "epsilon": params.epsilon}
    optimizer = kind(rate, **common)
    if params.weight_decay > 0:
        optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer


class WarmingUp:
    """What an optimizer of Keras averages the weights by, so that a short training's average is not its first steps'.

    After t steps that are averaged, the next one has the share 1 - min(ema, (1 + t) / (10 + t)), as in TensorFlow's
    ExponentialMovingAverage with `num_updates` (the paper's official code); the first one makes the average alone.
    """

    ema_momentum: float
    iterations: Tensor
    _model_variables_moving_average: list[keras.Variable | None]

    def _update_model_variables_moving_average(self, trainable_variables: list[keras.Variable]) -> None:
        steps = ops.cast(self.iterations, "float32")
        share = ops.maximum(1.0 - self.ema_momentum, 9.0 / (10.0 + steps))  # 1 - (1 + t) / (10 + t) = 9 / (10 + t)
        share = ops.where(steps < 1.0, 1.0, share)
        for weights, average in zip(trainable_variables, self._model_variables_moving_average, strict=True):
            if average is not None:
                # in this form equal weights leave the average as it is, to the bit
                moved = ops.multiply(ops.cast(share, weights.dtype), ops.subtract(weights, average))
                average.assign(ops.add(average, moved))


class SlowBody:
    """What makes an optimizer of Keras move all but the last layer, and let them decay, by a share of the rate."""

    body_rate: float
    weight_decay: float | None

    def _apply_weight_decay(self, variables: list[Any]) -> None:
        body, last = _body_and_last(variables)
        usual = self.weight_decay
        for part, share in ((last, 1.0), (body, self.body_rate)):
            if any(map(self._use_weight_decay, part)):  # type: ignore[attr-defined]  # on PyTorch Keras takes no empty list
                self.weight_decay = usual and usual * share
                super()._apply_weight_decay(part)  # type: ignore[misc]  # of the optimizer that it is mixed into
        self.weight_decay = usual

    def _backend_update_step(self, grads: list[Tensor], trainable_variables: list[Any], learning_rate: Tensor) -> None:
        by_variable = {id(variable): grad for variable, grad in zip(trainable_variables, grads, strict=True)}
        for variables, share in zip(_body_and_last(trainable_variables), (self.body_rate, 1.0), strict=True):
            if variables:  # in frozen networks there may be no body
                own = [by_variable[id(variable)] for variable in variables]
                super()._backend_update_step(own, variables, learning_rate * share)  # type: ignore[misc]


def _body_and_last(variables):
    last = [variable for variable in variables if LOGITS in variable.path.split("/")]
    names = {id(variable) for variable in last}
    return [variable for variable in variables if id(variable) not in names], last


def _with_slow_body(kind, rate):
    """The class of an optimizer that moves the body by a share of the rate."""
    actual = kind if issubclass(kind, WarmingUp) else type(kind())  # see `_with_warm_up`
    return type(actual.__name__, (SlowBody, actual), {"body_rate": rate})


def _with_warm_up(kind):
    """The class of an optimizer whose moving average warms up."""
    actual = type(kind())  # on PyTorch Keras makes one of another class than it was asked for
    return type(actual.__name__, (WarmingUp, actual), {})

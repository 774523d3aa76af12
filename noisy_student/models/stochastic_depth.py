"""Stochastic depth (Huang et al. 2016, arXiv:1603.09382) and dropout that stays on."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from noisy_student import backends
from noisy_student.runtime.types import Tensor


def survival_schedule(blocks: int, survival_probability: float) -> list[float]:
    """Survival probability of each of L residual blocks: p_l = 1 - (l / L) (1 - p_L) for l = 1..L, equation 4.

    Raises:
        ValueError: the probability is outside (0, 1].
    """
    if not 0.0 < survival_probability <= 1.0:
        raise ValueError(f"survival_probability must be in (0, 1], got {survival_probability}")
    return [1.0 - (block / blocks) * (1.0 - survival_probability) for block in range(1, blocks + 1)]


class _Survival(keras.layers.Layer):
    """A layer with coins, each of which survives with the same probability, in (0, 1]; `seed` is that of the coins."""

    def __init__(self, *, survival_probability: float, seed: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.survival_probability, self.seed = survival_probability, seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def _survives(self, shape):
        # drawn in float32: bfloat16 has too few values near 1 to hit p exactly enough
        uniform = keras.random.uniform(shape, dtype="float32", seed=self.seed_generator)
        return uniform < self.survival_probability

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        return super().get_config() | {"survival_probability": self.survival_probability, "seed": self.seed}


@keras.saving.register_keras_serializable(package="noisy_student")
class StochasticDepth(_Survival):
    """Scale a residual branch before it is added to its shortcut, equations 2 and 5.

    Training: branch * Bernoulli(p), not divided by p. Inference: branch * p.

    Args:
        coin: "batch" draws one coin for all images of a batch, "sample" one for each image.
    """

    def __init__(self, *, coin: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if coin not in ("batch", "sample"):
            raise ValueError(f"coin must be 'batch' or 'sample', got {coin!r}")
        self.coin = coin

    def call(self, branch: Tensor, training: bool = False) -> Tensor:
        """Return `branch` scaled; its shape (N, ...) and dtype stay."""
        if not (training and self.trainable):  # a frozen block acts as at inference
            return branch * self.survival_probability
        return self.draw(branch)

    def draw(self, branch: Tensor) -> Tensor:
        """Return `branch` times its coins, drawn anew."""
        places = (1,) * (len(branch.shape) - 1)
        if self.coin == "sample":
            survives = backends.current().own_rows(lambda n: self._survives((n, *places)), ops.shape(branch)[0])
        else:
            survives = self._survives((1, *places))
        return branch * ops.cast(survives, branch.dtype)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """The shape of the branch."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        return super().get_config() | {"coin": self.coin}


@keras.saving.register_keras_serializable(package="noisy_student")
class SkippableBranch(_Survival):
    """Shortcut + residual branch, with one coin for the whole batch, that decides before it computes.

    Training: shortcut + branch with probability p, else the shortcut alone: the branch is neither computed
    nor differentiated, and its normalisation keeps its moving statistics. Inference: shortcut + p * branch.

    Args:
        branch: from the block's input to the end of its residual branch.
    """

    def __init__(self, branch: keras.Model, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.branch = branch

    def call(self, shortcut: Tensor, source: Tensor, training: bool = False) -> Tensor:
        """Return shortcut + branch(source): the shape (N, H, W, C) and dtype of `shortcut`."""
        if not (training and self.trainable):
            return shortcut + self.survival_probability * self.branch(source, training=False)
        state = self.branch.non_trainable_variables
        before = [variable.value for variable in state]
        weights = [variable.value for variable in self.branch.trainable_variables]

        def survive():
            # state is handed in and out: a branch of a condition must not assign variables
            residual, after = self.branch.stateless_call(weights, before, source, training=True)
            return shortcut + residual, after

        def skip():
            return backends.current().with_zero_gradients(shortcut, weights), before

        total, after = backends.current().cond(ops.reshape(self._survives((1,)), ()), survive, skip)
        for variable, value in zip(state, after, strict=True):
            variable.assign(value)
        return total

    def compute_output_shape(self, shortcut_shape: tuple, source_shape: tuple) -> tuple:
        """The shape of the shortcut."""
        return shortcut_shape

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        return super().get_config() | {"branch": keras.saving.serialize_keras_object(self.branch)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> SkippableBranch:
        """A layer of that configuration."""
        return cls(**(config | {"branch": keras.saving.deserialize_keras_object(config["branch"])}))


@keras.saving.register_keras_serializable(package="noisy_student")
class BatchDropout(keras.layers.Dropout):
    """Dropout whose mask is drawn for the whole batch, where devices share it."""

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        """As Keras' own: (N, C)."""
        if backends.current().replicas() == 1 or not training:
            return super().call(inputs, training=training)

        def mask(rows):
            ones = ops.ones((rows, *inputs.shape[1:]), inputs.dtype)
            return keras.random.dropout(ones, self.rate, seed=self.seed_generator)

        return inputs * backends.current().own_rows(mask, ops.shape(inputs)[0])


# Two classes instead of `training=True` where the graph is built: a functional model that is called
# with training=False, as `predict` does, passes that on to its layers and overrides theirs.


@keras.saving.register_keras_serializable(package="noisy_student")
class AlwaysOnStochasticDepth(StochasticDepth):
    """Stochastic depth that draws its coins at inference too."""

    def call(self, branch: Tensor) -> Tensor:  # type: ignore[override]  # always as in training
        """As `StochasticDepth.call` in training, frozen or not."""
        return self.draw(branch)


@keras.saving.register_keras_serializable(package="noisy_student")
class AlwaysOnDropout(keras.layers.Dropout):
    """Dropout that drops units at inference too."""

    def call(self, inputs: Tensor) -> Tensor:
        """As `keras.layers.Dropout.call` in training."""
        return super().call(inputs, training=True)

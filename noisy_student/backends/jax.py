"""What only JAX can do."""

import os
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import keras

from noisy_student.runtime.types import Pixels, Tensor

FLAG = "--xla_gpu_deterministic_ops"


def make_deterministic() -> None:
    """Let every operation give the same bits in every run on the same machine.

    On CPUs XLA does so anyway. On GPUs it needs a flag, which XLA reads at the first computation:
    `backends.select` calls this before any. A value that the user gave the flag in XLA_FLAGS stays.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    if FLAG not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} {FLAG}=true".strip()


def compiles_with_xla() -> bool:
    """Whether training steps are compiled by XLA; with JAX always."""
    return True


def is_bfloat16_fast() -> bool:
    """Whether training in bfloat16 is faster than in float32: TPUs, GPUs since Ampere; not on CPUs."""
    device = jax.devices()[0]
    if device.platform == "gpu":
        try:
            return float(device.compute_capability) >= 8.0
        except ValueError:  # AMD's have names, such as gfx90a, and multiply bfloat16 since gfx908
            return True
    return device.platform == "tpu"


def describe_devices() -> list[str]:
    """Names of the accelerators in use, e.g. ["GPU NVIDIA H200"]; ["CPU"] where there is none."""
    return [
        "CPU" if device.platform == "cpu" else f"{device.platform.upper()} {device.device_kind}"
        for device in jax.devices()
    ]


def feed(batches: keras.utils.PyDataset) -> Any:
    """What `keras.Model.fit` iterates over, once a round: the batches themselves.

    Args:
        batches: training.batches.TrainingBatches. JAX returns before a step is done, so the next batch is
            made meanwhile.
    """
    return batches


def batch_normalise(x: Tensor, scale: Tensor, offset: Tensor, epsilon: float) -> tuple[Tensor, Tensor, Tensor]:
    """Normalise a batch by its own statistics; XLA fuses the operations.

    Args:
        x: (N, H, W, C) float32 or bfloat16.
        scale, offset: (C,) float32.
        epsilon: added to the variance.

    Returns:
        (outputs, mean, variance): as `x`, and (C,) float32 statistics; the variance is that of the batch,
        divided by its size.
    """
    wide = x.astype(jnp.float32)
    mean, variance = jnp.mean(wide, axis=(0, 1, 2)), jnp.var(wide, axis=(0, 1, 2))
    return normalise(x, scale, offset, mean, variance, epsilon), mean, variance


def normalise(x: Tensor, scale: Tensor, offset: Tensor, mean: Tensor, variance: Tensor, epsilon: float) -> Tensor:
    """Normalise by stored statistics; arguments as of `batch_normalise`, mean and variance (C,) float32."""
    factor = scale * jax.lax.rsqrt(jnp.asarray(variance) + epsilon)
    outputs = (x.astype(jnp.float32) - jnp.asarray(mean)) * factor + offset
    return outputs.astype(x.dtype)


STEPS_AT_A_TIME = 10  # most steps that are run without coming back to Python
OPTIMIZERS = {  # XLA fuses their steps
    "sgd": keras.optimizers.SGD,
    "adam": keras.optimizers.Adam,
    "rmsprop": keras.optimizers.RMSprop,
}


def with_zero_gradients(outputs: Tensor, weights: Sequence[Tensor]) -> Tensor:
    """The outputs: where one side of a condition leaves weights out, JAX takes zero as their gradient."""
    return outputs


def forward(model: keras.Model) -> Callable[[Pixels], Tensor]:
    """The model as a function of batches of one constant shape, without noise of training.

    Args:
        model: a `keras.Model`; later changes of its weights are not seen.

    Returns:
        Callable: uint8 NumPy array (N, H, W, 3) -> array (N, K), perhaps before it is computed.
    """
    trainable = [variable.value for variable in model.trainable_variables]
    weights = {id(variable) for variable in model.weights}

    @jax.jit
    def step(trainable, others, images):
        return model.stateless_call(trainable, others, images, training=False)

    def run(images):
        states = model.non_trainable_variables
        outputs, others = step(trainable, [state.value for state in states], images)
        for state, value in zip(states, others, strict=True):
            if id(state) not in weights:  # a random generator: it has counted
                state.assign(value)
        return outputs

    return run


def input_gradient(loss: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    """The gradient of a loss in its images.

    Args:
        loss: callable (images (N, H, W, 3) float32, labels (N,)) -> scalar array, of this backend.

    Returns:
        Callable with the same arguments, of one constant shape -> array like images.
    """
    return jax.jit(jax.grad(loss))

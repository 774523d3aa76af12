"""What only JAX can do; `backends.current` says what each function gives."""

import contextlib
import os
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import keras
import numpy as np
from jax.experimental import multihost_utils

from noisy_student.backends import Loss
from noisy_student.backends.undivided import cond, own_rows, replicas  # noqa: F401, `current` says what they are
from noisy_student.launching.ranks import Rank
from noisy_student.runtime.types import Pixels, Tensor

FLAG = "--xla_gpu_deterministic_ops"
STEPS_AT_A_TIME = 10
# XLA fuses their steps
OPTIMIZERS = {"sgd": keras.optimizers.SGD, "adam": keras.optimizers.Adam, "rmsprop": keras.optimizers.RMSprop}


def make_deterministic() -> None:
    """On CPUs XLA is so anyway. On GPUs it needs a flag, which it reads at the first computation.

    `backends.select` calls this before any. A value that the user gave the flag in XLA_FLAGS stays.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    if FLAG not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} {FLAG}=true".strip()


def compiles_with_xla() -> bool:
    """With JAX always."""
    return True


def is_bfloat16_fast() -> bool:
    """On TPUs and on GPUs since Ampere; not on CPUs."""
    device = jax.devices()[0]
    if device.platform == "gpu":
        try:
            return float(device.compute_capability) >= 8.0
        except ValueError:  # AMD's have names, such as gfx90a, and multiply bfloat16 since gfx908
            return True
    return device.platform == "tpu"


def describe_devices() -> list[str]:
    """Those that JAX lists."""
    return [
        "CPU" if device.platform == "cpu" else f"{device.platform.upper()} {device.device_kind}"
        for device in jax.devices()
    ]


def use_devices(number: int | None) -> None:
    """Make so many of the CPU; `data_parallel` takes the first ones of an accelerator."""
    if number is not None:
        jax.config.update("jax_num_cpu_devices", number)


def device_count() -> int:
    """Those of all processes."""
    return jax.device_count()


def join(rank: Rank) -> None:
    """Find the other processes, before anything is computed.

    Not by `keras.distribution.initialize`, which seeds NumPy's and Python's generators too and listens on every
    address.
    """
    host, _, port = rank.address.rpartition(":")
    jax.config.update("jax_enable_preemption_service", False)  # it would take SIGTERM, and do nothing
    jax.distributed.initialize(
        rank.address,
        num_processes=rank.workers,
        process_id=rank.rank,
        initialization_timeout=round(rank.patience)
        + 60,  # the launcher's own limit comes first, and says who is missing
        heartbeat_timeout_seconds=max(10, min(100, round(rank.patience))),
        coordinator_bind_address=f"127.0.0.1:{port}" if host == "127.0.0.1" else None,
    )


def data_parallel(devices: int) -> contextlib.AbstractContextManager:
    """Keras' DataParallel: XLA shares every operation of a step out, so that all sums go over the whole batch."""
    names = keras.distribution.list_devices()[:devices]
    return keras.distribution.DataParallel(devices=names, auto_shard_dataset=False).scope()


def of_first_process(values: np.ndarray) -> np.ndarray:
    """By a broadcast."""
    return np.asarray(multihost_utils.broadcast_one_to_all(values))


def feed(batches: keras.utils.PyDataset) -> keras.utils.PyDataset:
    """The batches themselves: JAX returns before a step is done, so the next batch is made meanwhile."""
    return batches


def steps_at_a_time() -> int:
    """`STEPS_AT_A_TIME`."""
    return STEPS_AT_A_TIME


def batch_normalise(x: Tensor, scale: Tensor, offset: Tensor, epsilon: float) -> tuple[Tensor, Tensor, Tensor]:
    """By elementary operations, which XLA fuses."""
    wide = x.astype(jnp.float32)
    mean, variance = jnp.mean(wide, axis=(0, 1, 2)), jnp.var(wide, axis=(0, 1, 2))
    return normalise(x, scale, offset, mean, variance, epsilon), mean, variance


def normalise(x: Tensor, scale: Tensor, offset: Tensor, mean: Tensor, variance: Tensor, epsilon: float) -> Tensor:
    """As `batch_normalise`."""
    factor = scale * jax.lax.rsqrt(jnp.asarray(variance) + epsilon)
    return ((x.astype(jnp.float32) - jnp.asarray(mean)) * factor + offset).astype(x.dtype)


def with_zero_gradients(x: Tensor, weights: Sequence[Tensor]) -> Tensor:
    """Just `x`: where one side of a condition leaves weights out, JAX takes zero as their gradient."""
    return x


def forward(model: keras.Model) -> Callable[[Pixels], Tensor]:
    """A jitted function; later changes of the weights are not seen."""
    trainable = [variable.value for variable in model.trainable_variables]
    weights = {id(variable) for variable in model.weights}

    @jax.jit
    def step(trainable, others, images):
        return model.stateless_call(trainable, others, images, training=False)

    def run(images):
        states = model.non_trainable_variables
        probs, others = step(trainable, [state.value for state in states], images)
        for state, value in zip(states, others, strict=True):
            if id(state) not in weights:  # a random generator: it has counted
                state.assign(value)
        return probs

    return run


def input_gradient(loss: Loss) -> Loss:
    """A jitted function."""
    return jax.jit(jax.grad(loss))

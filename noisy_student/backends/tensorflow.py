"""What only TensorFlow can do; `backends.current` says what each function gives."""

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from noisy_student.backends import Loss, cpu_has_bfloat16, eigen
from noisy_student.runtime.types import Pixels, Tensor


def make_deterministic() -> None:
    """Operations without a deterministic kernel raise an error from then on."""
    tf.config.experimental.enable_op_determinism()


def make_portable() -> None:
    """`arithmetic: portable`: what the environment's switches leave to the machine; no GPU is used from then on.

    Two of the graph's optimizers bring in `rsqrt`, whose instruction gives other bits on Intel than on AMD: one
    for x / sqrt(y), one for normalisation beside a convolution.
    """
    tf.config.set_visible_devices([], "GPU")
    tf.config.optimizer.set_experimental_options({"arithmetic_optimization": False, "remapping": False})
    eigen.pin_cache_sizes(Path(tf.__file__).parent / eigen.LIBRARY)


def compiles_with_xla() -> bool:
    """On GPUs only: on CPUs it slows convolutions down. Not for several devices, whose step is no single program."""
    return bool(tf.config.get_visible_devices("GPU")) and not tf.distribute.has_strategy()


def is_bfloat16_fast() -> bool:
    """On GPUs since Ampere, and on CPUs that have it."""
    devices = tf.config.get_visible_devices("GPU")
    if not devices:
        return cpu_has_bfloat16()
    details = tf.config.experimental.get_device_details(devices[0])
    return details.get("compute_capability", (0, 0)) >= (8, 0)


def _cpu():
    return tf.config.list_physical_devices("CPU")[0]


def describe_devices() -> list[str]:
    """Those that TensorFlow lists."""
    devices, details = tf.config.get_visible_devices("GPU"), tf.config.experimental.get_device_details
    names = [f"GPU {details(device).get('device_name', device.name)}" for device in devices]
    return names or ["CPU"] * len(tf.config.get_logical_device_configuration(_cpu()) or ["the whole"])


def use_devices(number: int | None) -> None:
    """Make so many of the CPU where there is no GPU; `data_parallel` takes the first GPUs."""
    if number is not None and not tf.config.get_visible_devices("GPU"):
        tf.config.set_logical_device_configuration(_cpu(), [tf.config.LogicalDeviceConfiguration()] * number)


def _devices():
    return tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")


def device_count() -> int:
    """GPUs, or virtual CPUs."""
    return len(_devices())


@contextlib.contextmanager
def data_parallel(devices: int) -> Iterator[None]:
    """MirroredStrategy: every device has a replica of the model; what needs the whole batch asks the others."""
    with tf.distribute.MirroredStrategy([device.name for device in _devices()[:devices]]).scope():
        yield


def steps_at_a_time() -> int:
    """One where devices share batches: more fail, see findings/keras-mirrored-several-steps.sh."""
    return 1 if tf.distribute.has_strategy() else STEPS_AT_A_TIME


def replicas() -> int:
    """How many share the batch of which a model is traced for a part."""
    context = tf.distribute.get_replica_context()
    return 1 if context is None else context.num_replicas_in_sync


def own_rows(draw: Callable[[Tensor], Tensor], rows: Tensor) -> Tensor:
    """A replica draws for all and takes its rows: generators are equal, see findings/keras-mirrored-dropout.sh."""
    if replicas() == 1:
        return draw(rows)
    own = tf.distribute.get_replica_context().replica_id_in_sync_group
    return draw(rows * replicas())[own * rows : (own + 1) * rows]


def cond(condition: Tensor, yes: Callable[[], Any], no: Callable[[], Any]) -> Any:
    """As `keras.ops.cond`; replicas compute both, because a branch of a condition cannot wait for the others."""
    if replicas() == 1:
        return keras.ops.cond(condition, yes, no)
    return tf.nest.map_structure(lambda one, other: tf.where(condition, one, other), yes(), no())


def feed(batches: keras.utils.PyDataset) -> tf.data.Dataset:
    """A thread makes the next two batches while the present one trains.

    Keras' own way from a PyDataset leaves tf.data's tuning on, whose threads take the cores from the training. What
    making a batch raises is kept as `batches.error`.
    """
    example = batches[0]
    flat = tf.nest.flatten(example)

    one = threading.Lock()  # shared batches: Keras leaves an iterator behind, which still fetches

    def made(index):
        try:
            with one:
                return tf.nest.flatten(batches[int(index)])
        except Exception as error:
            batches.error = error  # of which TensorFlow makes an error of its own
            raise

    def fetch(index):
        arrays = tf.numpy_function(made, [index], [array.dtype for array in flat])
        arrays = [tf.ensure_shape(array, each.shape) for array, each in zip(arrays, flat, strict=True)]
        return tf.nest.pack_sequence_as(example, arrays)

    options = tf.data.Options()
    options.autotune.enabled = False
    options.threading.private_threadpool_size = 1
    return tf.data.Dataset.range(batches.num_batches).map(fetch).prefetch(2).with_options(options)


def batch_normalise(x: Tensor, scale: Tensor, offset: Tensor, epsilon: float) -> tuple[Tensor, Tensor, Tensor]:
    """By one fused kernel; of several replicas by elementary operations, with means over all of them."""
    if replicas() > 1:
        return _normalise_together(x, scale, offset, epsilon)
    y, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
        x=x, scale=scale, offset=offset, mean=[], variance=[], epsilon=epsilon, is_training=True
    )
    size = tf.cast(tf.size(x) // x.shape[-1], tf.float32)
    return y, mean, variance * ((size - 1.0) / size)  # the kernel divides by size - 1


def _normalise_together(x, scale, offset, epsilon):
    wide, context = tf.cast(x, tf.float32), tf.distribute.get_replica_context()

    def mean_of(values):
        return context.all_reduce(tf.distribute.ReduceOp.MEAN, tf.reduce_mean(values, axis=(0, 1, 2)))

    mean = mean_of(wide)
    variance = mean_of(tf.square(wide - mean))
    y = (wide - mean) * (scale * tf.math.rsqrt(variance + epsilon)) + offset
    return tf.cast(y, x.dtype), tf.stop_gradient(mean), tf.stop_gradient(variance)


def normalise(x: Tensor, scale: Tensor, offset: Tensor, mean: Tensor, variance: Tensor, epsilon: float) -> Tensor:
    """As `batch_normalise`."""
    y, *_ = tf.raw_ops.FusedBatchNormV3(
        x=x, scale=scale, offset=offset, mean=mean, variance=variance, epsilon=epsilon, is_training=False
    )
    return y


class SGD(keras.optimizers.SGD):
    """Keras' SGD with one kernel for each variable's step."""

    def update_step(self, gradient: Tensor, variable: Tensor, learning_rate: Tensor) -> None:
        """Move one variable and its momentum."""
        if self.momentum == 0:
            super().update_step(gradient, variable, learning_rate)
            return
        tf.raw_ops.ResourceApplyKerasMomentum(
            var=variable.handle,
            accum=self.momentums[self._get_variable_index(variable)].value.handle,
            lr=tf.cast(learning_rate, variable.dtype),
            grad=gradient,
            momentum=self.momentum,
            use_nesterov=self.nesterov,
        )


class Adam(keras.optimizers.Adam):
    """Keras' Adam with one kernel for each variable's step."""

    def update_step(self, gradient: Tensor, variable: Tensor, learning_rate: Tensor) -> None:
        """Move one variable and its moments."""
        index = self._get_variable_index(variable)
        step = tf.cast(self.iterations + 1, variable.dtype)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].value.handle,
            v=self._velocities[index].value.handle,
            beta1_power=self.beta_1**step,
            beta2_power=self.beta_2**step,
            lr=tf.cast(learning_rate, variable.dtype),
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=gradient,
        )


STEPS_AT_A_TIME = 10
OPTIMIZERS = {"sgd": SGD, "adam": Adam, "rmsprop": keras.optimizers.RMSprop}


def with_zero_gradients(x: Tensor, weights: Sequence[Tensor]) -> Tensor:
    """Just `x`: where one side of a condition leaves weights out, TensorFlow takes zero as their gradient."""
    return x


def forward(model: keras.Model) -> Callable[[Pixels], Tensor]:
    """A graph of the model.

    On CPUs the weights of all but huge models become constants of the graph, so that TensorFlow folds
    normalisation into the convolutions; later changes of the weights are not seen.
    """
    draws = len(model.variables) > len(model.weights)  # the state of random generators is no weight
    large = 4 * model.count_params() > 2**30  # a graph holds 2 GiB at most
    if compiles_with_xla() or draws or large:
        return tf.function(
            lambda images: model(images, training=False), autograph=False, jit_compile=compiles_with_xla()
        )
    trainable = [variable.numpy() for variable in model.trainable_variables]
    others = [variable.numpy() for variable in model.non_trainable_variables]

    @tf.function(autograph=False)
    def run(images):
        constants = [list(map(tf.constant, arrays)) for arrays in (trainable, others)]
        return model.stateless_call(*constants, images, training=False)[0]

    return lambda images: run(tf.constant(images))


def input_gradient(loss: Loss) -> Loss:
    """By a tape."""

    @tf.function(autograph=False, jit_compile=compiles_with_xla())
    def gradient(images, labels):
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(images)
            value = loss(images, labels)
        return tape.gradient(value, images)

    return gradient

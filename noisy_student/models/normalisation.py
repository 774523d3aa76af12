"""Batch normalisation by the framework's own fused kernel."""

import keras
from keras import ops

from noisy_student import backends
from noisy_student.runtime.types import Tensor


@keras.saving.register_keras_serializable(package="noisy_student")
class FusedBatchNormalization(keras.layers.BatchNormalization):
    """Keras' BatchNormalization, computed by one kernel forwards and one backwards.

    Keras composes the layer of elementary operations, each of which reads and writes the whole activation
    once more. Values, gradients and moving statistics are the same up to rounding, and so are the
    weights: the stock layer takes them over by name. For batches (N, H, W, C) of channels-last images;
    `mask`, renormalisation and synchronised statistics are not supported.
    """

    def call(self, inputs: Tensor, training: bool | None = None, mask: Tensor | None = None) -> Tensor:
        """Normalise (N, H, W, C) over all but the channels; the dtype is that of the layer's policy.

        Raises:
            ValueError: there is a mask.
        """
        if mask is not None:
            raise ValueError("FusedBatchNormalization takes no mask; use keras.layers.BatchNormalization")
        framework = backends.current()
        offset = ops.cast(self.beta, "float32")
        scale = ops.cast(self.gamma, "float32") if self.scale else ops.ones_like(offset)
        if not (training and self.trainable):
            return framework.normalise(inputs, scale, offset, self.moving_mean, self.moving_variance, self.epsilon)
        normalised, mean, variance = framework.batch_normalise(inputs, scale, offset, self.epsilon)
        for moving, current in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(moving * self.momentum + current * (1.0 - self.momentum))
        return normalised


def by_one_kernel(model: keras.Model) -> keras.Model:
    """The same model and weights, with `FusedBatchNormalization` wherever Keras' layer normalises images.

    For `arithmetic: portable`. Keras composes inference of `rsqrt`, whose instruction gives other bits on other CPUs;
    oneDNN's kernel divides by an exact root. (It is slower: it cannot be folded into the convolution before it.)

    Args:
        model: a functional one, as files of this project hold it.
    """

    def cloned(layer):
        kind = FusedBatchNormalization if _normalises_images(layer) else type(layer)
        return kind.from_config(layer.get_config())

    fused = keras.models.clone_model(model, clone_function=cloned)
    fused.set_weights(model.get_weights())
    return fused


def _normalises_images(layer):
    """Whether it is stock, of batches (N, H, W, C), and needs nothing that the kernel lacks."""
    if type(layer) is not keras.layers.BatchNormalization or len(layer.input.shape) != 4:
        return False
    return layer.axis in (3, -1) and layer.center

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

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        """Normalise (N, H, W, C) over all but the channels; the dtype is that of the layer's policy."""
        framework = backends.current()
        offset = ops.cast(self.beta, "float32")
        scale = ops.cast(self.gamma, "float32") if self.scale else ops.ones_like(offset)
        if not (training and self.trainable):
            return framework.normalise(inputs, scale, offset, self.moving_mean, self.moving_variance, self.epsilon)
        normalised, mean, variance = framework.batch_normalise(inputs, scale, offset, self.epsilon)
        for moving, current in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(moving * self.momentum + current * (1.0 - self.momentum))
        return normalised

"""Convolutions by kernels that are right on every CPU."""

import keras
from keras import ops

from noisy_student.runtime.types import Tensor


@keras.saving.register_keras_serializable(package="noisy_student")
class SubsampledConv2D(keras.layers.Conv2D):
    """Keras' Conv2D with a kernel of 1x1: the places between the strides are left out first.

    Values, gradients and weights are those of the stock layer, which takes the weights over by name. In TensorFlow
    2.21 oneDNN's kernels for AVX2 compute the gradient of narrow ones of these layers wrongly; those without strides
    are right. For batches (N, H, W, C) of channels-last images.
    """

    def convolution_op(self, inputs: Tensor, kernel: Tensor) -> Tensor:
        """(N, H, W, C) and (1, 1, C, filters) -> (N, ceil(H / stride), ceil(W / stride), filters)."""
        rows, columns = self.strides
        return ops.conv(inputs[:, ::rows, ::columns], kernel, padding="valid", data_format="channels_last")

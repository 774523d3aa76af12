"""The layers that all architectures are made of: named, seeded, of one precision."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
from keras import KerasTensor

from noisy_student.models.convolution import SubsampledConv2D
from noisy_student.models.normalisation import FusedBatchNormalization
from noisy_student.models.stochastic_depth import AlwaysOnStochasticDepth, SkippableBranch, StochasticDepth
from noisy_student.runtime.seeds import derive_seed


def layer_seed(seed: int, name: str) -> int:
    """The seed of one layer's weights or noise, in [0, 2**31): what every backend takes."""
    return derive_seed(seed, name) % 2**31


@dataclass(frozen=True, kw_only=True)
class Layers:
    """Makes the layers of one network.

    Every layer gets its name, precision, data format and seed explicitly, so that a network depends
    neither on what was built before it in the process nor on the user's Keras configuration file.

    Attributes:
        survival: {block name: survival probability}, see `survival_schedule`.
        coin: "batch" or "sample", see `StochasticDepth`.
        mode: "train", "inference" or "noised", see `build`.
        precision: a Keras dtype policy, e.g. "float32" or "mixed_bfloat16".
        seed: of the weights and of the noise.
        normalisation: arguments of every BatchNormalization.
    """

    survival: dict[str, float]
    coin: str
    mode: str
    precision: str
    seed: int
    normalisation: dict[str, Any]

    def conv(
        self,
        x: KerasTensor,
        name: str,
        *,
        filters: int,
        kernel: int,
        stride: int = 1,
        bias: bool = False,
        initializer: str = "he_normal",
        l2: float = 0.0,
    ) -> KerasTensor:
        """A convolution with 'same' padding: (N, H, W, C) -> (N, ceil(H / stride), ..., filters)."""
        kind = SubsampledConv2D if self.mode == "train" and kernel == 1 and stride > 1 else keras.layers.Conv2D
        return kind(
            filters,
            kernel,
            use_bias=bias,
            kernel_initializer=self._initializer(initializer, name),
            kernel_regularizer=keras.regularizers.L2(l2) if l2 else None,
            **self._options(name, stride),
        )(x)

    def fixed_conv(self, x: KerasTensor, name: str, *, filters: int, kernel: int) -> KerasTensor:
        """A convolution without padding, of which only the bias learns: (N, H, W, C) -> (N, H - kernel + 1, ...)."""
        options = self._options(name, 1) | {"padding": "valid"}
        layer = keras.layers.Conv2D(filters, kernel, kernel_initializer=self._initializer("he_normal", name), **options)
        x = layer(x)
        layer.kernel.trainable = False
        return x

    def max_pool(self, x: KerasTensor, name: str) -> KerasTensor:
        """The maxima of 2x2 places: (N, H, W, C) -> (N, H // 2, W // 2, C)."""
        return keras.layers.MaxPooling2D(2, data_format="channels_last", dtype=self.precision, name=name)(x)

    def depthwise_conv(self, x: KerasTensor, name: str, *, kernel: int, stride: int) -> KerasTensor:
        """A convolution of every channel by itself, with 'same' padding and without bias."""
        initializer = self._initializer("he_normal_fan_out", name)
        return keras.layers.DepthwiseConv2D(
            kernel, use_bias=False, depthwise_initializer=initializer, **self._options(name, stride)
        )(x)

    def _options(self, name, stride):
        options = {"strides": stride, "padding": "same", "data_format": "channels_last"}
        return options | {"dtype": self.precision, "name": name}

    def _initializer(self, kind, name):
        seed = layer_seed(self.seed, name)
        if kind == "he_normal_fan_out":
            return keras.initializers.VarianceScaling(2.0, mode="fan_out", distribution="untruncated_normal", seed=seed)
        kinds = {"he_normal": keras.initializers.HeNormal, "glorot_uniform": keras.initializers.GlorotUniform}
        return kinds[kind](seed=seed)

    def norm(self, x: KerasTensor, name: str) -> KerasTensor:
        """Batch normalisation over all but the channels; what is saved holds Keras' own layer."""
        kind = FusedBatchNormalization if self.mode == "train" else keras.layers.BatchNormalization
        return kind(**self.normalisation, dtype=self.precision, name=name)(x)

    def relu(self, x: KerasTensor, name: str) -> KerasTensor:
        """max(x, 0)."""
        return keras.layers.ReLU(dtype=self.precision, name=name)(x)

    def norm_relu(self, x: KerasTensor, prefix: str) -> KerasTensor:
        """Batch normalisation, then ReLU."""
        return self.relu(self.norm(x, f"{prefix}_bn"), f"{prefix}_relu")

    def swish(self, x: KerasTensor, name: str) -> KerasTensor:
        """x * sigmoid(x)."""
        return keras.layers.Activation("silu", dtype=self.precision, name=name)(x)

    def norm_swish(self, x: KerasTensor, prefix: str) -> KerasTensor:
        """Batch normalisation, then swish."""
        return self.swish(self.norm(x, f"{prefix}_bn"), f"{prefix}_swish")

    def squeeze_excite(self, x: KerasTensor, prefix: str, *, filters: int) -> KerasTensor:
        """Weigh the channels by a small network of their means (Hu et al. 2018, arXiv:1709.01507).

        `filters` is of the network's first layer.
        """
        options: dict[str, Any] = {"kernel": 1, "bias": True, "initializer": "he_normal_fan_out"}
        means = keras.layers.GlobalAveragePooling2D(
            data_format="channels_last", keepdims=True, dtype=self.precision, name=f"{prefix}_squeeze"
        )(x)
        hidden = self.conv(means, f"{prefix}_reduce_conv", filters=filters, **options)
        hidden = self.swish(hidden, f"{prefix}_reduce_swish")
        weights = self.conv(hidden, f"{prefix}_excite_conv", filters=x.shape[-1], **options)
        weights = keras.layers.Activation("sigmoid", dtype=self.precision, name=f"{prefix}_excite_sigmoid")(weights)
        return keras.layers.Multiply(dtype=self.precision, name=f"{prefix}_excite")([x, weights])

    def add(
        self, shortcut: KerasTensor, source: KerasTensor, branch: Callable[[KerasTensor], KerasTensor], *, block: str
    ) -> KerasTensor:
        """shortcut + branch(source), the branch with the stochastic depth of this block."""
        if self.mode == "train" and self.coin == "batch" and self.survival[block] < 1.0:
            inputs = keras.Input(source.shape[1:], dtype=source.dtype, name=f"{block}_source")
            return SkippableBranch(
                keras.Model(inputs, branch(inputs), name=f"{block}_branch"),
                survival_probability=self.survival[block],
                seed=layer_seed(self.seed, f"{block}_survival"),
                dtype=self.precision,
                name=f"{block}_add",
            )(shortcut, source)
        residual = branch(source)
        if self.survival[block] < 1.0:
            residual = self._survive(f"{block}_survival", self.survival[block])(residual)
        return keras.layers.Add(dtype=self.precision, name=f"{block}_add")([shortcut, residual])

    def _survive(self, name, probability):
        options = {"dtype": self.precision, "name": name}
        if self.mode == "inference":
            return keras.layers.Rescaling(probability, **options)
        kind = AlwaysOnStochasticDepth if self.mode == "noised" else StochasticDepth
        return kind(survival_probability=probability, coin=self.coin, seed=layer_seed(self.seed, name), **options)

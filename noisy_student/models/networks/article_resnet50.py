"""The article's ResNet-50 for 32x32 images: 23,590,794 parameters and 3.98 GMAC at 10 classes.

A 5x5 convolution of 32 filters, then 16 post-activation bottleneck blocks. It differs from the usual
ResNet-50 in that: the stride sits on the last 1x1 convolution of a block; only the first block of
the 128 and of the 512 stage has stride 2; convolutions have biases; only the projection shortcuts have
he_normal weights and an L2 penalty of 1e-4, all else is at Keras' defaults.
"""

from typing import ClassVar

from noisy_student.models.network import Blocks, KerasTensor, Layers, Network, staged

EXPANSION = 4
STAGES = ((64, 3, 1), (128, 4, 2), (256, 6, 1), (512, 3, 2))  # filters, blocks, stride of the first


class ArticleResNet50(Network):
    """Of fixed size: it has no parameters."""

    rescaling: ClassVar = {"scale": 1 / 255, "offset": 0.0}
    normalisation: ClassVar = {"momentum": 0.99, "epsilon": 1e-3}  # Keras' defaults, as in the article

    def blocks(self) -> Blocks:
        """See `staged`."""
        return staged(STAGES)

    def features(self, images: KerasTensor, layers: Layers) -> KerasTensor:
        """Normalised images (N, H, W, 3) -> features (N, ceil(H / 4), ceil(W / 4), 2048)."""
        x = _conv(images, layers, "stem_conv", filters=32, kernel=5)
        x = layers.norm_relu(x, "stem")
        for name, filters, stride in self.blocks():
            x = _block(x, layers, name, filters=filters, stride=stride)
        return x


def _conv(x, layers, name, *, filters, kernel, stride=1):
    return layers.conv(x, name, filters=filters, kernel=kernel, stride=stride, bias=True, initializer="glorot_uniform")


def _block(x, layers, name, *, filters, stride):
    wide = EXPANSION * filters

    def branch(x):
        x = layers.norm_relu(_conv(x, layers, f"{name}_conv1", filters=filters, kernel=1), f"{name}_1")
        x = layers.norm_relu(_conv(x, layers, f"{name}_conv2", filters=filters, kernel=3), f"{name}_2")
        x = _conv(x, layers, f"{name}_conv3", filters=wide, kernel=1, stride=stride)
        return layers.norm(x, f"{name}_3_bn")

    shortcut = x
    if stride > 1 or x.shape[-1] != wide:
        shortcut = layers.conv(x, f"{name}_shortcut_conv", filters=wide, kernel=1, stride=stride, bias=True, l2=1e-4)
        shortcut = layers.norm(shortcut, f"{name}_shortcut_bn")
    return layers.relu(layers.add(shortcut, x, branch, block=name), f"{name}_relu")

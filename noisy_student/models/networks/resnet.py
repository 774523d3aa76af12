"""Small ResNets: post-activation basic blocks (He et al. 2016, arXiv:1512.03385, section 4.2).

Depth 6n + 2: a 3x3 convolution, then three stages of n blocks with w, 2w and 4w filters. The shortcut
is a 1x1 convolution with batch normalisation where the shape changes (the paper's option B).
"""

from pydantic import model_validator

from noisy_student.models.network import Blocks, KerasTensor, Layers, Network, three_stages
from noisy_student.settings.schema import Positive, parameter


class ResNet(Network):
    """Three stages of basic blocks."""

    depth: Positive = parameter(8, "6n + 2 weighted layers")
    width: Positive = parameter(16, "filters of the first stage")

    @model_validator(mode="after")
    def _check(self):
        self.blocks()
        return self

    def blocks(self) -> Blocks:
        """See `three_stages`."""
        return three_stages(self.name, self.depth, extra=2, filters=self.width)

    def features(self, images: KerasTensor, layers: Layers) -> KerasTensor:
        """Normalised images (N, H, W, 3) -> features (N, ceil(H / 4), ceil(W / 4), 4 * width)."""
        x = layers.conv(images, "stem_conv", filters=self.width, kernel=3)
        x = layers.norm_relu(x, "stem")
        for name, filters, stride in self.blocks():
            x = _block(x, layers, name, filters=filters, stride=stride)
        return x


def _block(x, layers, name, *, filters, stride):
    def branch(x):
        x = layers.conv(x, f"{name}_conv1", filters=filters, kernel=3, stride=stride)
        x = layers.norm_relu(x, f"{name}_1")
        x = layers.conv(x, f"{name}_conv2", filters=filters, kernel=3)
        return layers.norm(x, f"{name}_2_bn")

    shortcut = x
    if stride > 1 or x.shape[-1] != filters:
        shortcut = layers.conv(x, f"{name}_shortcut_conv", filters=filters, kernel=1, stride=stride)
        shortcut = layers.norm(shortcut, f"{name}_shortcut_bn")
    return layers.relu(layers.add(shortcut, x, branch, block=name), f"{name}_relu")

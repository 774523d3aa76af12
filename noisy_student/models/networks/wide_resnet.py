"""Wide ResNets: pre-activation basic blocks (Zagoruyko & Komodakis 2016, arXiv:1605.07146, table 1).

Depth 6n + 4: a 3x3 convolution of 16 filters, then three stages of n blocks with 16k, 32k and 64k
filters. No dropout inside the blocks.
"""

from pydantic import model_validator

from noisy_student.models.network import Blocks, KerasTensor, Layers, Network, three_stages
from noisy_student.settings.schema import Positive, parameter


class WideResNet(Network):
    """Three stages of basic blocks, `widening_factor` times wider than the stem."""

    wide_depth: Positive = parameter(10, "6n + 4 weighted layers")
    widening_factor: Positive = parameter(2, "how many times wider than its stem of 16 filters")

    @model_validator(mode="after")
    def _check(self):
        self.blocks()
        return self

    def blocks(self) -> Blocks:
        """See `three_stages`."""
        return three_stages(self.name, self.wide_depth, extra=4, filters=16 * self.widening_factor)

    def features(self, images: KerasTensor, layers: Layers) -> KerasTensor:
        """Normalised images (N, H, W, 3) -> features (N, ceil(H / 4), ceil(W / 4), 64 * widening_factor)."""
        x = layers.conv(images, "stem_conv", filters=16, kernel=3)
        for name, filters, stride in self.blocks():
            x = _block(x, layers, name, filters=filters, stride=stride)
        return layers.norm_relu(x, "head")


def _block(x, layers, name, *, filters, stride):
    def convolutions(x):
        x = layers.conv(x, f"{name}_conv1", filters=filters, kernel=3, stride=stride)
        x = layers.norm_relu(x, f"{name}_2")
        return layers.conv(x, f"{name}_conv2", filters=filters, kernel=3)

    def branch(x):
        return convolutions(layers.norm_relu(x, f"{name}_1"))

    if stride == 1 and x.shape[-1] == filters:
        return layers.add(x, x, branch, block=name)
    # from the activated input, so that branch and shortcut share the first normalisation
    activated = layers.norm_relu(x, f"{name}_1")
    shortcut = layers.conv(activated, f"{name}_shortcut_conv", filters=filters, kernel=1, stride=stride)
    return layers.add(shortcut, activated, convolutions, block=name)

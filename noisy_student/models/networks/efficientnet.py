"""EfficientNet (Tan & Le 2019, arXiv:1905.11946) up to L2 of Noisy Student (arXiv:1911.04252, table 7).

A 3x3 convolution, seven stages of mobile inverted bottlenecks with squeeze-and-excitation, a 1x1
convolution. Width and depth of B0 are multiplied by the coefficients of a size. Where a published size has
a resolution, it is that of training. Images are normalised by ImageNet's mean and standard deviation.

A block has a shortcut, and so stochastic depth, only where neither the number of filters nor the size of
its input changes; its probability follows from its place among all blocks.
"""

import math
from typing import Annotated, Any, ClassVar, NamedTuple

from pydantic import Field, model_validator

from noisy_student.models.network import Blocks, KerasTensor, Layers, Network
from noisy_student.settings.schema import one_of, parameter

Coefficient = Annotated[float, Field(gt=0.0, le=10.0)]
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's pixels / 255
DIVISOR = 8  # of the number of filters
SQUEEZE = 0.25  # filters between squeeze and excitation, for each filter that enters the block
STEM_FILTERS, TOP_FILTERS = 32, 1280

# width and depth coefficient; the last three are the paper's, the others EfficientNet's
SIZES = {
    "b0": (1.0, 1.0),
    "b1": (1.0, 1.1),
    "b2": (1.1, 1.2),
    "b3": (1.2, 1.4),
    "b4": (1.4, 1.8),
    "b5": (1.6, 2.2),
    "b6": (1.8, 2.6),
    "b7": (2.0, 3.1),
    "l0": (2.8, 3.7),
    "l1": (3.9, 3.7),
    "l2": (4.3, 5.3),
}


class Stage(NamedTuple):
    """A stage of B0."""

    kernel: int  # side of the depthwise convolution
    blocks: int
    filters: int  # that leave each block
    expansion: int  # filters within a block, for each one that enters it
    stride: int  # of the first block


STAGES = (
    Stage(kernel=3, blocks=1, filters=16, expansion=1, stride=1),
    Stage(kernel=3, blocks=2, filters=24, expansion=6, stride=2),
    Stage(kernel=5, blocks=2, filters=40, expansion=6, stride=2),
    Stage(kernel=3, blocks=3, filters=80, expansion=6, stride=2),
    Stage(kernel=5, blocks=3, filters=112, expansion=6, stride=1),
    Stage(kernel=5, blocks=4, filters=192, expansion=6, stride=2),
    Stage(kernel=3, blocks=1, filters=320, expansion=6, stride=1),
)
SMALL_IMAGES = (1, 2)  # places of the stages that keep stride 1 with `small_images`, as in the official code


class _Block(NamedTuple):
    name: str
    kernel: int
    filters_in: int
    filters: int
    expansion: int
    stride: int

    @property
    def shortcut(self):
        return self.stride == 1 and self.filters_in == self.filters


def scaled_filters(filters: int, width: float) -> int:
    """`filters` times `width`, rounded to a multiple of 8, but down by no more than a tenth."""
    exact = filters * width
    rounded = max(DIVISOR, int(exact + DIVISOR / 2) // DIVISOR * DIVISOR)
    return rounded + DIVISOR if rounded < 0.9 * exact else rounded


class EfficientNet(Network):
    """B0, scaled by a published size or by two coefficients."""

    rescaling: ClassVar = {
        "scale": [1 / (255 * deviation) for deviation in DEVIATION],
        "offset": [-mean / deviation for mean, deviation in zip(MEAN, DEVIATION, strict=True)],
    }
    normalisation: ClassVar = {"momentum": 0.99, "epsilon": 1e-3}
    untitled: ClassVar = {"small_images"}
    too_small = " or model.small_images to true"

    size: Annotated[str, one_of("size", SIZES)] | None = parameter(
        None, "b0 to b7, l0 to l2; empty: b0, or what both coefficients say"
    )
    width_coefficient: Coefficient | None = parameter(None, "how many times wider than B0")
    depth_coefficient: Coefficient | None = parameter(None, "how many times deeper than B0")
    small_images: bool = parameter(False, "for images of 32 pixels, strides of 8 in all in place of 32")

    @property
    def title(self) -> str:
        """As of every network; with other strides it is another one."""
        return super().title + "_small_images" * self.small_images

    @model_validator(mode="before")
    @classmethod
    def _default_size(cls, given: Any) -> Any:
        sized = any(given.get(key) is not None for key in ("size", "width_coefficient", "depth_coefficient"))
        return given if sized else given | {"size": "b0"}

    @model_validator(mode="after")
    def _check(self):
        given = [value is not None for value in (self.width_coefficient, self.depth_coefficient)]
        if any(given) == (self.size is not None) or all(given) != any(given):
            raise ValueError("efficientnet needs either size, or both width_coefficient and depth_coefficient")
        return self

    @property
    def coefficients(self) -> tuple[float, float]:
        """Of width and of depth."""
        if self.size:
            return SIZES[self.size]
        return self.width_coefficient, self.depth_coefficient  # type: ignore[return-value]  # both given, see `_check`

    def _stride(self, place):
        return 1 if self.small_images and place in SMALL_IMAGES else STAGES[place].stride

    def blocks(self) -> Blocks:
        """A `_Block` each."""
        width, depth = self.coefficients
        blocks, filters_in = [], scaled_filters(STEM_FILTERS, width)
        for place, stage in enumerate(STAGES):
            filters = scaled_filters(stage.filters, width)
            for number in range(math.ceil(depth * stage.blocks)):
                stride = self._stride(place) if number == 0 else 1
                name = f"stage{place + 1}_block{number + 1}"
                blocks.append(_Block(name, stage.kernel, filters_in, filters, stage.expansion, stride))
                filters_in = filters
        return blocks

    def shortcuts(self) -> list[str]:
        """Names of the blocks whose input has the shape of their output."""
        return [block.name for block in self.blocks() if block.shortcut]

    @property
    def total_stride(self) -> int:
        """32, or 8 with `small_images`."""
        return 2 * math.prod(self._stride(place) for place in range(len(STAGES)))

    def features(self, images: KerasTensor, layers: Layers) -> KerasTensor:
        """Normalised images (N, H, W, 3) -> features (N, ceil(H / s), ceil(W / s), 1280 * width)."""
        width, _ = self.coefficients
        x = _conv(images, layers, "stem_conv", filters=scaled_filters(STEM_FILTERS, width), kernel=3, stride=2)
        x = layers.norm_swish(x, "stem")
        for block in self.blocks():
            x = _bottleneck(x, layers, block)
        x = _conv(x, layers, "top_conv", filters=scaled_filters(TOP_FILTERS, width), kernel=1)
        return layers.norm_swish(x, "top")


def _conv(x, layers, name, **options):
    return layers.conv(x, name, initializer="he_normal_fan_out", **options)


def _bottleneck(x, layers, block):
    name = block.name

    def branch(x):
        if block.expansion > 1:
            x = _conv(x, layers, f"{name}_expand_conv", filters=block.expansion * block.filters_in, kernel=1)
            x = layers.norm_swish(x, f"{name}_expand")
        x = layers.depthwise_conv(x, f"{name}_depthwise_conv", kernel=block.kernel, stride=block.stride)
        x = layers.norm_swish(x, f"{name}_depthwise")
        x = layers.squeeze_excite(x, name, filters=max(1, int(SQUEEZE * block.filters_in)))
        x = _conv(x, layers, f"{name}_project_conv", filters=block.filters, kernel=1)
        return layers.norm(x, f"{name}_project_bn")

    return layers.add(x, x, branch, block=name) if block.shortcut else branch(x)

"""All input noise of one training, in order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from noisy_student.noise.engine import apply_draw
from noisy_student.noise.randaugment import RandAugment
from noisy_student.noise.resized_crop import draw_boxes
from noisy_student.runtime.seeds import uniforms
from noisy_student.runtime.types import Floats, Ints, Keys, Mask, Pixels
from noisy_student.settings.schema import AugmentationParams

if TYPE_CHECKING:
    from noisy_student.settings.params import Params
    from noisy_student.settings.schema import RandAugmentParams

# Not `randaugment.fill`: plain augmentation must be the same in trainings with and without noise.
CROP_FILL = 128


@dataclass(frozen=True)
class InputDraw:
    """What happens to each image of a batch, in this order; None: it is switched off.

    The final strengths are in the operations' own units (see `operations`), 0 for operations without a strength.
    """

    flip: Mask | None  # whether it is mirrored left to right
    top: Ints | None  # (N,) row of the padded image at which the crop begins, 0 to 2 * padding
    left: Ints | None  # (N,) the same for columns
    op: Ints | None  # (N, ops) rows of RandAugment's table
    value: Floats | None  # (N, ops) final strengths, sign included
    box: Ints | None = None  # (N, 4) left, top, right, lower: what is cut out and resized, before all else


class InputNoise:
    """Resized crop, flip, crop of the padded image, RandAugment, in this order; what is off is skipped.

    Drawing and applying are apart, so that the same draw can be carried out by another engine. What an image
    gets depends on its key alone, not on the batch it is in. None or `ops` of 0 leaves RandAugment out.

    Args:
        image_size: side in pixels to which resized crops bring images of any size, in one go; None: as they came.
    """

    def __init__(
        self,
        *,
        augmentation: AugmentationParams,
        randaugment: RandAugmentParams | None,
        image_size: int | None = None,
    ) -> None:
        self.flip, self.crop, self.randaugment = augmentation.flip, augmentation.crop, None
        self.smallest = augmentation.resized_crop
        self.size = None if image_size is None else (image_size, image_size)
        if randaugment is not None and randaugment.ops > 0:
            self.randaugment = RandAugment(**randaugment.model_dump())

    @property
    def active(self) -> bool:
        """Whether anything is switched on."""
        return bool(self.resizes or self.flip or self.crop or self.randaugment)

    @property
    def resizes(self) -> bool:
        """Whether images are brought to another size (`image_size`) on the way."""
        return self.smallest < 1.0

    def draw(self, keys: Keys, sides: Sequence[int] | None = None) -> InputDraw:
        """A flip has probability 1/2. The offsets of a crop are uniform in 0..2 * padding, each axis by itself.

        Args:
            sides: height and width of the images; only resized crops need them (`resized_crop.draw_boxes`).
        """
        flip = uniforms(keys, "flip", 1)[:, 0] < 0.5 if self.flip else None
        top = left = op = value = box = None
        if self.resizes:
            if sides is None:
                raise ValueError("resized crops are drawn for images of known height and width; give sides")
            box = draw_boxes(keys, height=sides[0], width=sides[1], smallest=self.smallest)
        if self.crop:
            top, left = np.floor(uniforms(keys, "crop", 2) * (2 * self.crop + 1)).astype(np.int64).T
        if self.randaugment is not None:
            op, value = self.randaugment.draw(keys)
        return InputDraw(flip=flip, top=top, left=left, op=op, value=value, box=box)

    def apply(self, images: Pixels, draw: InputDraw, out: Pixels | None = None) -> Pixels:
        """Carry out a draw; `out` as of `engine.apply_draw`."""
        return apply_draw(
            images,
            draw,
            padding=self.crop,
            crop_fill=CROP_FILL,
            table=self.randaugment.table if self.randaugment else (),
            fill=self.randaugment.fill if self.randaugment else 0,
            size=self.size,
            out=out,
        )

    def __call__(self, images: Pixels, keys: Keys) -> Pixels:
        """Noise a batch; `images` itself, not a copy, if nothing is switched on."""
        return self.apply(images, self.draw(keys, images.shape[1:3])) if self.active else images

    def with_captions(self, images: Pixels, keys: Keys) -> tuple[Pixels, list[list[str]]]:
        """Noise a batch as `__call__` does, and say what RandAugment did (`RandAugment.captions`)."""
        draw = self.draw(keys, images.shape[1:3])
        captions = [[] for _ in keys] if self.randaugment is None else self.randaugment.captions(draw)
        return (self.apply(images, draw) if self.active else images), captions


def no_input_noise() -> InputNoise:
    """Images as they are."""
    return InputNoise(augmentation=AugmentationParams(flip=False, crop=0), randaugment=None)


def input_noise(params: Params, *, noised: bool, image_size: int | None = None) -> InputNoise:
    """The input noise of a training: plain augmentation, with RandAugment when `noised`."""
    randaugment = params.noise.randaugment if noised else None
    return InputNoise(augmentation=params.augmentation, randaugment=randaugment, image_size=image_size)

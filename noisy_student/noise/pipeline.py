"""All input noise of one training, in order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from noisy_student.noise.engine import apply_draw
from noisy_student.noise.randaugment import RandAugment
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


class InputNoise:
    """Flip, then crop, then RandAugment; what is off is skipped.

    Drawing and applying are apart, so that the same draw can be carried out by another engine. What an image
    gets depends on its key alone, not on the batch it is in. None or `ops` of 0 leaves RandAugment out.
    """

    def __init__(self, *, augmentation: AugmentationParams, randaugment: RandAugmentParams | None) -> None:
        self.flip, self.crop, self.randaugment = augmentation.flip, augmentation.crop, None
        if randaugment is not None and randaugment.ops > 0:
            self.randaugment = RandAugment(**randaugment.model_dump())

    @property
    def active(self) -> bool:
        """Whether anything is switched on."""
        return bool(self.flip or self.crop or self.randaugment)

    def draw(self, keys: Keys) -> InputDraw:
        """A flip has probability 1/2. The offsets of a crop are uniform in 0..2 * padding, each axis by itself."""
        flip = uniforms(keys, "flip", 1)[:, 0] < 0.5 if self.flip else None
        top = left = op = value = None
        if self.crop:
            top, left = np.floor(uniforms(keys, "crop", 2) * (2 * self.crop + 1)).astype(np.int64).T
        if self.randaugment is not None:
            op, value = self.randaugment.draw(keys)
        return InputDraw(flip=flip, top=top, left=left, op=op, value=value)

    def apply(self, images: Pixels, draw: InputDraw, out: Pixels | None = None) -> Pixels:
        """Carry out a draw; `out` as of `engine.apply_draw`."""
        return apply_draw(
            images,
            draw,
            padding=self.crop,
            crop_fill=CROP_FILL,
            table=self.randaugment.table if self.randaugment else (),
            fill=self.randaugment.fill if self.randaugment else 0,
            out=out,
        )

    def __call__(self, images: Pixels, keys: Keys) -> Pixels:
        """Noise a batch; `images` itself, not a copy, if nothing is switched on."""
        return self.apply(images, self.draw(keys)) if self.active else images

    def with_captions(self, images: Pixels, keys: Keys) -> tuple[Pixels, list[list[str]]]:
        """Noise a batch as `__call__` does, and say what RandAugment did (`RandAugment.captions`)."""
        draw = self.draw(keys)
        captions = [[] for _ in keys] if self.randaugment is None else self.randaugment.captions(draw)
        return (self.apply(images, draw) if self.active else images), captions


def no_input_noise() -> InputNoise:
    """Images as they are."""
    return InputNoise(augmentation=AugmentationParams(flip=False, crop=0), randaugment=None)


def input_noise(params: Params, *, noised: bool) -> InputNoise:
    """The input noise of a training: plain augmentation, with RandAugment when `noised`."""
    return InputNoise(augmentation=params.augmentation, randaugment=params.noise.randaugment if noised else None)

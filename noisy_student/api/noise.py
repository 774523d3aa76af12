"""`ns.RandAugment`: the noise of the images, for a training of one's own."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from noisy_student.api import arguments
from noisy_student.api.arguments import DEFAULTS
from noisy_student.noise.pipeline import InputNoise
from noisy_student.runtime.seeds import image_keys
from noisy_student.runtime.types import Ints, Pixels
from noisy_student.settings.schema import AugmentationParams, RandAugmentParams

_PLAIN, _RAND = DEFAULTS.augmentation, DEFAULTS.noise.randaugment


class RandAugment:
    """Noise images by random operations, each image on its own (Cubuk et al. 2019, arXiv:1909.13719).

    `RandAugment()(images)` gives new images of the same shape. What an image gets depends on `seed`, `epoch` and its
    row only, not on how often or on what else this was called. Every operation gives what Pillow gives, pixel for
    pixel; it runs compiled, on one core.

    Args:
        ops: operations an image, 0 to 10, drawn with replacement; 0: none.
        magnitude: their strength, 0 to `levels` ...
        levels: ... out of this.
        table: "standard", the published operations and ranges, or "article", see docs/recipes.md.
        magnitude_sampling: "fixed", or "uniform": drawn for each operation, from 0 to `magnitude` - 1 of 10 strengths.
        fill: grey level, 0 to 255, of what comes in at the borders.
        flip: whether half of the images are mirrored left to right, before.
        crop: pixels of padding, 0 to 64, before a random crop to the same size.
        seed: 0 or more.

    Raises:
        UserError: a value is out of its range, or images are no uint8 (N, S, S, 3).
    """

    def __init__(
        self,
        ops: int = _RAND.ops,
        magnitude: int = _RAND.magnitude,
        *,
        levels: int = _RAND.levels,
        table: Literal["standard", "article"] = _RAND.table,
        magnitude_sampling: Literal["fixed", "uniform"] = _RAND.magnitude_sampling,
        fill: int = _RAND.fill,
        flip: bool = _PLAIN.flip,
        crop: int = _PLAIN.crop,
        seed: int = DEFAULTS.seed,
    ) -> None:
        own = {"ops": ops, "magnitude": magnitude, "levels": levels, "table": table, "fill": fill}
        with arguments.speaking_of_arguments("RandAugment"):
            randaugment = RandAugmentParams(**arguments.plain(own | {"magnitude_sampling": magnitude_sampling}))
            augmentation = AugmentationParams(**arguments.plain({"flip": flip, "crop": crop}))
        self._noise = InputNoise(augmentation=augmentation, randaugment=randaugment)
        self._seed = _seed(seed)

    def __call__(self, images: npt.ArrayLike, *, epoch: int = 0, rows: Ints | None = None) -> Pixels:
        """Noise images.

        Args:
            images: (N, S, S, 3) uint8; they are not changed.
            epoch: how often the images were gone through before: another one draws anew.
            rows: (N,) which images of a set these are; None: 0 to N - 1.

        Returns:
            (N, S, S, 3) uint8, a new array.
        """
        pixels = arguments.images(images, "images")
        numbers = np.arange(len(pixels)) if rows is None else np.asarray(rows)
        if numbers.shape != (len(pixels),) or numbers.dtype.kind not in "iu":
            found = f"{numbers.dtype} {numbers.shape}"
            raise arguments.ArgumentError(f"rows: expected a number an image, ({len(pixels)},), found {found}.")
        if not (len(pixels) and self._noise.active):
            return pixels.copy()
        return self._noise(pixels, image_keys(self._seed, epoch, numbers))


def _seed(seed):
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise arguments.ArgumentError(f"seed: expected a whole number, 0 or more; found {seed!r}.")
    return int(seed)

"""The 19 corruptions of Hendrycks and Dietterich 2019 (arXiv:1903.12261), many images at a time.

The published files were made without a seed, so that they cannot be made again: these images are like those
of CIFAR-10-C or ImageNet-C, not the same. What an image becomes depends on its row, on corruption, severity
and seed, not on the images beside it.
"""

from collections.abc import Callable

import numpy as np

from noisy_student.robustness import blurs, digital, noises, severities, weather
from noisy_student.robustness.draws import Draws
from noisy_student.runtime.seeds import derive_seed, image_keys
from noisy_student.runtime.types import Floats, Pixels, Rows

_BLOCK = 200_000  # values that are worked on together: as float64 they fit into a core's cache
# Those that take and give grey levels; the others take and give values in [0, 1].
_ON_LEVELS = ("motion_blur", "frost", "pixelate", "jpeg_compression")
_FUNCTIONS: dict[str, Callable] = {
    function.__name__: function
    for function in (
        *(noises.gaussian_noise, noises.shot_noise, noises.impulse_noise, noises.speckle_noise),
        *(blurs.gaussian_blur, blurs.defocus_blur, blurs.glass_blur, blurs.motion_blur, blurs.zoom_blur),
        *(weather.snow, weather.frost, weather.fog, weather.spatter),
        *(digital.brightness, digital.contrast, digital.saturate),
        *(digital.elastic_transform, digital.pixelate, digital.jpeg_compression),
    )
}


def corrupt(
    images: Pixels, name: str, severity: int, *, rows: Rows, seed: int, frost: Callable[[], list[Pixels]]
) -> Pixels:
    """Corrupt a block of square images; values are cut off to whole grey levels, as in the published files.

    Args:
        name: one of `severities.ALL`.
        severity: 1 to 5.
        rows: decide the random numbers.
        frost: gives `frosting.pictures`.
    """
    strength = severities.constants(name, severity, images.shape[1])
    keys = image_keys(derive_seed(seed, "corruption", name, severity), 0, rows)
    out, size = np.empty(images.shape, np.uint8), max(1, _BLOCK // max(1, images[:1].size))
    for first in range(0, len(images), size):
        block = slice(first, first + size)
        out[block] = _corrupt(np.asarray(images[block]), name, strength, Draws(keys[block]), frost)
    return out


def _corrupt(images, name, strength, draws, frost):
    function = _FUNCTIONS[name]
    if name not in _ON_LEVELS:
        return to_levels(function(images / 255.0, strength, draws))
    pictures = [frost()] if name == "frost" else []
    return np.clip(function(images, strength, draws, *pictures), 0, 255).astype(np.uint8)


def to_levels(values: Floats) -> Pixels:
    """Values, clipped to [0, 1], as uint8 grey levels, cut off."""
    return (np.clip(values, 0, 1) * 255).astype(np.uint8)

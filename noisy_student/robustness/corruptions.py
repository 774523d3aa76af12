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
_ON_LEVELS: dict[str, Callable] = {
    "motion_blur": blurs.motion_blur,
    "frost": weather.frost,
    "pixelate": digital.pixelate,
    "jpeg_compression": digital.jpeg_compression,
}
_ON_VALUES: dict[str, Callable] = {
    "gaussian_noise": noises.gaussian_noise,
    "shot_noise": noises.shot_noise,
    "impulse_noise": noises.impulse_noise,
    "speckle_noise": noises.speckle_noise,
    "gaussian_blur": blurs.gaussian_blur,
    "defocus_blur": blurs.defocus_blur,
    "glass_blur": blurs.glass_blur,
    "zoom_blur": blurs.zoom_blur,
    "snow": weather.snow,
    "fog": weather.fog,
    "spatter": weather.spatter,
    "brightness": digital.brightness,
    "contrast": digital.contrast,
    "saturate": digital.saturate,
    "elastic_transform": digital.elastic_transform,
}


def corrupt(
    images: Pixels, name: str, severity: int, *, rows: Rows, seed: int, frost: Callable[[], list[Pixels]]
) -> Pixels:
    """Corrupt a block of images.

    Args:
        images: (N, S, S, 3) uint8; not changed.
        name: one of `severities.ALL`.
        severity: 1 to 5.
        rows: (N,) ints: which images of their data set these are; decides the random numbers.
        frost: callable without arguments that gives `frosting.pictures`.

    Returns:
        (N, S, S, 3) uint8; values are cut off to whole grey levels, as in the published files.

    Raises:
        KeyError, IndexError: no such corruption or severity.
    """
    strength = severities.constants(name, severity, images.shape[1])
    keys = image_keys(derive_seed(seed, "corruption", name, severity), 0, rows)
    out, size = np.empty(images.shape, np.uint8), max(1, _BLOCK // max(1, images[:1].size))
    for start in range(0, len(images), size):
        block = slice(start, start + size)
        out[block] = _corrupt(np.asarray(images[block]), name, strength, Draws(keys[block]), frost)
    return out


def _corrupt(images, name, strength, draws, frost):
    if name in _ON_LEVELS:
        more = [frost()] if name == "frost" else []
        return np.clip(_ON_LEVELS[name](images, strength, draws, *more), 0, 255).astype(np.uint8)
    return to_levels(_ON_VALUES[name](images / 255.0, strength, draws))


def to_levels(values: Floats) -> Pixels:
    """Values, clipped to [0, 1], as uint8 grey levels, cut off."""
    return (np.clip(values, 0, 1) * 255).astype(np.uint8)

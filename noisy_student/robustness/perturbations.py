"""Sequences of images that change little by little, as in CIFAR-10-P and ImageNet-P (arXiv:1903.12261).

The models' predictions should not change along a sequence. Where a frame shows more than the image, the rest is black.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import cv2
import numpy as np
from PIL import Image

from noisy_student.robustness import blurs, digital, noises, weather
from noisy_student.robustness.corruptions import to_levels
from noisy_student.robustness.draws import Draws
from noisy_student.robustness.severities import SMALL
from noisy_student.runtime.seeds import derive_seed, image_keys
from noisy_student.runtime.types import Floats, Pixels, Rows

_STEPS = np.arange(31)
_AROUND = _STEPS - 15
_ZOOMS = 1 + 0.004 * _STEPS[1:]
# The sequences of the two published sets, with what the function of `_SEQUENCES` takes.
CIFAR: dict[str, Any] = {
    "gaussian_noise": 0.02,
    "shot_noise": 700,
    "motion_blur": ((6, 1.8), 9.0 * (np.arange(21) - 20)),  # radius and deviation in pixels; degrees of each frame
    "zoom_blur": _ZOOMS,
    "spatter": (0.6, 0.265, 1.75, 0.7, 0.6, 0),  # as of weather.spatter
    "brightness": 0.015 * _AROUND,
    "translate": np.arange(16) - 7,  # pixels
    "rotate": _AROUND,  # degrees
    "tilt": 0.75 * _AROUND,  # degrees
    "scale": (2 * _STEPS + 70) / 100,
}
IMAGENET: dict[str, Any] = {
    "gaussian_noise": 0.03,
    "shot_noise": 300,
    "motion_blur": ((10, 3), 4.0 * (_STEPS - 30)),
    "zoom_blur": _ZOOMS,
    "snow": (0.05, 0.3, 3, 0.5, 14, 4, 0.85),  # as of weather.snow
    "brightness": 0.02 * _AROUND,
    "translate": np.arange(41) - 20,
    "rotate": _AROUND,
    "tilt": 1.0 * _AROUND,
    "scale": (2.5 * _STEPS + 40) / 100,
}
NOISES = ("gaussian_noise", "shot_noise")  # compared with the first frame, not with the one before


def _strengths(side):
    return CIFAR if side < SMALL else IMAGENET


def names(side: int) -> tuple[str, ...]:
    """The ten sequences for images of this side in pixels."""
    return tuple(_strengths(side))


def frames(images: Pixels, name: str, *, rows: Rows, seed: int) -> Iterator[Pixels]:
    """Yield the 16 to 41 frames of a sequence of `names` for a block of images; the rows decide the random numbers."""
    draws = Draws(image_keys(derive_seed(seed, "perturbation", name), 0, rows))
    yield from _SEQUENCES[name](np.asarray(images), _strengths(images.shape[1])[name], draws)


def _fresh_noise(noise, images, amount, draws):
    """The images, then other noise in every frame."""
    yield images
    for frame in _STEPS[1:]:
        fresh = Draws(image_keys(int(frame), draws.keys, np.zeros_like(draws.keys)))
        yield to_levels(noise(images / 255.0, amount, fresh))


def _motion_blur(images, strength, draws):
    for angle in strength[1]:
        yield blurs.blur_along(images, strength[0], np.full(len(images), angle))


def _zoom_blur(images, scales, draws):
    """The running mean of the image and of its enlargements."""
    yield images
    total = images / 255.0
    for number, scale in enumerate(scales, 2):
        total = total + _affine(images, scale=scale) / 255.0
        yield to_levels(total / number)


def _spatter(images, strength, draws):
    """Drops of water that run down."""
    x = images / 255.0
    liquid = weather.start_spatter(x, strength, draws)
    for _ in _STEPS:
        yield to_levels(weather.add_water(x, liquid, strength[4]))
        above = np.pad(liquid, ((0, 0), (1, 0), (0, 0)))[:, :-1]
        liquid = 0.2 * liquid + 0.8 * above


def _snow(images, strength, draws):
    """Snow that is driven from other directions."""
    x, (*standing, radius, deviation, share) = images / 255.0, strength
    flakes = weather.start_snow(x, standing, draws)
    for angle in 4.0 * _STEPS - 150:
        yield to_levels(weather.add_snow(x, flakes, (radius, deviation), np.full(len(images), angle), share))


def _each(change):
    """A sequence of one frame for each value: what `change` makes of the images by it."""
    return lambda images, values, draws: (change(images, value) for value in values)


def _brighten(images, shift):
    return to_levels(digital.brightness(images / 255.0, shift))


def _translate(images, right):
    frame, side = np.zeros_like(images), images.shape[2]
    if abs(right) < side:
        target, source = (slice(max(d, 0), side + min(d, 0)) for d in (right, -right))
        frame[:, :, target] = images[:, :, source]
    return frame


def _tilt(images, degrees):
    """Look at the image from the side: a projection."""
    side = images.shape[1]
    matrix = tilt_matrix(side, degrees)
    return np.stack([cv2.warpPerspective(image, matrix, (side, side)) for image in images])


def tilt_matrix(side: int, degrees: float) -> Floats:
    """The projection (3, 3) of a square image that is turned by as much about both of its axes.

    Source: rotation about the image's centre, seen by a pinhole camera whose focal length is the diagonal.
    """
    angle, focal, centre = np.deg2rad(degrees), np.sqrt(2) * side, side / 2
    cos, sin = np.cos(angle), np.sin(angle)
    to_space = np.array([[1, 0, -centre], [0, 1, -centre], [0, 0, 1], [0, 0, 1]])
    about_x = np.array([[1, 0, 0, 0], [0, cos, -sin, 0], [0, sin, cos, 0], [0, 0, 0, 1]])
    about_y = np.array([[cos, 0, -sin, 0], [0, 1, 0, 0], [sin, 0, cos, 0], [0, 0, 0, 1]])
    away = np.eye(4)
    away[2, 3] = focal
    camera = np.array([[focal, 0, centre, 0], [0, focal, centre, 0], [0, 0, 1, 0]])
    return camera @ away @ about_x @ about_y @ to_space


def _affine(images, degrees=0.0, scale=1.0):
    """Turn clockwise and enlarge about the centre, by Pillow's bilinear filter; outside is black."""
    side = images.shape[1]
    angle, centre = np.deg2rad(degrees), side / 2
    cos, sin = np.cos(angle) / scale, np.sin(angle) / scale  # of the inverse map, which Pillow wants
    inverse = (
        *(cos, sin, centre - cos * centre - sin * centre),
        *(-sin, cos, centre + sin * centre - cos * centre),
    )
    form = (side, side), Image.Transform.AFFINE, inverse, Image.Resampling.BILINEAR
    return np.stack([np.asarray(Image.fromarray(image).transform(*form)) for image in images])


_SEQUENCES: dict[str, Callable[..., Iterator[Pixels]]] = {
    "gaussian_noise": partial(_fresh_noise, noises.gaussian_noise),
    "shot_noise": partial(_fresh_noise, noises.shot_noise),
    "motion_blur": _motion_blur,
    "zoom_blur": _zoom_blur,
    "spatter": _spatter,
    "snow": _snow,
    "brightness": _each(_brighten),
    "translate": _each(_translate),
    "rotate": _each(_affine),
    "tilt": _each(_tilt),
    "scale": _each(lambda images, scale: _affine(images, scale=scale)),
}

"""Sequences of images that change little by little, as in CIFAR-10-P and ImageNet-P (arXiv:1903.12261).

The models' predictions should not change along a sequence. Where a frame shows more than the image, the rest is black.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image

from noisy_student.robustness import blurs, digital, noises, weather
from noisy_student.robustness.corruptions import to_levels
from noisy_student.robustness.draws import Draws
from noisy_student.robustness.severities import SMALL
from noisy_student.runtime.seeds import derive_seed, image_keys
from noisy_student.runtime.types import Floats, Pixels, Rows

_SPATTER = (0.6, 0.265, 1.75, 0.7, 0.6, 0)  # see weather.spatter
_KEPT_IN_SNOW = 0.85


@dataclass(frozen=True)
class Strengths:
    """What the two published sets do differently.

    Attributes:
        noise: standard deviation of Gaussian noise.
        photons: at the value 1, of shot noise.
        motion: radius and standard deviation in pixels.
        motion_angles: degrees, of each frame.
        brightness: step from frame to frame.
        shift: pixels to the left at the first frame, translated by one pixel a frame.
        frames_shifted: number of frames of the translation.
        tilt: degrees a frame.
        scales: of each frame.
        weather: "spatter" or "snow".
    """

    noise: float
    photons: float
    motion: tuple
    motion_angles: np.ndarray
    brightness: float
    shift: int
    frames_shifted: int
    tilt: float
    scales: np.ndarray
    weather: str


_STEPS = np.arange(31)
CIFAR = Strengths(
    noise=0.02,
    photons=700,
    motion=(6, 1.8),
    motion_angles=9.0 * (np.arange(21) - 20),
    brightness=0.015,
    shift=7,
    frames_shifted=16,
    tilt=0.75,
    scales=(2 * _STEPS + 70) / 100,
    weather="spatter",
)
IMAGENET = Strengths(
    noise=0.03,
    photons=300,
    motion=(10, 3),
    motion_angles=4.0 * (_STEPS - 30),
    brightness=0.02,
    shift=20,
    frames_shifted=41,
    tilt=1.0,
    scales=(2.5 * _STEPS + 40) / 100,
    weather="snow",
)
NOISES = ("gaussian_noise", "shot_noise")  # compared with the first frame, not with the one before


def strengths(side: int) -> Strengths:
    """The `Strengths` for images of this side in pixels."""
    return CIFAR if side < SMALL else IMAGENET


def names(side: int) -> tuple[str, ...]:
    """The ten sequences for images of this side in pixels."""
    return (
        *NOISES,
        *("motion_blur", "zoom_blur", strengths(side).weather),
        *("brightness", "translate", "rotate", "tilt", "scale"),
    )


def frames(images: Pixels, name: str, *, rows: Rows, seed: int) -> Iterator[Pixels]:
    """Yield the frames of a sequence, one after the other, for a block of images.

    Args:
        name: one of `names`.
        rows: (N,) ints: which images of their data set these are; decides the random numbers.

    Yields:
        (N, S, S, 3) uint8; 16 to 41 frames.

    Raises:
        KeyError: no such sequence.
    """
    draws = Draws(image_keys(derive_seed(seed, "perturbation", name), 0, rows))
    yield from _SEQUENCES[name](np.asarray(images), strengths(images.shape[1]), draws)


def _gaussian_noise(images, strength, draws):
    return _fresh_noise(noises.gaussian_noise, images, strength.noise, draws)


def _shot_noise(images, strength, draws):
    return _fresh_noise(noises.shot_noise, images, strength.photons, draws)


def _fresh_noise(noise, images, amount, draws):
    """The images, then other noise in every frame."""
    yield images
    for frame in _STEPS[1:]:
        fresh = Draws(image_keys(int(frame), draws.keys, np.zeros_like(draws.keys)))
        yield to_levels(noise(images / 255.0, amount, fresh))


def _motion_blur(images, strength, draws):
    for angle in strength.motion_angles:
        yield blurs.blur_along(images, strength.motion, np.full(len(images), angle))


def _zoom_blur(images, strength, draws):
    """The running mean of the image and of its enlargements."""
    yield images
    total = images / 255.0
    for step in range(1, 31):
        total = total + _affine(images, scale=1 + 0.004 * step) / 255.0
        yield to_levels(total / (step + 1))


def _spatter(images, strength, draws):
    """Drops of water that run down."""
    x = images / 255.0
    liquid = weather.start_spatter(x, _SPATTER, draws)
    for _ in _STEPS:
        yield to_levels(weather.add_water(x, liquid, _SPATTER[4]))
        above = np.pad(liquid, ((0, 0), (1, 0), (0, 0)))[:, :-1]
        liquid = 0.2 * liquid + 0.8 * above


def _snow(images, strength, draws):
    """Snow that is driven from other directions."""
    x = images / 255.0
    flakes = weather.start_snow(x, (0.05, 0.3, 3, 0.5), draws)
    for step in _STEPS:
        angles = np.full(len(images), 4.0 * step - 150)
        yield to_levels(weather.add_snow(x, flakes, (14, 4), angles, _KEPT_IN_SNOW))


def _brightness(images, strength, draws):
    for step in _STEPS:
        yield to_levels(digital.brightness(images / 255.0, (step - 15) * strength.brightness))


def _translate(images, strength, draws):
    for step in range(strength.frames_shifted):
        right, frame = step - strength.shift, np.zeros_like(images)
        side = images.shape[2]
        if abs(right) < side:
            target, source = (slice(max(d, 0), side + min(d, 0)) for d in (right, -right))
            frame[:, :, target] = images[:, :, source]
        yield frame


def _rotate(images, strength, draws):
    for step in _STEPS:
        yield _affine(images, degrees=step - 15)


def _tilt(images, strength, draws):
    """Look at the image from the side: a projection."""
    side = images.shape[1]
    for step in _STEPS:
        matrix = tilt_matrix(side, strength.tilt * (step - 15))
        yield np.stack([cv2.warpPerspective(image, matrix, (side, side)) for image in images])


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


def _scale(images, strength, draws):
    for scale in strength.scales:
        yield _affine(images, scale=scale)


def _affine(images, *, degrees=0.0, scale=1.0):
    """Turn clockwise and enlarge about the centre, by Pillow's bilinear filter; outside is black."""
    side = images.shape[1]
    angle, centre = np.deg2rad(degrees), side / 2
    cos, sin = np.cos(angle) / scale, np.sin(angle) / scale  # of the inverse map, which Pillow wants
    inverse = (
        *(cos, sin, centre - cos * centre - sin * centre),
        *(-sin, cos, centre + sin * centre - cos * centre),
    )
    return np.stack(
        [
            np.asarray(
                Image.fromarray(image).transform(
                    (side, side), Image.Transform.AFFINE, inverse, Image.Resampling.BILINEAR
                )
            )
            for image in images
        ]
    )


_SEQUENCES: dict[str, Callable[..., Iterator[np.ndarray]]] = {
    "gaussian_noise": _gaussian_noise,
    "shot_noise": _shot_noise,
    "motion_blur": _motion_blur,
    "zoom_blur": _zoom_blur,
    "spatter": _spatter,
    "snow": _snow,
    "brightness": _brightness,
    "translate": _translate,
    "rotate": _rotate,
    "tilt": _tilt,
    "scale": _scale,
}

"""Corruptions by blur; deviations are standard deviations of Gaussians, in pixels as all lengths are."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter

from noisy_student.robustness.pixels import shuffle_pixels, weigh_shifted
from noisy_student.robustness.zooming import zoom
from noisy_student.runtime.types import Floats, Pixels

if TYPE_CHECKING:
    from noisy_student.robustness.draws import Draws


def smooth(x: Floats, deviation: float, *, mode: str = "nearest", truncate: float = 4.0) -> Floats:
    """Gaussian blur of each channel of each image: (N, S, S) or (N, S, S, C)."""
    return gaussian_filter(x, deviation, axes=(1, 2), mode=mode, truncate=truncate) if deviation else x


def gaussian_blur(x: Floats, deviation: float, draws: Draws) -> Floats:
    """Blur by a Gaussian."""
    return smooth(x, deviation)


def glass_blur(x: Floats, strength: tuple[float, int, int], draws: Draws) -> Floats:
    """Blur, let pixels take those of neighbours, blur again: strength (deviation, reach in pixels, rounds)."""
    deviation, reach, rounds = strength
    side = x.shape[1]
    levels = (smooth(x, deviation) * 255).astype(np.uint8)
    shifts = draws.integer("neighbours", rounds, 2, side, side, low=-reach, high=reach).astype(np.int8)
    shuffle_pixels(levels, shifts, reach)
    return smooth(levels / 255.0, deviation)


def defocus_blur(x: Floats, strength: tuple[float, float], draws: Draws) -> Floats:
    """Blur by a disk: strength (radius, softness of its edge)."""
    kernel = _disk(*strength)
    return np.stack([cv2.filter2D(image, -1, kernel) for image in x])


@functools.lru_cache(maxsize=16)
def _disk(radius, softness):
    reach, size = (8, 3) if radius <= 8 else (radius, 5)
    distance = np.arange(-reach, reach + 1)
    disk = (distance[:, None] ** 2 + distance**2 <= radius**2).astype(np.float32)
    return cv2.GaussianBlur(disk / disk.sum(), (size, size), softness)


def motion_blur(levels: Pixels, strength: tuple[float, float], draws: Draws) -> Pixels:
    """Blur along a line, in a direction of -45 to 45 degrees: strength as of `blur_along`."""
    return blur_along(levels, strength, draws.uniform("angle", low=-45.0, high=45.0))


def blur_along(levels: Pixels, strength: tuple[float, float], angles: Floats) -> Pixels:
    """ImageMagick's motion blur: one half of a Gaussian along a line, cut off to whole grey levels.

    Args:
        levels: any number of channels.
        strength: (radius, deviation); the line is 2 * ceil(radius) + 1 pixels long.
        angles: (N,) degrees, clockwise from the right.
    """
    radius, deviation = strength
    steps = np.arange(2 * int(np.ceil(radius)) + 1)
    weights = np.exp(-(steps**2) / (2 * deviation**2))
    radians = np.deg2rad(angles)[:, None]
    down, right = (np.ceil(steps * part(radians) - 0.5).astype(np.int64) for part in (np.sin, np.cos))
    return weigh_shifted(np.ascontiguousarray(levels), down, right, weights / weights.sum())


def zoom_blur(x: Floats, factors: Floats, draws: Draws) -> Floats:
    """The mean of the image and of its enlargements by these factors, float32."""
    x = x.astype(np.float32)
    total = sum((zoom(x, float(factor)) for factor in factors), start=np.zeros_like(x))
    return (x + total) / (len(factors) + 1)

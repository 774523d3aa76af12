"""Corruptions of colour, geometry and coding."""

from __future__ import annotations

import functools
import io
from typing import TYPE_CHECKING

import cv2
import numpy as np
from PIL import Image

from noisy_student.robustness.blurs import smooth
from noisy_student.robustness.pixels import sample_mirrored
from noisy_student.runtime.types import Floats, Pixels

if TYPE_CHECKING:
    from noisy_student.robustness.draws import Draws


def brightness(x: Floats, shift: float, draws: Draws | None = None) -> Floats:
    """Raise the value of hue, saturation and value by `shift`."""
    value = x.max(axis=-1, keepdims=True)
    raised = np.clip(value + shift, 0, 1)
    scaled = np.divide(x * raised, value, out=np.zeros_like(x), where=value > 0)
    return np.where(value > 0, scaled, raised)  # black has no hue: it becomes grey


def saturate(x: Floats, strength: tuple[float, float], draws: Draws | None = None) -> Floats:
    """Change the saturation s (of hue, saturation, value) to factor * s + shift: strength (factor, shift)."""
    factor, shift = strength
    value = x.max(axis=-1, keepdims=True)
    spread = value - x.min(axis=-1, keepdims=True)
    saturation = np.divide(spread, value, out=np.zeros_like(value), where=value > 0)
    changed = np.clip(factor * saturation + shift, 0, 1)
    grey = saturation == 0
    full = np.where(grey, value - np.array([0.0, 1.0, 1.0]) * value, x)  # grey has no hue: as usual it counts as red
    ratio = np.divide(changed, saturation, out=np.array(changed), where=~grey)
    return value - (value - full) * ratio


def contrast(x: Floats, factor: float, draws: Draws | None = None) -> Floats:
    """Draw the values towards each channel's mean in the image."""
    mean = x.mean(axis=(1, 2), keepdims=True)
    return (x - mean) * factor + mean


def pixelate(levels: Pixels, share: float, draws: Draws | None = None) -> Pixels:
    """Shrink to this share of the side and enlarge again, by Pillow's box filter; uint8."""
    side = levels.shape[1]
    small, box = int(side * share), Image.Resampling.BOX
    pictures = (Image.fromarray(image).resize((small, small), box) for image in levels)
    return np.stack([np.asarray(picture.resize((side, side), box)) for picture in pictures])


def jpeg_compression(levels: Pixels, quality: int, draws: Draws | None = None) -> Pixels:
    """Code and decode as JPEG of this quality (Pillow's scale); uint8."""
    return np.stack([_as_jpeg(image, quality) for image in levels])


def _as_jpeg(image, quality):
    with io.BytesIO() as file:
        Image.fromarray(image).save(file, "JPEG", quality=quality)
        return np.asarray(Image.open(file))


def elastic_transform(x: Floats, strength: tuple[float, float, float], draws: Draws) -> Floats:
    """A random affine map, then a random smooth displacement of every pixel; float32.

    `strength` is (size of the displacement, its smoothness, size of the affine map's) as shares of the side.
    """
    side = x.shape[1]
    size, smoothness, affine = (side * share for share in strength)
    x = _affine(x.astype(np.float32), draws.uniform("affine", 3, 2, low=-affine, high=affine))
    places = list(np.mgrid[:side, :side])
    for axis, purpose in enumerate(("down", "right")):
        field = draws.uniform(purpose, side, side, low=-1.0, high=1.0)
        shift = (size * smooth(field, smoothness, mode="reflect", truncate=3)).astype(np.float32)
        places[axis] = places[axis] + shift.astype(np.float64)
    return sample_mirrored(x, *places)


def _affine(x, shifts):
    """Move three corners of a square of two thirds of the side by `shifts` (N, 3, 2) pixels."""
    side = x.shape[1]
    middle, half = side // 2, side // 3
    low, high = middle - half, middle + half
    corners = np.array([[high, high], [high, low], [low, low]], np.float32)
    matrices = (cv2.getAffineTransform(corners, corners + shift) for shift in shifts.astype(np.float32))
    warped = functools.partial(cv2.warpAffine, dsize=(side, side), borderMode=cv2.BORDER_REFLECT_101)
    return np.stack([warped(image, matrix) for image, matrix in zip(x, matrices, strict=True)])

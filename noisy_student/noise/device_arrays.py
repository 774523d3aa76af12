"""What the device needs to carry out a draw: small arrays, made on the host where float64 is at hand."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING

import numpy as np

from noisy_student.noise import operations as kinds
from noisy_student.runtime.types import Ints

if TYPE_CHECKING:
    from noisy_student.noise.pipeline import InputDraw

ONE, HALF = 1 << 16, 1 << 15  # of Pillow's 16.16 fixed point; a pixel's centre is at HALF
BICUBIC = (kinds.SHEAR_X_BICUBIC, kinds.SHEAR_Y_BICUBIC)
ENHANCEMENTS = (kinds.BRIGHTNESS, kinds.CONTRAST, kinds.COLOR, kinds.SHARPNESS)


def frames(draw: InputDraw, padding: int, width: int) -> Ints:
    """The matrices (N, 6) of flip, then crop."""
    mirrored = False if draw.flip is None else draw.flip
    top, left = ((0 if offset is None else offset - padding) for offset in (draw.top, draw.left))
    first = np.where(mirrored, width - 1 - left, left)
    terms = (np.where(mirrored, -ONE, ONE), 0, first * ONE + HALF, 0, ONE, top * ONE + HALF)
    return np.stack(np.broadcast_arrays(*terms), axis=-1).astype(np.int32)


@functools.lru_cache(maxsize=4096)
def parameters(kind: int, value: float, bicubic: bool, height: int, width: int) -> dict[str, np.ndarray]:
    """What one operation asks of the three stages; see `in_graph.InGraphNoise.prepare`."""
    row: dict[str, np.ndarray] = {
        "kind": np.array(kind, np.int32),
        "mask": np.array((0xFF << (8 - int(value))) & 0xFF if kind == kinds.POSTERIZE else 0xFF, np.int32),
        "threshold": np.array(math.ceil(value) if kind == kinds.SOLARIZE else 256, np.int32),
        "factor": np.array(1.0 + value if kind in ENHANCEMENTS else 1.0, np.float32),
        "matrix": np.array(_matrix(kind, value, height, width), np.int32),
    }
    if bicubic:
        across, along = (width, height) if kind == kinds.SHEAR_Y_BICUBIC else (height, width)
        shift, rest = _lines(value if kind in BICUBIC else 0.0, across, along)
        extra = max(height, width) - across
        row |= {"shift": np.pad(shift, (0, extra)), "rest": np.pad(rest, (0, extra))}
    return row


def _matrix(kind, value, height, width):
    """Pillow's six coefficients, output place to source place, in fixed point."""
    if kind == kinds.ROTATE:
        return _fixed(*_rotation(value, height, width))
    if kind == kinds.SHEAR_X:
        return _fixed(1.0, value, 0.0, 0.0, 1.0, 0.0)
    if kind == kinds.SHEAR_Y:
        return _fixed(1.0, 0.0, 0.0, value, 1.0, 0.0)
    a, c = _translation(value * width, width) if kind == kinds.TRANSLATE_X else (ONE, HALF)
    e, f = _translation(value * height, height) if kind == kinds.TRANSLATE_Y else (ONE, HALF)
    return a, 0, c, 0, e, f


def _fixed(a, b, c, d, e, f):
    """Round as Pillow does; the offsets take in the half pixel to the first centre."""
    exact = (a, b, c + a * 0.5 + b * 0.5, d, e, f + d * 0.5 + e * 0.5)
    return [math.floor(number * 65536.0 + 0.5) for number in exact]


def _rotation(value, height, width):
    """The inverse of a turn by `value` degrees about the centre, rounded as Pillow does."""
    angle, x, y = -math.radians(value % 360.0), width / 2, height / 2
    cos, sin = round(math.cos(angle), 15), round(math.sin(angle), 15)
    return cos, sin, cos * -x + sin * -y + x, -sin, cos, -sin * -x + cos * -y + y


def _translation(shift, side):
    """The slope and offset, in fixed point, that give Pillow's source place of every line.

    Pillow adds 1.0 from pixel to pixel in float64. Where the first place lies just below a whole number,
    a rounding on the way may lift the rest by one; a slope steeper by 2**-16 does the same at that pixel.
    """
    places = np.floor(np.cumsum([shift + 0.5] + [1.0] * (side - 1))).astype(int) - np.arange(side)
    if places[0] == places[-1]:
        return ONE, int(places[0]) * ONE + HALF
    return ONE + 1, int(places[-1]) * ONE - int(np.argmax(places == places[-1]))


def _lines(tangent, across, along):
    """How far each of `across` lines is sheared: whole pixels, and what remains as float32.

    The whole pixels are as many as the line loses at its end. So the device knows what lies outside
    without float64, in which Pillow decides it.
    """
    exact = tangent * (np.arange(across) + 0.5)
    places = exact[:, None] + (np.arange(along) + 0.5)
    lost = ((places < 0) | (places >= along)).sum(axis=1)
    shift = np.where(exact < 0, -lost, lost)
    return shift.astype(np.int32), (exact - shift).astype(np.float32)


@functools.cache
def rounding_losses() -> Ints:
    """Where Pillow's autocontrast, computed in float64, falls one short of the exact quotient.

    Bit i % 32 of word i // 32 in row 256 * darkest + lightest is for level i: (65536, 8).
    """
    level, lightest = np.arange(256), np.arange(256)[:, None]
    losses = np.zeros((256, 256, 256), bool)
    for darkest in range(255):
        span = np.maximum(lightest - darkest, 1)
        table = np.trunc(level * (255.0 / span) + -darkest * (255.0 / span))
        losses[darkest] = (level >= darkest) & (level <= lightest) & (table < (level - darkest) * 255 // span)
    return np.packbits(losses, axis=-1, bitorder="little").view("<i4").reshape(-1, 8).astype(np.int32)

"""Corruptions by weather, and by what it leaves on the lens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import cv2
import numpy as np

from noisy_student.robustness.blurs import blur_along, smooth
from noisy_student.robustness.zooming import zoom
from noisy_student.runtime.types import Floats, Pixels

if TYPE_CHECKING:
    from noisy_student.robustness.draws import Draws

WATER = np.array([175, 238, 238]) / 255  # pale turquoise
MUD = np.array([63, 42, 20]) / 255
_GREY = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601
_BEND = np.array([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]])


def snow(x: Floats, strength: Sequence[float], draws: Draws) -> Floats:
    """Whiten the image and lay driven flakes over it; float32.

    `strength` is (mean and deviation of the flakes' noise, its enlargement, threshold, radius and deviation of the
    motion blur, share of the image that is not whitened).
    """
    *standing, radius, deviation, share = strength
    angles = draws.uniform("angle", low=-135.0, high=-45.0)
    return add_snow(x, start_snow(x, standing, draws), (radius, deviation), angles, share)


def start_snow(x: Floats, strength: Sequence[float], draws: Draws) -> Pixels:
    """Flakes that do not move yet, (N, S, S, 1); strength as of `snow`."""
    mean, deviation, enlargement, threshold = strength[:4]
    flakes = zoom(draws.normal("flakes", *x.shape[1:3], 1, mean=mean, deviation=deviation), enlargement)
    return (np.clip(np.where(flakes < threshold, 0, flakes), 0, 1) * 255).astype(np.uint8)


def add_snow(x: Floats, flakes: Pixels, blur: tuple[float, float], angles: Floats, share: float) -> Floats:
    """Drive the flakes (radius and deviation, degrees), whiten all but this share of x, add them."""
    x = x.astype(np.float32)
    driven = blur_along(flakes, blur, angles) / 255.0
    white = np.maximum(x, (x @ _GREY)[..., None] * 1.5 + 0.5)
    return share * x + (1 - share) * white + driven + np.rot90(driven, 2, axes=(1, 2))


def frost(levels: Pixels, strength: tuple[float, float], draws: Draws, pictures: list[Pixels]) -> Floats:
    """Lay a part of a picture of frost, which is larger, over the image: strength (the image's weight, the frost's)."""
    side, layer = levels.shape[1], np.empty(levels.shape)
    which, place = draws.integer("picture", low=0, high=len(pictures)), draws.uniform("place", 2)
    for i, picture in enumerate(pictures[index] for index in which):
        top, left = (int(place[i, axis] * (picture.shape[axis] - side)) for axis in (0, 1))
        layer[i] = picture[top : top + side, left : left + side]
    return strength[0] * levels + strength[1] * layer


def fog(x: Floats, strength: tuple[float, float], draws: Draws) -> Floats:
    """Mix in a cloud, keeping the image's largest value: strength (thickness, decay of the detail)."""
    thickness, decay = strength
    brightest = x.max(axis=(1, 2, 3), keepdims=True)
    thick = x + thickness * cloud(x.shape[1], decay, draws)[..., None]
    return thick * brightest / (brightest + thickness)


def cloud(side: int, decay: float, draws: Draws) -> Floats:
    """A fractal height map by the diamond-square algorithm, on a torus.

    Args:
        decay: by which the height of the detail falls from one scale to the next smaller one.

    Returns:
        (N, side, side) in [0, 1].
    """
    size = 1 << max(side - 1, 1).bit_length()
    heights = np.zeros((len(draws.keys), size, size))
    step, roughness = size, 100.0
    while step >= 2:
        half = step // 2

        def detail(purpose, number=size // step, height=roughness):
            # the algorithm's own: the range grows with the square of the roughness
            return draws.uniform(purpose, number, number, low=-(height**2), high=height**2)

        corners = heights[:, ::step, ::step]
        square = corners + np.roll(corners, -1, axis=1)
        square = (square + np.roll(square, -1, axis=2)) / 4
        centres = heights[:, half::step, half::step]
        centres[:] = square + detail(f"middle {step}")
        for axis, purpose in ((2, "top"), (1, "left")):  # of the cells' edges
            others = 3 - axis
            diamond = centres + np.roll(centres, 1, axis=others) + corners + np.roll(corners, -1, axis=axis)
            target = heights[:, ::step, half::step] if axis == 2 else heights[:, half::step, ::step]
            target[:] = diamond / 4 + detail(f"{purpose} {step}")
        step, roughness = half, roughness / decay
    heights -= heights.min(axis=(1, 2), keepdims=True)
    return (heights / heights.max(axis=(1, 2), keepdims=True))[:, :side, :side]


def spatter(x: Floats, strength: Sequence[float], draws: Draws) -> Floats:
    """Drops of water (light) or mud (dark) on the lens; float32.

    `strength` is (mean and deviation of the drops' noise, its smoothness in pixels, threshold, weight of the water or
    smoothness of the mud, 0 for water and 1 for mud).
    """
    x, liquid = x.astype(np.float32), start_spatter(x, strength, draws)
    if not strength[5]:
        return add_water(x, liquid, strength[4])
    mud = smooth((liquid > strength[3]).astype(np.float32), strength[4])
    mud = np.where(mud < 0.8, 0, mud)[..., None]
    return x * (1 - mud) + MUD * mud


def start_spatter(x: Floats, strength: Sequence[float], draws: Draws) -> Floats:
    """How thick the liquid lies, (N, S, S); strength as of `spatter`."""
    mean, deviation, smoothness, threshold = strength[:4]
    liquid = smooth(draws.normal("liquid", *x.shape[1:3], mean=mean, deviation=deviation), smoothness)
    return np.where(liquid < threshold, 0, liquid)


def add_water(x: Floats, liquid: Floats, weight: float) -> Floats:
    """Let drops shine: brightest by their edges, where the light is bent."""
    shine = np.stack([_shine((layer * 255).astype(np.uint8)) for layer in liquid])
    most = shine.max(axis=(1, 2), keepdims=True)
    shine = np.divide(shine, most, out=np.zeros_like(shine), where=most > 0)  # no drop, no shine
    return x + (weight * shine)[..., None] * WATER


def _shine(liquid):
    distance = cv2.distanceTransform(255 - cv2.Canny(liquid, 50, 150), cv2.DIST_L2, 5)
    distance = cv2.blur(np.minimum(distance, 20), (3, 3)).astype(np.uint8)
    bent = cv2.filter2D(cv2.equalizeHist(distance), cv2.CV_8U, _BEND)
    return liquid * cv2.blur(bent, (3, 3)).astype(np.float32)

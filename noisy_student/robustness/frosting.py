"""Pictures of frost: drawn here, or the published ones if the user has them."""

import functools
import math
from pathlib import Path

import cv2
import numpy as np

from noisy_student.robustness.draws import Draws
from noisy_student.robustness.severities import SMALL
from noisy_student.robustness.weather import cloud
from noisy_student.runtime.errors import DataError
from noisy_student.runtime.seeds import derive_seed, generator, image_keys
from noisy_student.runtime.types import Pixels

OFFICIAL = ("frost1.png", "frost2.png", "frost3.png", "frost4.jpg", "frost5.jpg")  # as published: not 6
DRAWN = 5
_LARGEST_DRAWN = 128  # pixels: side of the images that frost is drawn for; for larger ones it is enlarged
_SHRINK = 0.2  # of the published pictures, where images are small


def pictures(folder: Path | str, side: int) -> list[Pixels]:
    """Pictures of frost to take parts of, (H, W, 3), at least as high and wide as the images' `side`.

    Args:
        folder: where the published pictures may lie; if it does not exist, frost is drawn.

    Raises:
        DataError: the folder is there but a picture is missing, unreadable or too small.
    """
    folder = Path(folder)
    if not folder.exists():
        drawn = [draw(index, min(side, _LARGEST_DRAWN)) for index in range(DRAWN)]
        if side <= _LARGEST_DRAWN:
            return drawn
        return [cv2.resize(picture, (2 * side, 2 * side), interpolation=cv2.INTER_CUBIC) for picture in drawn]
    if not folder.is_dir():
        raise DataError(f"{folder}: not a folder. Remove it: then frost is drawn.")
    return [_official(folder / name, side) for name in OFFICIAL]


def _official(path, side):
    data = np.fromfile(path, np.uint8) if path.is_file() else np.empty(0, np.uint8)
    picture = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    if picture is None:
        defect = "not a readable picture" if path.is_file() else "no such file"
        raise DataError(
            f"{path}: {defect}. Put all of {', '.join(OFFICIAL)} there, or remove the folder: then frost is drawn."
        )
    if side < SMALL:
        picture = cv2.resize(picture, (0, 0), fx=_SHRINK, fy=_SHRINK)
    if min(picture.shape[:2]) <= side:
        raise DataError(f"{path}: {picture.shape[1]} x {picture.shape[0]} pixels, too small for images of {side}.")
    return picture[..., ::-1]


@functools.cache
def draw(index: int, side: int) -> Pixels:
    """Draw frost, bluish white on dark, four times as wide as the images.

    It is a veil of ice, and feathers that grow from seeds, branch by branch, at 60 degrees.
    """
    size = 4 * side
    rng = generator(0, "frost", index)
    veil = cloud(size, 1.6, Draws(image_keys(derive_seed(0, "frost veil", index), 0, np.arange(1))))[0]
    needles = []
    for _ in range(10):
        seed, direction = rng.uniform(0, size, 2), rng.uniform(0, 2 * math.pi)
        for arm in range(rng.integers(2, 5)):
            length = rng.uniform(0.6, 1.6) * side
            needles += _grow(seed, direction + arm * math.pi / 3, length, rng, depth=3)
    ice = np.zeros((size, size), np.uint8)
    for depth, *points in sorted(needles, key=lambda needle: needle[0]):  # the brightest last
        first, last = ([int(16 * value) for value in point] for point in points)  # in sixteenths of a pixel
        cv2.line(ice, first, last, 50 + 55 * depth, max(1, depth - 1), cv2.LINE_AA, 4)
    white = ice / 255
    light = 0.12 + 0.3 * veil + 0.45 * white + 0.35 * cv2.GaussianBlur(white, (0, 0), side / 16)  # which glows
    blue = 3 * (1 - np.array([0.86, 0.95, 1.0]))  # the darker, the bluer
    return (255 * np.clip(light, 0, 1)[..., None] ** (1 + blue)).astype(np.uint8)


def _grow(start, direction, length, rng, depth):
    """A needle as (depth, start, end), and the smaller ones on both sides of it."""
    end = start + length * np.array([math.cos(direction), math.sin(direction)])
    grown = [(depth, start, end)]
    if depth == 1 or length < 4:
        return grown
    for share in np.arange(0.15, 0.95, 0.14) + rng.uniform(-0.03, 0.03):
        for turn in (-math.pi / 3, math.pi / 3):
            shorter = length * (1 - share) * rng.uniform(0.3, 0.5)
            grown += _grow(start + share * (end - start), direction + turn, shorter, rng, depth - 1)
    return grown

"""Random resized crops (Szegedy et al. 2015, arXiv:1409.4842, section 6): which box, and how it is resized.

The box is drawn by the rule that torchvision documents for `RandomResizedCrop`. Pixels are those of Pillow's
`Image.resize((width, height), BILINEAR, box=box)`: a triangle filter, as wide as the box is reduced. Its weights are
made here, in Pillow's order and precision, for both engines; the rest is arithmetic on whole numbers.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from noisy_student.runtime.seeds import uniforms
from noisy_student.runtime.types import Floats, Ints, Keys

RATIO = 3 / 4, 4 / 3  # width to height
ATTEMPTS = 10
BITS = 22  # of Pillow's weights after the point


def draw_boxes(keys: Keys, *, height: int, width: int, smallest: float) -> Ints:
    """Boxes inside of images of this size: a function of the key and the size.

    An attempt draws a share of the area, uniform in `smallest`..1, and a ratio of the sides, log-uniform in 3/4..4/3;
    the first of ten whose rounded sides fit is taken, at a uniform place. If none fits it is the central box of all the
    image, or of the nearest ratio in 3/4..4/3.

    Returns:
        (N, 4) int64, left, top, right and lower edge in pixels, as Pillow has them.
    """
    drawn = uniforms(keys, "resized crop", 2 + 2 * ATTEMPTS)  # two for the place
    area = height * width * (smallest + (1.0 - smallest) * drawn[:, 2::2])  # (N, attempts)
    low, high = np.log(RATIO)
    ratio = np.exp(low + (high - low) * drawn[:, 3::2])
    across, down = np.rint(np.sqrt(area * ratio)), np.rint(np.sqrt(area / ratio))
    fits = (across >= 1) & (across <= width) & (down >= 1) & (down <= height)
    row, first, found = np.arange(len(keys)), fits.argmax(axis=1), fits.any(axis=1)
    central_across, central_down = _central(height, width)
    box_width = np.where(found, across[row, first], central_across)
    box_height = np.where(found, down[row, first], central_down)
    left = np.where(found, np.floor(drawn[:, 0] * (width - box_width + 1)), (width - central_across) // 2)
    top = np.where(found, np.floor(drawn[:, 1] * (height - box_height + 1)), (height - central_down) // 2)
    return np.stack([left, top, left + box_width, top + box_height], axis=1).astype(np.int64)


def _central(height, width):
    """Sides of the box that is taken when no attempt fits."""
    low, high = RATIO
    if width / height < low:
        return width, round(width / low)
    if width / height > high:
        return round(height * high), height
    return width, height


class Taps(NamedTuple):
    """How the pixels of one axis are mixed: for each of `size` new pixels, T neighbours from `first` on."""

    first: Ints  # (N, size) int32
    weight: Ints  # (N, size, T) int32, not negative, 2**BITS in all but for rounding; 0: the pixel may lie outside


def taps(begin: Ints, end: Ints, *, length: int, size: int) -> Taps:
    """Taps that resize `begin`..`end` of an axis of `length` pixels to `size`.

    As in Pillow, neighbours outside of the box count where the image has them; T is the same for all boxes.

    Args:
        begin, end: (N,), 0 <= begin < end <= length.
    """
    most = math.ceil(2 * max(1.0, length / size))  # neighbours whose weight is not 0
    scale = (end - begin)[:, None] / size
    support = np.maximum(scale, 1.0)
    centre = begin[:, None] + (np.arange(size) + 0.5) * scale  # (N, size)
    first = np.maximum((centre - support + 0.5).astype(np.int64), 0)
    stop = np.minimum((centre + support + 0.5).astype(np.int64), length)
    place = first[..., None] + np.arange(most + 1)  # by rounding, one may be there in vain at either end
    exact = np.maximum(1.0 - np.abs((place - centre[..., None] + 0.5) * (1.0 / support)[..., None]), 0.0)
    exact = np.where(place < stop[..., None], exact, 0.0)
    exact /= _total(exact)[..., None]
    weight = (0.5 + exact * (1 << BITS)).astype(np.int32)
    vain = weight[..., 0] == 0
    weight = np.where(vain[..., None], weight[..., 1:], weight[..., :-1])
    return Taps((first + vain).astype(np.int32), weight)


def _total(exact: Floats) -> Floats:
    """Sums along the last axis one after the other, as Pillow adds them; NumPy's `sum` takes another order."""
    total = np.zeros(exact.shape[:-1])
    for tap in range(exact.shape[-1]):
        total += exact[..., tap]
    return total


def box_taps(boxes: Ints, *, height: int, width: int, new_height: int, new_width: int) -> tuple[Taps, Taps]:
    """Taps of the columns and of the rows, for boxes as `draw_boxes` gives them."""
    left, top, right, lower = boxes.T
    return taps(left, right, length=width, size=new_width), taps(top, lower, length=height, size=new_height)

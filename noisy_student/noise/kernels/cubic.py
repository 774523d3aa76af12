"""The article's shears, with bicubic interpolation."""

import numpy as np
from numba import njit

from noisy_student.noise.kernels.memory import OPTIONS, Flat, copy, fill
from noisy_student.runtime.types import Floats, Ints

Line = tuple[Floats, Ints, Floats, Flat]  # to work in: float64 (W,), int32 (W,), float64 (3 * W,), uint8 (3 * W + 12,)


@njit(**OPTIONS)
def _neighbours(position, before, fraction, count):
    """The pixel before each of `count` positions, and how far its centre is passed: thrice, for RGB.

    Centres lie at 0.5, 1.5 and so on. `position` is used up.
    """
    for x in range(count):
        here = position[x] - 0.5
        whole = np.floor(here)
        before[x] = np.int32(whole)
        position[x] = here - whole
    for x in range(count):
        for channel in range(3):
            fraction[np.uintp(3 * x + channel)] = position[x]


@njit(**OPTIONS)
def _valid(position, count, length):
    """The range of columns whose position lies inside the image; positions rise or fall."""
    first, last = 0, count
    while first < last and not 0.0 <= position[first] < length:
        first += 1
    while last > first and not 0.0 <= position[last - 1] < length:
        last -= 1
    return first, last


@njit(**OPTIONS)
def _mix_four(source, a, b, c, d, fraction, target):
    """Pillow's cubic through values of four places, between the middle ones; cut off, not rounded."""
    count = target.size
    one, two = source[a : a + count], source[b : b + count]
    three, four = source[c : c + count], source[d : d + count]
    for i in range(count):
        first, second, third, fourth = float(one[i]), float(two[i]), float(three[i]), float(four[i])
        quadratic, cubic = 2.0 * (first - second) + third - fourth, second - first + fourth - third
        level = second + fraction[i] * (third - first + fraction[i] * (quadratic + fraction[i] * cubic))
        target[i] = np.uint8(min(max(np.int32(level), np.int32(0)), np.int32(255)))


@njit(**OPTIONS)
def shear_x_bicubic(source: Flat, target: Flat, height: int, width: int, value: float, grey: int, line: Line) -> None:
    """Shift each row by a fraction; in runs of the same whole shift: nearly always one, but for rounding."""
    position, before, fraction, padded = line
    row = 3 * width
    for y in range(height):
        at = y * row
        for x in range(width):
            position[x] = (x + 0.5) + value * (y + 0.5)
        first, last = _valid(position, width, width)
        _neighbours(position, before, fraction, width)
        fill(target, at, at + 3 * first, grey)
        fill(target, at + 3 * last, at + row, grey)
        copy(source, at, padded, 6, row)
        for beyond in range(2):  # the outermost pixels go on
            copy(source, at, padded, 3 * beyond, 3)
            copy(source, at + row - 3, padded, row + 6 + 3 * beyond, 3)
        while first < last:
            end = first + 1
            while end < last and before[end] - end == before[first] - first:
                end += 1
            a = 3 * (before[first] + 1)
            to = target[at + 3 * first : at + 3 * end]
            _mix_four(padded, a, a + 3, a + 6, a + 9, fraction[3 * first :], to)
            first = end


@njit(**OPTIONS)
def shear_y_bicubic(source: Flat, target: Flat, height: int, width: int, value: float, grey: int, line: Line) -> None:
    """Shift each column by a fraction, row by row in runs of the same whole shift; see shear_x_bicubic."""
    position, before, fraction, _ = line
    row = 3 * width
    for y in range(height):
        at = y * row
        for x in range(width):
            position[x] = (y + 0.5) + value * (x + 0.5)
        first, last = _valid(position, width, height)
        _neighbours(position, before, fraction, width)
        fill(target, at, at + 3 * first, grey)
        fill(target, at + 3 * last, at + row, grey)
        while first < last:
            end = first + 1
            while end < last and before[end] == before[first]:
                end += 1
            b = before[first]
            a, c, d = max(b - 1, 0), min(b + 1, height - 1), min(b + 2, height - 1)
            left, to = 3 * first, target[at + 3 * first : at + 3 * end]
            a, b, c, d = a * row + left, max(b, 0) * row + left, c * row + left, d * row + left
            _mix_four(source, a, b, c, d, fraction[left:], to)
            first = end

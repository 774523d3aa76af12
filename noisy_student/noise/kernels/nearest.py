"""Operations that move pixels without mixing them: mirror, crop, translate, shear and rotate."""

import math

import numpy as np
from numba import njit

from noisy_student.noise.kernels.memory import OPTIONS, Flat, copy, fill
from noisy_student.runtime.types import Ints

ONE = 1 << 16  # in the 16.16 fixed point of Pillow's nearest neighbour sampling


@njit(**OPTIONS)
def _mirror(source, start, target, at, count):
    """Copy `count` pixels in reverse order."""
    from_, to = source[start : start + 3 * count], target[at : at + 3 * count]
    for x in range(count):
        for channel in range(3):
            to[np.uintp(3 * x + channel)] = from_[np.uintp(3 * (count - 1 - x) + channel)]


@njit(**OPTIONS)
def place(source: Flat, target: Flat, height: int, width: int, flip: bool, down: int, right: int, grey: int) -> None:
    """Mirror if `flip`, then show the image from row `down` and column `right` on; outside it is grey."""
    first = min(width, max(0, -right))
    last = max(first, min(width, width - right))
    for y in range(height):
        row, to = width * (y + down), 3 * width * y
        if not 0 <= y + down < height:
            fill(target, to, to + 3 * width, grey)
            continue
        fill(target, to, to + 3 * first, grey)
        if flip:
            _mirror(source, 3 * (row + width - right - last), target, to + 3 * first, last - first)
        else:
            copy(source, 3 * (row + right + first), target, to + 3 * first, 3 * (last - first))
        fill(target, to + 3 * last, to + 3 * width, grey)


@njit(**OPTIONS)
def _sources(offset, count, found):
    """Where each of `count` pixels comes from when the first is at `offset`; -1: from outside.

    By repeated addition, as in Pillow: it can round to the next pixel on the way.
    """
    position = offset + 0.5
    for i in range(count):
        inside = 0.0 <= position < count
        found[i] = int(position) if inside else -1
        position += 1.0


@njit(**OPTIONS)
def _shift_row(source, start, target, at, width, right, grey):
    """Target column x shows the source's column x + right."""
    first, last = min(width, max(0, -right)), max(0, min(width, width - right))
    last = max(first, last)
    fill(target, at, at + 3 * first, grey)
    copy(source, start + 3 * (first + right), target, at + 3 * first, 3 * (last - first))
    fill(target, at + 3 * last, at + 3 * width, grey)


@njit(**OPTIONS)
def translate_y(source: Flat, target: Flat, found: Ints, height: int, width: int, value: float, grey: int) -> None:
    """Shift by a share of the height; `found` (int32) has room for a side."""
    _sources(value * height, height, found)
    row = 3 * width
    for y in range(height):
        if found[y] < 0:
            fill(target, y * row, (y + 1) * row, grey)
        else:
            copy(source, found[y] * row, target, y * row, row)


@njit(**OPTIONS)
def shear_x(source: Flat, target: Flat, height: int, width: int, value: float, grey: int) -> None:
    """Shift each row by whole pixels."""
    step = math.floor(value * ONE + 0.5)
    position = math.floor((0.5 + value * 0.5) * ONE + 0.5)
    for y in range(height):
        at = 3 * width * y
        _shift_row(source, at, target, at, width, position >> 16, grey)
        position += step


@njit(**OPTIONS)
def _copy_columns(source, target, height, width, first, last, right, down, grey):
    """Target columns first..last - 1 show the source's, `right` columns and `down` rows further."""
    for y in range(height):
        at = 3 * (width * y + first)
        if 0 <= y + down < height:
            copy(source, at + 3 * (width * down + right), target, at, 3 * (last - first))
        else:
            fill(target, at, at + 3 * (last - first), grey)


@njit(**OPTIONS)
def translate_x(source: Flat, target: Flat, found: Ints, height: int, width: int, value: float, grey: int) -> None:
    """Shift by a share of the width, in runs of columns: nearly always one, but for rounding."""
    _sources(value * width, width, found)
    first = 0
    while first < width:
        last = first + 1
        right = found[first] - first
        if found[first] < 0:
            while last < width and found[last] < 0:
                last += 1
            _copy_columns(source, target, height, width, first, last, 0, height, grey)
        else:
            while last < width and found[last] - last == right:
                last += 1
            _copy_columns(source, target, height, width, first, last, right, 0, grey)
        first = last


@njit(**OPTIONS)
def shear_y(source: Flat, target: Flat, height: int, width: int, value: float, grey: int) -> None:
    """Shift columns by whole pixels, in runs of the same shift."""
    step = math.floor(value * ONE + 0.5)
    position = math.floor((value * 0.5 + 0.5) * ONE + 0.5)
    first = 0
    while first < width:
        down, last = position >> 16, first
        while last < width and position >> 16 == down:
            position += step
            last += 1
        _copy_columns(source, target, height, width, first, last, 0, down, grey)
        first = last


@njit(**OPTIONS)
def _inside(start, step, length, count):
    """The range of x in 0..count - 1 with 0 <= start + step * x < length, as (first, end)."""
    if step == 0:
        return 0, count if 0 <= start < length else 0
    if step > 0:
        first, end = -(start // step), -((start - length) // step)
    else:
        first, end = (length - start) // step + 1, start // -step + 1
    return max(0, first), min(count, end)


@njit(**OPTIONS)
def _decimal(value):
    """Rounded to 15 decimals, as Pillow rounds sines: 0.5 where the cosine of 60 degrees is a little more."""
    return np.rint(value * 1e15) / 1e15


@njit(**OPTIONS)
def rotate(source: Flat, target: Flat, height: int, width: int, degrees: float, grey: int) -> None:
    """Turn about the centre, counter-clockwise."""
    angle = -(degrees % 360.0) * (math.pi / 180.0)
    cosine, sine = _decimal(math.cos(angle)), _decimal(math.sin(angle))
    middle_x, middle_y = width / 2, height / 2
    origin_x = cosine * -middle_x + sine * -middle_y + 0.0 + middle_x
    origin_y = -sine * -middle_x + cosine * -middle_y + 0.0 + middle_y
    across, down = math.floor(cosine * ONE + 0.5), math.floor(sine * ONE + 0.5)
    back = math.floor(-sine * ONE + 0.5)
    column = math.floor((origin_x + cosine * 0.5 + sine * 0.5) * ONE + 0.5)
    row = math.floor((origin_y + -sine * 0.5 + cosine * 0.5) * ONE + 0.5)
    for line in range(height):
        at = 3 * width * line
        first, last = _inside(column, across, width * ONE, width)
        first_y, last_y = _inside(row, back, height * ONE, width)
        first = min(max(first, first_y), width)
        last = max(min(last, last_y), first)
        fill(target, at, at + 3 * first, grey)
        x, y = column + across * first, row + back * first
        for to in range(at + 3 * first, at + 3 * last, 3):
            start = 3 * (width * (y >> 16) + (x >> 16))
            target[np.uintp(to)] = source[np.uintp(start)]
            target[np.uintp(to + 1)] = source[np.uintp(start + 1)]
            target[np.uintp(to + 2)] = source[np.uintp(start + 2)]
            x += across
            y += back
        fill(target, at + 3 * last, at + 3 * width, grey)
        column += down
        row += across

"""Resizing a part of every image, as Pillow does it: along rows first, then along columns."""

import numpy as np
from numba import njit, types

from noisy_student.noise.kernels.batch import PIXELS, SOURCES, versioned
from noisy_student.noise.kernels.memory import OPTIONS, Flat
from noisy_student.noise.resized_crop import BITS
from noisy_student.runtime.types import Ints

ONE, HALF = np.int32(1), np.int32(1 << (BITS - 1))
FIRST, WEIGHT = types.int32[:, ::1], types.int32[:, :, ::1]
SIGNATURE = types.void(PIXELS, types.uint8[:, ::1], types.int64, FIRST, WEIGHT, FIRST, WEIGHT)


@njit(**OPTIONS)
def _mix_columns(source, start, target, at, width, first, weight):
    """One row: each new pixel of `target` mixes its neighbours in the row of `source` that begins at `start`."""
    for x in range(len(first)):
        red, green, blue = HALF, HALF, HALF
        for tap in range(weight.shape[1]):
            here = np.uintp(start + 3 * min(np.int64(first[x]) + tap, width - 1))  # beyond the edge its weight is 0
            share = weight[x, tap]
            red = np.int32(red + share * np.int32(source[here]))
            green = np.int32(green + share * np.int32(source[here + np.uintp(1)]))
            blue = np.int32(blue + share * np.int32(source[here + np.uintp(2)]))
        to = np.uintp(at + 3 * x)
        target[to] = np.uint8(red >> BITS)
        target[to + np.uintp(1)] = np.uint8(green >> BITS)
        target[to + np.uintp(2)] = np.uint8(blue >> BITS)


@njit(**OPTIONS)
def _mix_rows(source, target, sums, height, row, first, weight):
    """Each new row of `target`, `row` values long, mixes its neighbours among the rows of `source`."""
    for y in range(len(first)):
        sums[:] = HALF
        for tap in range(weight.shape[1]):
            share = weight[y, tap]
            if share:
                start = row * (np.int64(first[y]) + tap)
                line = source[start : start + row]
                for i in range(row):
                    sums[i] += share * np.int32(line[i])
        to = target[row * y : row * (y + 1)]
        for i in range(row):
            to[i] = np.uint8(sums[i] >> BITS)


@njit(SIGNATURE, cache=True, **OPTIONS)
@versioned(SOURCES)
def resize_batch(
    images: Flat, out: Flat, width: int, column: Ints, column_weight: Ints, line: Ints, line_weight: Ints
) -> None:
    """Resize every image; nothing is checked here.

    Args:
        images: (N, H * width * 3).
        out: (N, new height * new width * 3), no memory shared with `images`.
        column, column_weight, line, line_weight: `noise.resized_crop.Taps` of columns and rows.
    """
    height, row = images.shape[1] // (3 * width), 3 * column.shape[1]
    between, sums = np.empty(height * row, np.uint8), np.empty(row, np.int32)
    last = line.shape[1] - 1
    for i in range(len(images)):
        below = min(height, np.int64(line[i, last]) + line_weight.shape[2])
        for y in range(line[i, 0], below):  # the rows that the second pass needs
            _mix_columns(images[i], 3 * width * y, between, row * y, width, column[i], column_weight[i])
        _mix_rows(between, out[i], sums, height, row, line[i], line_weight[i])

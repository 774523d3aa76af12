"""Operations on the values of single pixels, in place, and sharpness."""

import math

import numpy as np
from numba import njit

from noisy_student.noise.kernels.memory import OPTIONS, Flat, copy
from noisy_student.runtime.types import Floats, Ints

LEVELS = 256
BLOCK = 192  # bytes: whole pixels and whole vectors, so position i of every block holds the same channel
F32 = np.float32


@njit(**OPTIONS)
def solarize(image: Flat, threshold: float) -> None:
    """Invert the levels from the threshold up."""
    if threshold > 255.0:
        return
    limit = np.uint8(math.ceil(threshold))
    for i in range(image.size):
        level = image[i]
        image[i] = level if level < limit else ~level


@njit(**OPTIONS)
def posterize(image: Flat, bits: int) -> None:
    """Keep the highest bits, 1 to 8."""
    mask = np.uint8(LEVELS - (1 << (8 - bits)))
    for i in range(image.size):
        image[i] &= mask


@njit(**OPTIONS)
def _blend(degenerate, level, factor):
    """Pillow's Image.blend: degenerate + factor * (level - degenerate) in float32, cut off, not rounded."""
    difference = np.int32(np.int32(level) - np.int32(degenerate))  # Numba would go on in 64 bits
    mixed = np.int32(F32(degenerate) + factor * F32(difference))
    return np.uint8(min(max(mixed, np.int32(0)), np.int32(255)))


@njit(**OPTIONS)
def _grey(image, i):
    """ITU-R 601-2 luma of the pixel at `i`, as in convert("L")."""
    red, green, blue = np.int32(image[i]), np.int32(image[i + 1]), np.int32(image[i + 2])
    return np.int32(np.int32(19595 * red + 38470 * green + 7471 * blue + 0x8000) >> 16)


@njit(**OPTIONS)
def brightness(image: Flat, factor: np.float32) -> None:
    """Blend with black."""
    for i in range(image.size):
        image[i] = _blend(np.int32(0), image[i], factor)


@njit(**OPTIONS)
def color(image: Flat, factor: np.float32) -> None:
    """Blend with the grey image."""
    for p in range(image.size // 3):
        grey = _grey(image, 3 * p)
        for channel in range(3):
            image[3 * p + channel] = _blend(grey, image[3 * p + channel], factor)


@njit(**OPTIONS)
def contrast(image: Flat, factor: np.float32) -> None:
    """Blend with the mean of the grey image, rounded."""
    total = 0
    for p in range(image.size // 3):
        total += _grey(image, 3 * p)
    mean = np.int32(total / (image.size // 3) + 0.5)
    for i in range(image.size):
        image[i] = _blend(mean, image[i], factor)


@njit(**OPTIONS)
def sharpness(source: Flat, target: Flat, sums: Ints, height: int, width: int, factor: np.float32) -> None:
    """Blend with the 3 x 3 mean of weights 1, 5 in the middle, rounded; the border stays as it is."""
    row = 3 * width
    inner = source.size - 2 * row
    copy(source, 0, target, 0, source.size)
    above, here, below = source[:inner], source[row : row + inner], source[2 * row :]
    for i in range(inner):
        sums[i] = np.int16(above[i]) + np.int16(here[i]) + np.int16(below[i])
    left, middle, right = sums[: inner - 6], sums[3 : inner - 3], sums[6:inner]
    here, to = here[3 : inner - 3], target[row + 3 : row + inner - 3]
    for i in range(inner - 6):
        total = np.int32(left[i]) + np.int32(middle[i]) + np.int32(right[i]) + 4 * np.int32(here[i])
        smooth = np.int32(np.int32((total + 6) * 5042) >> 16)  # (total + 6) // 13, total up to 13 * 255
        to[i] = _blend(smooth, here[i], factor)
    for y in range(1, height - 1):  # where the mean went over the edge
        copy(source, y * row, target, y * row, 3)
        copy(source, y * row + row - 3, target, y * row + row - 3, 3)


@njit(**OPTIONS)
def _look_up(image, table):
    for p in range(image.size // 3):
        for channel in range(3):
            i = np.uintp(3 * p + channel)
            image[i] = table[np.uintp(LEVELS * channel + image[i])]


@njit(**OPTIONS)
def _extremes(image, darkest, lightest):
    """The darkest and the lightest level at each position of all blocks."""
    darkest[:] = 255
    lightest[:] = 0
    whole = image.size - image.size % BLOCK
    for start in range(0, whole, BLOCK):
        part = image[start : start + BLOCK]
        for i in range(BLOCK):
            darkest[i] = min(darkest[i], part[i])
            lightest[i] = max(lightest[i], part[i])
    for i in range(image.size - whole):
        darkest[i] = min(darkest[i], image[whole + i])
        lightest[i] = max(lightest[i], image[whole + i])


@njit(**OPTIONS)
def autocontrast(image: Flat, darkest: Flat, lightest: Flat, scale: Floats, offset: Floats) -> None:
    """Stretch each channel; a channel of one level stays as it is. The last four have BLOCK values each."""
    _extremes(image, darkest, lightest)
    for channel in range(3):
        low, high = np.int64(255), np.int64(0)
        for i in range(channel, BLOCK, 3):
            low, high = min(low, np.int64(darkest[i])), max(high, np.int64(lightest[i]))
        steepness = 255.0 / (high - low) if high > low else 1.0
        for i in range(channel, BLOCK, 3):
            scale[i] = steepness
            offset[i] = -low * steepness if high > low else 0.0
    whole = image.size - image.size % BLOCK
    for start in range(0, whole, BLOCK):
        part = image[start : start + BLOCK]
        for i in range(BLOCK):
            part[i] = np.uint8(np.int32(part[i] * scale[i] + offset[i]))
    for i in range(image.size - whole):
        image[whole + i] = np.uint8(np.int32(image[whole + i] * scale[i] + offset[i]))


@njit(**OPTIONS)
def equalize(image: Flat, counts: Ints, table: Flat) -> None:
    """Spread each channel's levels in whole steps of 1/255 of the pixels below the lightest level.

    `counts` (int32) and `table` (uint8) have 3 * LEVELS values.
    """
    counts[:] = 0
    for p in range(image.size // 3):
        for channel in range(3):
            counts[np.uintp(LEVELS * channel + image[np.uintp(3 * p + channel)])] += 1
    for channel in range(3):
        part = counts[LEVELS * channel : LEVELS * (channel + 1)]
        last = LEVELS - 1
        while part[last] == 0:
            last -= 1
        step = (image.size // 3 - part[last]) // 255
        below = step // 2
        for level in range(LEVELS):
            below, part[level] = below + part[level], below
        share = 1.0 / step if step > 0 else 0.0
        to = table[LEVELS * channel : LEVELS * (channel + 1)]
        for level in range(LEVELS):
            # half a pixel more: then the product is cut off to part[level] // step exactly
            shade = np.int32((part[level] + 0.5) * share)
            to[level] = np.uint8(min(shade, np.int32(255)) if step > 0 else level)
    _look_up(image, table)

"""The entry point of the compiled engine: one call noises a whole batch."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numba import njit, types

from noisy_student.noise import operations as kinds
from noisy_student.noise import resized_crop
from noisy_student.noise.kernels import values
from noisy_student.noise.kernels.cubic import shear_x_bicubic, shear_y_bicubic
from noisy_student.noise.kernels.memory import OPTIONS, Flat, copy
from noisy_student.noise.kernels.nearest import place, rotate, shear_x, shear_y, translate_x, translate_y
from noisy_student.noise.kernels.values import BLOCK, F32, LEVELS
from noisy_student.runtime.types import Floats, Ints, Mask


@njit(**OPTIONS)
def _in_place(image, kind, value, bytes_, floats, counts):
    """Carry out an operation on single values; False if `kind` is not one of them."""
    factor = F32(1.0 + value)
    if kind == kinds.AUTOCONTRAST:
        values.autocontrast(image, bytes_[:BLOCK], bytes_[BLOCK:], floats[:BLOCK], floats[BLOCK:])
    elif kind == kinds.EQUALIZE:
        values.equalize(image, counts, bytes_)
    elif kind == kinds.SOLARIZE:
        values.solarize(image, value)
    elif kind == kinds.POSTERIZE:
        values.posterize(image, int(value))
    elif kind == kinds.COLOR:
        values.color(image, factor)
    elif kind == kinds.CONTRAST:
        values.contrast(image, factor)
    elif kind == kinds.BRIGHTNESS:
        values.brightness(image, factor)
    else:
        return kind == kinds.IDENTITY
    return True


@njit(**OPTIONS)
def _from_to(source, target, kind, value, height, width, grey, found, sums, line):
    """Carry out an operation that moves or mixes pixels."""
    if kind == kinds.ROTATE:
        rotate(source, target, height, width, value, grey)
    elif kind == kinds.SHARPNESS:
        values.sharpness(source, target, sums, height, width, F32(1.0 + value))
    elif kind == kinds.TRANSLATE_X:
        translate_x(source, target, found, height, width, value, grey)
    elif kind == kinds.TRANSLATE_Y:
        translate_y(source, target, found, height, width, value, grey)
    elif kind == kinds.SHEAR_X:
        shear_x(source, target, height, width, value, grey)
    elif kind == kinds.SHEAR_Y:
        shear_y(source, target, height, width, value, grey)
    elif kind == kinds.SHEAR_X_BICUBIC:
        shear_x_bicubic(source, target, height, width, value, grey, line)
    elif kind == kinds.SHEAR_Y_BICUBIC:
        shear_y_bicubic(source, target, height, width, value, grey, line)


def versioned(paths: Sequence[Path]) -> Callable[[Callable], Callable]:
    """A decorator: name a function after the contents of the files that are compiled into it, too.

    Numba finds what it has cached by that name. By itself it notices changes of the function's own file only, and would
    go on with old kernels.
    """
    sources = b"".join(path.read_bytes() for path in paths)

    def rename(function):
        function.__qualname__ += f"_{hashlib.sha256(sources).hexdigest()[:16]}"
        return function

    return rename


SOURCES = [*sorted(Path(__file__).parent.glob("*.py")), Path(kinds.__file__), Path(resized_crop.__file__)]
PIXELS = types.Array(types.uint8, 2, "C", readonly=True)
INTS, FLAGS = types.int64[::1], types.boolean[::1]
SIGNATURE = types.void(
    PIXELS, types.uint8[:, ::1], types.int64, types.int64, FLAGS, INTS, INTS, types.uint8,
    types.int64[:, ::1], types.float64[:, ::1], types.uint8,
)  # fmt: skip


@njit(SIGNATURE, cache=True, **OPTIONS)
@versioned(SOURCES)
def noise_batch(
    images: Flat, out: Flat, height: int, width: int, flip: Mask, down: Ints, right: Ints, crop_grey: int,
    kind: Ints, value: Floats, grey: int,
) -> None:  # fmt: skip
    """Noise every image on its own: mirror, crop, then its operations in order.

    Nothing is checked here; `noisy_student.noise.engine.apply_draw` does.

    Args:
        images, out: (N, H * W * 3); may be the same.
        down, right: how many rows and columns the crop lies below the image's upper left corner; negative: above.
        crop_grey, grey: what the crop and what geometric operations show outside.
        kind, value: (N, ops), of `noisy_student.noise.operations`.
    """
    size = images.shape[1]
    spare, bytes_ = np.empty(size, np.uint8), np.empty(3 * LEVELS, np.uint8)
    floats, counts, sums = np.empty(2 * BLOCK), np.empty(3 * LEVELS, np.int32), np.empty(size, np.int16)
    found = np.empty(max(width, height), np.int32)
    line = np.empty(width), found, np.empty(3 * width), np.empty(3 * width + 12, np.uint8)
    for i in range(len(images)):
        now, other, in_spare = spare, out[i], True
        place(images[i], now, height, width, flip[i], down[i], right[i], crop_grey)
        for step in range(kind.shape[1]):
            if not _in_place(now, kind[i, step], value[i, step], bytes_, floats, counts):
                _from_to(now, other, kind[i, step], value[i, step], height, width, grey, found, sums, line)
                now, other, in_spare = other, now, not in_spare
        if in_spare:
            copy(spare, 0, out[i], 0, size)

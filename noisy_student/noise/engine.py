"""The checked way into the compiled kernels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from noisy_student.noise.resized_crop import box_taps
from noisy_student.runtime.types import Pixels

if TYPE_CHECKING:
    from noisy_student.noise.operations import Operation
    from noisy_student.noise.pipeline import InputDraw


def apply_draw(
    images: Pixels,
    draw: InputDraw,
    *,
    padding: int,
    crop_fill: int,
    table: Sequence[Operation],
    fill: int,
    size: tuple[int, int] | None = None,
    out: Pixels | None = None,
) -> Pixels:
    """Carry out a draw on the CPU, on one core; other Python threads run on meanwhile.

    The first call of a process loads the compiled kernels from `__pycache__`, the first one on a machine compiles them.

    Args:
        images: not changed, unless it is `out`.
        padding: pixels that the crop's offsets count from; 0 without crops.
        crop_fill: grey level of what the crop shows outside of the image.
        table: what `draw.op` numbers.
        fill: grey level of what geometric operations show outside of the image.
        size: height and width to which a drawn box is resized; None: those of the images.
        out: C-contiguous, to write into and to return; may be `images`. None: a new array.

    Raises:
        ValueError: arrays of other types or shapes.
        IndexError: an operation that is not in the table.
    """
    from noisy_student.noise.kernels.batch import noise_batch  # loads Numba, which most stages never need

    images = np.ascontiguousarray(images)
    _check(images)
    if draw.box is not None:
        images = _resized(images, draw.box, size or images.shape[1:3])
    out = np.empty_like(images) if out is None else out
    _check_out(images, out)
    n, height, width, _ = images.shape
    flip = _vector(draw.flip, bool, n)
    offsets = (None if offset is None else offset - padding for offset in (draw.top, draw.left))
    down, right = (_vector(offset, np.int64, n) for offset in offsets)
    kind, value = _steps(draw, table, n)
    flat, flat_out = (array.reshape(n, height * width * 3) for array in (images, out))
    noise_batch(flat, flat_out, height, width, flip, down, right, crop_fill, kind, value, fill)
    return out


def _check(images):
    if images.ndim != 4 or images.shape[3] != 3 or images.dtype != np.uint8:
        raise ValueError(f"images must be uint8 (N, H, W, 3), found {images.dtype} {images.shape}")


def _check_out(images, out):
    if out.shape != images.shape or out.dtype != np.uint8 or not out.flags.c_contiguous:
        raise ValueError(f"out must be contiguous uint8 {images.shape}, found {out.dtype} {out.shape}")


def _resized(images, boxes, size):
    """What lies in the boxes (N, 4), at this height and width: a new array."""
    from noisy_student.noise.kernels.resizing import resize_batch

    n, height, width, _ = images.shape
    boxes = np.asarray(boxes)
    if boxes.shape != (n, 4):
        raise ValueError(f"a draw for {n} images has boxes of shape {boxes.shape}")
    begin, end = boxes[:, :2], boxes[:, 2:]
    if not ((begin >= 0) & (begin < end) & (end <= (width, height))).all():
        raise ValueError(f"a box lies outside of its image of {height} x {width} pixels")
    columns, rows = box_taps(boxes, height=height, width=width, new_height=size[0], new_width=size[1])
    out = np.empty((n, *size, 3), np.uint8)
    resize_batch(images.reshape(n, -1), out.reshape(n, -1), width, *columns, *rows)
    return out


def _vector(drawn, dtype, n):
    vector = np.zeros(n, dtype) if drawn is None else np.ascontiguousarray(drawn, dtype)
    if vector.shape != (n,):
        raise ValueError(f"a draw for {n} images has values of shape {vector.shape}")
    return vector


def _steps(draw, table, n):
    """Kinds (N, ops) int64 and strengths (N, ops) float64 of RandAugment; no ops without it."""
    if draw.op is None:
        return np.empty((n, 0), np.int64), np.empty((n, 0))
    kind = np.array([operation.kind for operation in table])[draw.op]
    value = np.ascontiguousarray(draw.value, np.float64)
    if kind.shape != value.shape or kind.shape[:1] != (n,):
        raise ValueError(f"a draw for {n} images has operations {kind.shape} and strengths {value.shape}")
    return kind, value

"""The checked way into the compiled kernels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

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
    out: Pixels | None = None,
) -> Pixels:
    """Carry out a draw on the CPU, on one core; other Python threads run on meanwhile.

    The first call of a process loads the compiled kernels from `__pycache__`, the first one on a machine compiles them.

    Args:
        images: (N, H, W, 3) uint8; not changed, unless it is `out`.
        padding: pixels that the crop's offsets count from; 0 without crops.
        crop_fill: grey level, 0 to 255, of what the crop shows outside of the image.
        table: tuple of operations.Operation that `draw.op` numbers.
        fill: grey level, 0 to 255, of what geometric operations show outside of the image.
        out: (N, H, W, 3) uint8, C-contiguous, to write into; may be `images`. None: a new array.

    Returns:
        `out`.

    Raises:
        ValueError: arrays of other types or shapes.
        IndexError: an operation that is not in the table.
    """
    from noisy_student.noise.kernels.batch import noise_batch  # loads Numba, which most stages never need

    images = np.ascontiguousarray(images)
    out = np.empty_like(images) if out is None else out
    _check(images, out)
    n, height, width, _ = images.shape
    down, right = (_offsets(offset, padding, n) for offset in (draw.top, draw.left))
    flip = np.zeros(n, bool) if draw.flip is None else _vector(draw.flip, bool, n)
    kind, value = _steps(draw, table, n)
    flat = n, height * width * 3
    noise_batch(
        images.reshape(flat),
        out.reshape(flat),
        height,
        width,
        flip,
        down,
        right,
        crop_fill,
        kind,
        value,
        fill,
    )
    return out


def _check(images, out):
    if images.ndim != 4 or images.shape[3] != 3 or images.dtype != np.uint8:
        raise ValueError(f"images must be uint8 (N, H, W, 3), found {images.dtype} {images.shape}")
    if out.shape != images.shape or out.dtype != np.uint8 or not out.flags.c_contiguous:
        raise ValueError(f"out must be contiguous uint8 {images.shape}, found {out.dtype} {out.shape}")


def _offsets(offset, padding, n):
    return np.zeros(n, np.int64) if offset is None else _vector(offset - padding, np.int64, n)


def _vector(values, dtype, n):
    values = np.ascontiguousarray(values, dtype)
    if values.shape != (n,):
        raise ValueError(f"a draw for {n} images has values of shape {values.shape}")
    return values


def _steps(draw, table, n):
    """Kinds (N, ops) int64 and strengths (N, ops) float64 of RandAugment; no ops without it."""
    if draw.op is None:
        return np.empty((n, 0), np.int64), np.empty((n, 0))
    kind = np.array([operation.kind for operation in table])[draw.op]
    value = np.ascontiguousarray(draw.value, np.float64)
    if kind.shape != value.shape or kind.shape[:1] != (n,):
        raise ValueError(f"a draw for {n} images has operations {kind.shape} and strengths {value.shape}")
    return kind, value

"""Copying and filling parts of flat uint8 arrays, as fast as the C library does it."""

import numpy as np
import numpy.typing as npt
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

Flat = npt.NDArray[np.uint8]  # an image's H * W * 3 values, or a part of them

# No fastmath and no fused multiply-add: both round differently from Pillow. "numpy": division by zero is not
# looked for. nogil: other Python threads run meanwhile.
OPTIONS = {"nogil": True, "error_model": "numpy", "boundscheck": False}


def _address(context, builder, kind, array, index):
    return builder.gep(cgutils.create_struct_proxy(kind)(context, builder, value=array).data, [index])


@intrinsic
def copy(typingctx, source, start, target, at, count):
    """target[at : at + count] = source[start : start + count], of two arrays; count >= 0.

    A loop of a few bytes costs more than all else that a shear has to do, hence the C library's memcpy.
    """

    def generate(context, builder, signature, arguments):
        from_, start, to, at, count = arguments
        destination = _address(context, builder, signature.args[2], to, at)
        origin = _address(context, builder, signature.args[0], from_, start)
        cgutils.raw_memcpy(builder, destination, origin, count, 1)
        return context.get_dummy_value()

    return types.void(source, types.int64, target, types.int64, types.int64), generate


@intrinsic
def _set(typingctx, target, at, count, grey):
    def generate(context, builder, signature, arguments):
        to, at, count, grey = arguments
        cgutils.memset(builder, _address(context, builder, signature.args[0], to, at), count, grey)
        return context.get_dummy_value()

    return types.void(target, types.int64, types.int64, types.uint8), generate


@njit(**OPTIONS)
def fill(target: Flat, start: int, stop: int, grey: int) -> None:
    """target[start:stop] = grey; nothing if stop <= start."""
    if stop > start:
        _set(target, start, stop - start, grey)

"""Eigen's cache sizes within TensorFlow, which decide how it cuts sums into parts, and so how they round.

Eigen asks the CPU for them once and offers no variable; its `setCpuCacheSizes` is compiled into TensorFlow but not
exported. The wheel's table of symbols still says where the three numbers lie.
"""

import ctypes
import mmap
import struct
from pathlib import Path

import numpy as np

from noisy_student.runtime.errors import ParamsError

CACHES = (2**15, 2**19, 2**24)  # bytes: level 1 (a core's data), 2 and 3, as many CPUs have
LIBRARY = "libtensorflow_cc.so.2"
_VARIABLE = b"ZN5Eigen8internal20manage_caching_sizesENS_6ActionEPlS2_S2_E12m_cacheSizes"
SIZES, GUARD = b"_Z" + _VARIABLE, b"_ZGV" + _VARIABLE  # the second says that the first is filled (Itanium C++ ABI)
_SYMBOLS = 2  # the type of the section that holds the whole table


def pin_cache_sizes(library: Path) -> None:
    """Set the sizes to `CACHES` for the rest of this process; TensorFlow is loaded already.

    Raises:
        ParamsError: this build of TensorFlow has no such table.
    """
    places = _offsets(library, [SIZES, GUARD])
    if not all(places):
        raise ParamsError(
            f"arithmetic: portable cannot set Eigen's cache sizes in {library.name}: this build of TensorFlow does not "
            "name them. Install the version of requirements.txt, or set arithmetic: fast."
        )
    first = _address(library)
    (ctypes.c_long * 3).from_address(first + places[0])[:] = list(CACHES)
    ctypes.c_ubyte.from_address(first + places[1]).value = 1  # filled: the CPU is not asked


def _address(library):
    """Where the library begins in this process."""
    for line in Path("/proc/self/maps").read_text(encoding="utf-8").splitlines():
        span, _, offset, *_, name = line.split(maxsplit=5) if line.count("/") else (line, "", "", "")
        if int(offset or "1", 16) == 0 and Path(name).name == library.name:
            return int(span.split("-")[0], 16)
    raise ParamsError(f"arithmetic: portable: {library} is not loaded. Report this, and set arithmetic: fast.")


def _offsets(library, names):
    """The symbols' places in the library (ELF, 64 bits, little endian); None for one that it does not name."""
    with library.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as image:
        (at,) = struct.unpack_from("<Q", image, 0x28)
        size, count = struct.unpack_from("<HH", image, 0x3A)
        sections = [struct.unpack_from("<IIQQQQIIQQ", image, at + index * size) for index in range(count)]
        table = next((section for section in sections if section[1] == _SYMBOLS), None)
        if table is None:
            return [None] * len(names)
        start, length, texts = table[4], table[5], sections[table[6]]
        kind = np.dtype([("name", "<u4"), ("", "<u4"), ("value", "<u8"), ("size", "<u8")])
        symbols = np.frombuffer(image[start : start + length], kind)
        return [_value(image, symbols, texts, name) for name in names]


def _value(image, symbols, texts, name):
    begin, length = texts[4], texts[5]
    at = image.find(name + b"\0", begin, begin + length)
    places = symbols["value"][symbols["name"] == at - begin] if at >= 0 else []
    return int(places[0]) if len(places) == 1 else None

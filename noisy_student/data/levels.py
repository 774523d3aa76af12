"""Images of more than 8 bits a sample: which level is white.

What a file states as a fact counts first (12 bits a sample in a TIFF, the highest level of a PGM, the precision of JPEG
2000); then `data.levels`; then what it claims (`sBIT` of a PNG, `MaxSampleValue` of a TIFF); else white is 65535. All
images of a set have to be scaled alike, so those that differ, or a set that uses a part of its 16 bits without saying
so, are refused by name.
"""

import re
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageFile

from noisy_student.runtime.errors import DataError
from noisy_student.settings.schema import Levels

DEEP = 65536  # levels of 16 bits
_MAX_SAMPLE_VALUE = 281  # the tag of TIFF
_SIZ = re.compile(rb"\xff\x4f\xff\x51.{38}(.)", re.DOTALL)  # of JPEG 2000: what precedes the first precision


class Depth(NamedTuple):
    """By what the levels of an image were scaled.

    Attributes:
        levels: white is one less.
        largest: the highest level in the image.
        said_by: what in the file says so; empty: nothing.
    """

    levels: int
    largest: float
    said_by: str


class Header(NamedTuple):
    """What the header of an image says of its levels.

    Attributes:
        deep_colours: whether Pillow gives the upper 8 bits only of what are 16.
        levels: as a fact; None: not known, 0: Pillow has scaled them to 8 or 16 bits.
        claimed: (number of levels, by what), which may be wrong; None: nothing is claimed.
    """

    deep_colours: bool
    levels: int | None
    claimed: tuple[int, str] | None


def header(image: ImageFile.ImageFile, path: Path) -> Header | None:
    """Look at an image that was opened and not yet loaded; None: it has 8 bits a sample."""
    modes = " ".join(str(tile.args) for tile in image.tile[:1])
    grey = image.mode == "F" or image.mode.startswith("I")
    if image.format == "PPM":
        highest = re.search(r", (\d+)\)", modes)
        fact = 0 if highest and int(highest[1]) < DEEP - 1 else None
        return Header(not grey, fact, None) if grey or (highest and int(highest[1]) > 255) else None
    if image.format == "JPEG2000":
        with path.open("rb") as file:
            found = _SIZ.search(file.read(65536))
        bits = (found[1][0] & 0x7F) + 1 if found else 8
        return Header(not grey, 0 if bits < 16 else None, None) if grey or bits > 8 else None
    deep = not grey and re.search(r";16", modes) is not None and "BGR" not in modes
    if not grey and not deep:
        return None
    if "I;12" in modes:
        return Header(False, 4096, None)
    if image.format == "PNG":
        return Header(deep, None, _significant_bits(path))
    if image.format == "TIFF":
        return Header(deep, None, _max_sample_value(image))
    return Header(deep, None, None)


def _significant_bits(path):
    """What the chunk sBIT says, which stands before the pixels."""
    with path.open("rb") as file:
        file.seek(8)
        while len(head := file.read(8)) == 8:
            length, kind = struct.unpack(">I4s", head)
            if kind == b"sBIT" and 1 <= length <= 4:
                bits = max(file.read(length), default=0)
                return (2**bits, "sBIT") if 1 <= bits <= 16 else None
            if kind in (b"IDAT", b"IEND"):
                return None
            file.seek(length + 4, 1)  # and the checksum
    return None


def _max_sample_value(image):
    """What the tag says, with as many bits as it needs: writers put the highest level of the one image there."""
    value = image.tag_v2.get(_MAX_SAMPLE_VALUE)
    highest = max(value) if isinstance(value, tuple) and value else value
    if not isinstance(highest, int) or not 0 < highest < DEEP:
        return None
    return _power(highest), "MaxSampleValue"


def _power(highest):
    """The least power of two above a level, 256 at least."""
    return max(256, 2 ** int(highest).bit_length())


def depth_of(values: np.ndarray, known: Header, levels: Levels) -> Depth | None:
    """By what to scale the levels of an image; None: they are 16 bits, for certain.

    Raises:
        ValueError: nobody knows.
    """
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise ValueError("levels that are not finite")
    largest = values.max()
    if values.min() < 0:
        raise ValueError("negative grey levels; save it with levels from 0")
    largest = float(largest) if values.dtype.kind == "f" else int(largest)
    if known.levels == 0:
        return None
    if known.levels is not None:
        return Depth(known.levels, largest, "bits a sample")
    if levels != "auto":
        return Depth(int(levels), largest, "data.levels")
    mend = "set data.levels, or save it with 8 bits, or with levels up to 65535"
    if values.dtype.kind == "f":
        raise ValueError(f"floating-point grey levels of unknown range; {mend}")
    if largest >= DEEP:
        raise ValueError(f"grey levels of unknown range (up to {largest:,}); {mend}")
    if known.claimed and largest < known.claimed[0] and not _is_stretched(values, known.claimed):
        return Depth(known.claimed[0], largest, known.claimed[1])
    return Depth(DEEP, largest, known.claimed[1] if known.claimed else "")


def _is_stretched(values, claimed):
    """Whether levels of fewer bits were stretched to 16, as the specification of PNG wants it beside sBIT."""
    levels, said_by = claimed
    if said_by != "sBIT" or levels == DEEP:
        return False
    original = np.rint(values.astype(np.float64) * (levels - 1) / (DEEP - 1))
    stretched = np.rint(original * (DEEP - 1) / (levels - 1))
    return bool((values % (DEEP // levels) == 0).all() or (stretched == values).all())


def to_8_bits(values: np.ndarray, levels: int) -> np.ndarray:
    """Scale levels, of which `levels` - 1 is white, to uint8, rounded; what is above is white."""
    if values.dtype.kind == "f":
        return np.clip(np.rint(values.astype(np.float64) * 255 / (levels - 1)), 0, 255).astype(np.uint8)
    return np.minimum((values.astype(np.int64) * 255 + (levels - 1) // 2) // (levels - 1), 255).astype(np.uint8)


def grey(image: Image.Image, known: Header, levels: Levels) -> tuple[Image.Image, Depth | None]:
    """A grey image of more than 8 bits, with 8; Pillow's own conversion clips at 255 instead of scaling."""
    values = np.asarray(image)
    depth = depth_of(values, known, levels)
    scaled = to_8_bits(values, DEEP if depth is None else depth.levels)
    if "transparency" in image.info:
        scaled[values == image.info["transparency"]] = 255
    return Image.fromarray(scaled), depth


def colours(image: Image.Image, path: Path, known: Header, levels: Levels) -> tuple[Image.Image, Depth | None]:
    """An image of 16 bits a colour: as Pillow gives it if they are all used, else scaled from OpenCV's 16 bits."""
    import cv2  # here, because most stages start without it

    values = (
        None if known.levels == 0 else cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED)
    )
    if values is None or values.dtype != np.uint16 or values.ndim != 3 or values.shape[2] not in (3, 4):
        return image, None
    rgb = values[..., 2::-1]
    depth = depth_of(rgb, known, levels)
    if depth is None or (depth.levels == DEEP and "transparency" not in image.info):
        return image, depth
    bands = (rgb >> 8).astype(np.uint8) if depth.levels == DEEP else to_8_bits(rgb, depth.levels)  # as Pillow has it
    alpha = np.full(bands.shape[:2], 255, np.uint8)
    if values.shape[2] == 4 and image.has_transparency_data:
        own = values[..., 3]
        alpha = to_8_bits(own, depth.levels if own.max() < depth.levels else DEEP)
    elif "transparency" in image.info:
        alpha[(rgb == np.asarray(image.info["transparency"])).all(axis=-1)] = 0
    return Image.fromarray(np.dstack([bands, alpha])), depth


def check_one_scale(depths: Sequence[tuple[str, Depth]], levels: Levels) -> None:
    """Raise DataError unless the images of a set, known by their paths, can have been scaled alike and rightly."""
    soft = [(path, depth) for path, depth in depths if depth.said_by != "bits a sample"]
    if not soft:
        return
    path, highest = max(soft, key=lambda item: item[1].largest)
    if levels != "auto":
        if highest.largest > highest.levels - 1:
            raise DataError(
                f"data.levels={levels}: {path} has levels up to {highest.largest:,}, above {levels - 1:,}, which would "
                f"be white. Set data.levels to {_power(highest.largest)}, or remove the file."
            )
        return
    examples: dict[int, str] = {}
    for name, depth in soft:
        examples.setdefault(depth.levels, f"{name} {depth.levels:,} ({depth.said_by or 'nothing says less'})")
    if len(examples) > 1:
        raise DataError(
            f"images of different depth, which cannot be scaled alike: levels of {', of '.join(examples.values())}. "
            "Set data.levels to the number of grey levels that all of them have, e.g. 4096 for 12 bits."
        )
    if highest.levels == DEEP and 0 < highest.largest < DEEP // 2 and not any(depth.said_by for _, depth in soft):
        used = _power(highest.largest)
        raise DataError(
            f"data.levels=auto: {len(soft):,} images of 16 bits use levels up to {highest.largest:,} only (the highest "
            f"in {path}), and nothing in them says which level is white. Set data.levels to {used} "
            f"({used.bit_length() - 1} bits), or to {DEEP} if they are as dark as that."
        )

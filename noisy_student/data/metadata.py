"""Metadata of image files: the orientation is used, and nothing in it keeps the pixels from being read."""

import re
import struct
from collections.abc import Callable, Iterator

from PIL import Image

ORIENTATION = 0x0112  # the tag of EXIF and TIFF
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_NUMBERS = {1: "B", 3: "H", 4: "I"}  # types of EXIF: byte, short, long
_XMP = re.compile(rb"tiff:Orientation(?:=[\"']|>)\s*([1-8])")

# all that the pixels of a TIFF depend on; of its other tags any may be damaged
_TIFF = {
    *(254, 256, 257, 258, 259, 262, 266, 273, 277, 278, 279, 281, 284, 292, 293, 317, 320),
    *(322, 323, 324, 325, 332, 338, 339, 347, 512, 513, 514, 529, 530, 531, 532),
}
_PNG = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
_WEBP = (b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF")

Bare = tuple[bytes, bytes]  # a file without metadata, and the EXIF that was in it


def orientation(image: Image.Image, exif: bytes) -> int:
    """The orientation, 1 to 8, that the metadata of an image say, or those that were taken out of its file."""
    return _from_pillow(image) or _from_exif(exif) or 1


def upright(pixels: Image.Image, orientation: int) -> Image.Image:
    """Turn pixels of this orientation."""
    return pixels.transpose(TURNS[orientation]) if orientation in TURNS else pixels


def _from_pillow(image):
    try:
        orientation = image.getexif().get(ORIENTATION)
        if orientation in range(1, 9):
            return int(orientation)
    except Exception:  # a malformed entry makes Pillow's parser raise almost anything
        pass
    info = image.info
    return _from_exif(_exif_of(info)) or _from_xmp(info.get("xmp") or info.get("XML:com.adobe.xmp"))


def _exif_of(info):
    exif, profile = info.get("exif"), info.get("Raw profile type exif")
    if not exif and profile:
        try:
            return bytes.fromhex("".join(str(profile).split("\n")[3:]))
        except ValueError:
            return b""
    return exif if isinstance(exif, bytes) else b""


def _from_xmp(xmp):
    found = _XMP.search(xmp.encode("utf-8", "replace") if isinstance(xmp, str) else xmp or b"")
    return int(found[1]) if found else None


def _from_exif(exif: bytes) -> int | None:
    """The orientation in EXIF, or in a TIFF, whatever the other entries are; None if it is not there."""
    header = re.search(rb"II\*\0|MM\0\*", exif[:16])
    if header is None:
        return None
    tiff = exif[header.start() :]
    for tag, kind, _, entry in _entries(tiff):
        if tag == ORIENTATION and kind in _NUMBERS:
            value = struct.unpack_from(_order(tiff) + _NUMBERS[kind], entry, 8)[0]
            return value if 1 <= value <= 8 else None
    return None


def _order(tiff):
    return "<" if tiff.startswith(b"II") else ">"


def _entries(tiff: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """Yield (tag, type, count, the entry's 12 bytes) of the first directory, as far as it is there."""
    order = _order(tiff)
    if len(tiff) < 8:
        return
    place = struct.unpack_from(order + "I", tiff, 4)[0]
    if place + 2 > len(tiff):
        return
    for first in range(place + 2, place + 2 + 12 * struct.unpack_from(order + "H", tiff, place)[0], 12):
        entry = tiff[first : first + 12]
        if len(entry) == 12:
            yield *struct.unpack_from(order + "HHI", entry), entry


def without_metadata(data: bytes) -> Bare | None:
    """The file with nothing in it but what the pixels depend on; None if it is of no kind that is known here."""
    for begin, strip in _STRIPPERS:
        if re.match(begin, data, re.DOTALL):
            return strip(data)
    return None


def is_known(begin: bytes) -> bool:
    """Whether `without_metadata` knows the kind of a file that begins so (16 bytes are enough)."""
    return any(re.match(pattern, begin, re.DOTALL) for pattern, _ in _STRIPPERS)


def _jpeg(data):
    """Leave out all application segments and comments but Adobe's, which says what the colours mean."""
    bare, exif, place = [data[:2]], b"", 2
    while data[place : place + 1] == b"\xff" and place + 4 <= len(data):
        marker, length = data[place + 1], int.from_bytes(data[place + 2 : place + 4], "big")
        if marker == 0xFF:  # padding
            place += 1
            continue
        if marker == 0xDA:
            break
        segment = data[place : place + 2 + length]
        if marker == 0xE1 and segment[4:8] == b"Exif":
            exif = exif or segment[4:]
        if not (0xE0 <= marker <= 0xEF or marker == 0xFE) or (marker == 0xEE and length >= 14):
            bare.append(segment)
        place += 2 + length
    return b"".join([*bare, data[place:]]), exif


def _png(data):
    bare, exif, place = [data[:8]], b"", 8
    while place + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, place)
        if kind in _PNG:
            bare.append(data[place : place + 12 + length])
        elif kind == b"eXIf":
            exif = data[place + 8 : place + 8 + length]
        place += 12 + length
    return b"".join(bare), exif


def _webp(data):
    bare, exif, place = [], b"", 12
    while place + 8 <= len(data):
        kind, length = struct.unpack_from("<4sI", data, place)
        chunk = data[place : place + 8 + length + length % 2]
        if kind == b"VP8X":
            chunk = chunk[:8] + bytes([chunk[8] & ~0x2C]) + chunk[9:]  # says no more that ICC, EXIF and XMP follow
        if kind in _WEBP:
            bare.append(chunk)
        elif kind == b"EXIF":
            exif = chunk[8:]
        place += 8 + length + length % 2
    body = b"WEBP" + b"".join(bare)
    return b"RIFF" + struct.pack("<I", len(body)) + body, exif


def _tiff(data):
    """Leave out entries of the first directory, in its place, and the further directories."""
    order = _order(data)
    kept = [entry for tag, _, _, entry in _entries(data) if tag in _TIFF]
    place = struct.unpack_from(order + "I", data, 4)[0]
    directory = struct.pack(order + "H", len(kept)) + b"".join(kept) + bytes(4)
    return data[:place] + directory + data[place + len(directory) :], data


def _avif(data):
    """Give the items for EXIF and XMP another type, in their place; the orientation is the container's own."""
    return re.sub(rb"(infe[\x02\x03].{3}(?:.{4}|.{6}))(?:Exif|mime)", rb"\1skip", data, flags=re.DOTALL), b""


_STRIPPERS: tuple[tuple[bytes, Callable[[bytes], Bare]], ...] = (
    (rb"\xff\xd8\xff", _jpeg),
    (rb"\x89PNG\r\n\x1a\n", _png),
    (rb"RIFF....WEBP", _webp),
    (rb"II\*\0|MM\0\*", _tiff),
    (rb"....ftypavi[fs]", _avif),
)

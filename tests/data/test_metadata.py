"""Nothing in an image file's metadata keeps its pixels from being read, and the orientation is applied all the same."""

import io
import random
import re
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps

from noisy_student.data.images import try_image

SIDE = 16
RGB = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
SMOOTH = np.asarray(Image.fromarray(RGB[:4, :4]).resize((SIDE, SIDE), Image.Resampling.BICUBIC))  # for lossy formats
TURNED = np.rot90(RGB, k=-1)  # orientation 6: the camera was turned, so the image is rotated clockwise by 90 degrees

# TIFF types and values that cameras and editors write wrongly: (tag, type, count, the four bytes of the value)
ENTRIES = {
    "a signed rational of -1 / 0": (0x9204, 10, 1, "pointer"),
    "a float that is NaN": (0x829D, 11, 1, struct.pack("<f", float("nan"))),
    "a negative number where none may be": (0x0100, 9, 1, struct.pack("<i", -5)),
    "an unknown type": (0x010F, 99, 1, b"\xff\xff\xff\xff"),
    "a value beyond the end": (0x010E, 2, 900, struct.pack("<I", 70_000)),
    "more values than there can be": (0x011A, 5, 2**31, struct.pack("<I", 8)),
    "a directory inside that is no number": (0x8769, 2, 4, b"abc\0"),
    "a date of bytes": (0x0132, 7, 4, b"\xff\xfe\0\1"),
    "a resolution of text": (0x0128, 2, 2, b"x\0\0\0"),
}


def exif(entry, *, cut=None):
    """EXIF with orientation 6 and one more entry."""
    tag, kind, count, value = entry
    own = struct.pack("<HHI", tag, kind, count) + (struct.pack("<I", 38) if value == "pointer" else value)
    turned = struct.pack("<HHIHH", 0x0112, 3, 1, 6, 0)
    directory = struct.pack("<H", 2) + b"".join(sorted([turned, own], key=lambda e: struct.unpack("<H", e[:2])))
    return (b"II*\0" + struct.pack("<I", 8) + directory + bytes(4) + struct.pack("<ii", -1, 0))[:cut]


def jpeg(content):
    return b"\xff\xd8" + _segment(0xE1, b"Exif\0\0" + content) + encoded("JPEG", SMOOTH, quality=100, subsampling=0)[2:]


def _segment(marker, content):
    return bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2) + content


def png(*chunks, after=False):
    """A PNG with more chunks before or after the pixels."""
    data, more = encoded("PNG"), b"".join(_chunk(*chunk) for chunk in chunks)
    place = data.index(b"IEND") - 4 if after else 33  # after the signature and IHDR
    return data[:place] + more + data[place:]


def _chunk(kind, content, crc=None):
    crc = zlib.crc32(kind + content) if crc is None else crc
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", crc)


def webp(content):
    """A WebP in its extended form, written by hand, with a chunk of EXIF."""
    body = encoded("WEBP", lossless=True)[12:]
    extended = struct.pack("<4sIB3x", b"VP8X", 10, 0x08) + (SIDE - 1).to_bytes(3, "little") * 2
    chunk = b"EXIF" + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)
    return b"RIFF" + struct.pack("<I", 4 + len(extended + body + chunk)) + b"WEBP" + extended + body + chunk


def tiff(entry, *, orientation=6):
    """A TIFF written by hand, with one more tag."""
    tag, kind, count, value = entry
    tags = {256: SIDE, 257: SIDE, 259: 1, 262: 2, 277: 3, 278: SIDE, 274: orientation}
    entries = [struct.pack("<HHIHH", t, 3, 1, number, 0) for t, number in tags.items()]
    end = 8 + 2 + 12 * (len(entries) + 4) + 4
    entries += [
        struct.pack("<HHII", 258, 3, 3, end),
        struct.pack("<HHII", 273, 4, 1, end + 14),
        struct.pack("<HHII", 279, 4, 1, RGB.size),
        struct.pack("<HHI", tag, kind, count) + (struct.pack("<I", end + 6) if value == "pointer" else value),
    ]
    entries.sort(key=lambda e: struct.unpack("<H", e[:2]))
    head = b"II*\0" + struct.pack("<IH", 8, len(entries)) + b"".join(entries) + bytes(4)
    return head + struct.pack("<3H2i", 8, 8, 8, -1, 0) + RGB.tobytes()


def encoded(kind, pixels=RGB, **options):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


def read(folder, data):
    path = folder / "image"
    path.write_bytes(data)
    image, cause, _ = try_image(path, size=SIDE, resize="squash")
    assert cause is None
    return image


def assert_turned(folder, kind, content):
    """Read a file with this EXIF: its pixels, turned."""
    if kind == "jpeg":
        found, expected = read(folder, jpeg(content)), np.rot90(SMOOTH, k=-1)
        np.testing.assert_allclose(found, expected.astype(int), atol=12)
    elif kind == "png":
        np.testing.assert_array_equal(read(folder, png((b"eXIf", content))), TURNED)
        np.testing.assert_array_equal(read(folder, png((b"eXIf", content), after=True)), TURNED)
    else:
        np.testing.assert_array_equal(read(folder, webp(content)), TURNED)


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp"])
@pytest.mark.parametrize("case", ENTRIES)
def test_a_malformed_entry_beside_the_orientation(tmp_path, kind, case):
    assert_turned(tmp_path, kind, exif(ENTRIES[case]))


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp"])
def test_exif_that_is_cut_off(tmp_path, kind):
    for cut in (22, 23, 30, 37):  # the orientation lies in the bytes 10 to 21
        assert_turned(tmp_path, kind, exif((0x8825, 4, 1, bytes(4)), cut=cut))


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp"])
def test_bytes_at_random_behind_the_orientation(tmp_path, kind):
    rng = random.Random(0)
    for _ in range(40):
        content = exif((0x8769, 4, 1, bytes(4))) + rng.randbytes(40)
        noise = bytearray(content)
        for place in rng.sample(range(22, len(noise)), 4):
            noise[place] = rng.randrange(256)
        assert_turned(tmp_path, kind, bytes(noise))


@pytest.mark.parametrize("case", [name for name in ENTRIES if "none may be" not in name])  # its tag is the width
def test_a_malformed_tag_of_a_tiff(tmp_path, case):
    np.testing.assert_array_equal(read(tmp_path, tiff(ENTRIES[case])), TURNED)
    np.testing.assert_array_equal(read(tmp_path, tiff(ENTRIES[case], orientation=1)), RGB)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_all_orientations_equal_pillows(tmp_path, orientation):
    tag = Image.Exif()
    tag[0x0112] = orientation
    with Image.open(io.BytesIO(encoded("PNG", exif=tag))) as image:
        expected = np.asarray(ImageOps.exif_transpose(image))
    entry = struct.pack("<HHIHH", 0x0112, 3, 1, orientation, 0)
    broken = b"II*\0" + struct.pack("<IH", 8, 2) + entry + struct.pack("<HHII", 0x9204, 10, 1, 38) + bytes(4)
    found = read(tmp_path, png((b"eXIf", broken + struct.pack("<ii", -1, 0))))
    np.testing.assert_array_equal(found, expected)


def test_an_orientation_that_only_xmp_knows(tmp_path):
    xmp = b'<x tiff:Orientation="6"/>'
    data = png((b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp), (b"eXIf", b"no EXIF at all"))
    np.testing.assert_array_equal(read(tmp_path, data), TURNED)


PNGS = {
    "a profile that is no profile": [(b"iCCP", b"name\0\0no zlib")],
    "a profile of unknown compression": [(b"iCCP", b"name\0\7" + zlib.compress(b"x"))],
    "a profile that unpacks to 100 MB": [(b"iCCP", b"name\0\0" + zlib.compress(bytes(10**8)))],
    "text that unpacks to 100 MB": [(b"zTXt", b"name\0\0" + zlib.compress(bytes(10**8)))],
    "text of unknown compression": [(b"zTXt", b"name\0\7x")],
    "international text that is none": [(b"iTXt", b"\xff\xfe")],
    "a resolution of two bytes": [(b"pHYs", b"ab")],
    "a gamma of one byte": [(b"gAMA", b"a")],
    "colours that are no numbers": [(b"cHRM", b"abc")],
    "a time that is none": [(b"tIME", b"")],
    "a checksum that is wrong": [(b"tEXt", b"Comment\0hello", 1)],
    "an animation that is none": [(b"acTL", b"a")],
}


@pytest.mark.parametrize("case", PNGS)
def test_malformed_chunks_of_a_png(tmp_path, case):
    np.testing.assert_array_equal(read(tmp_path, png(*PNGS[case])), RGB)
    turned = png(*PNGS[case], (b"eXIf", exif((0x8825, 4, 1, bytes(4)))))
    np.testing.assert_array_equal(read(tmp_path, turned), TURNED)


JPEGS = {
    "a short piece of a profile": _segment(0xE2, b"ICC_PROFILE\0"),
    "a profile without its other half": _segment(0xE2, b"ICC_PROFILE\0\1\2abc"),
    "a short JFIF": _segment(0xE0, b"JFIF\0"),
    "a Photoshop block that is cut off": _segment(0xED, b"Photoshop 3.0\x008BIM\3\xed"),
    "a Photoshop block that ends in a name": _segment(0xED, b"Photoshop 3.0\x008BIM\3\xed\xff"),
    "a list of pictures that is none": _segment(0xE2, b"MPF\0no TIFF"),
    "XMP that is no XML": _segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0\xff\xfe<"),
    "an empty comment": _segment(0xFE, b""),
}


@pytest.mark.parametrize("case", JPEGS)
def test_malformed_segments_of_a_jpeg(tmp_path, case):
    plain = encoded("JPEG", SMOOTH, quality=100, subsampling=0)
    found = read(tmp_path, plain[:2] + JPEGS[case] + plain[2:])
    np.testing.assert_array_equal(found, np.asarray(Image.open(io.BytesIO(plain))))
    turned = jpeg(exif((0x8825, 4, 1, bytes(4))))
    found = read(tmp_path, turned[:2] + JPEGS[case] + turned[2:])
    np.testing.assert_allclose(found, np.rot90(SMOOTH, k=-1).astype(int), atol=12)


def test_the_segment_that_says_what_the_colours_mean_stays(tmp_path):
    """Adobe's says here that the components 1, 2 and 3 are red, green and blue; without it they would be YCbCr."""
    data = encoded("JPEG", SMOOTH, quality=100, keep_rgb=True)
    numbered = re.sub(rb"R(.{1,2})G(.{1,2})B(?=\x11|\0)", rb"\x01\1\x02\2\x03", data, flags=re.DOTALL)
    assert numbered.count(b"Adobe") == 1
    found = read(tmp_path, numbered[:2] + _segment(0xE2, b"ICC_PROFILE\0") + numbered[2:])
    np.testing.assert_allclose(found, SMOOTH.astype(int), atol=6)


def test_the_turned_container_of_an_avif(tmp_path):
    """Pillow writes the orientation into the container, as the standard wants, and the rest as EXIF."""
    tag = Image.Exif()
    tag[0x0112], tag[0x010F] = 6, "maker"
    data = encoded("AVIF", SMOOTH, quality=100, subsampling="4:4:4", exif=tag)
    expected = read(tmp_path, data)
    np.testing.assert_allclose(expected, np.rot90(SMOOTH, k=-1).astype(int), atol=12)
    end = data.index(b"maker")
    place = max(data.rfind(b"II*\0", 0, end), data.rfind(b"MM\0*", 0, end))
    broken = data[:place] + b"none" + data[place + 4 :]
    np.testing.assert_array_equal(read(tmp_path, broken), expected)


def test_what_is_damaged_itself_stays_unreadable(tmp_path):
    path = tmp_path / "image"
    path.write_bytes(png((b"zTXt", b"a\0\7"))[:-90])
    assert try_image(path, size=SIDE, resize="squash").cause

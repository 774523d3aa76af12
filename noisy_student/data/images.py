"""Image files of any format, mode and size as square uint8 RGB arrays."""

import contextlib
import hashlib
import io
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, UnidentifiedImageError

from noisy_student.data import levels as grey_levels
from noisy_student.data import metadata
from noisy_student.data.levels import Depth
from noisy_student.runtime.progress import progress
from noisy_student.runtime.types import Pixels
from noisy_student.settings.schema import Levels

SUFFIXES = {"png": ".png", "jpeg": ".jpg", "bmp": ".bmp"}  # of the encodings that are written

# Pillow only warns, up to twice its limit; `_read` refuses. Files are read by several threads, and what
# `warnings.catch_warnings` does in one of them all others see.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
warnings.filterwarnings("ignore", module=r"PIL\.")  # about malformed metadata, without the file's name


class InMemory:
    """The bytes of an image file, a member of an archive say: what is asked of a path here."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def open(self, mode: str = "rb") -> io.BytesIO:
        """As `Path.open` for reading."""
        return io.BytesIO(self._data)

    def read_bytes(self) -> bytes:
        """All of them."""
        return self._data


class Reading(NamedTuple):
    """What came of reading an image file.

    Attributes:
        image: (S, S, 3) uint8, or None.
        cause: None, or why it cannot be read.
        depth: by what levels of more than 8 bits were scaled, if that is not certain; see `data.levels`.
    """

    image: Pixels | None
    cause: str | None
    depth: Depth | None


def try_image(path: Path | InMemory, *, size: int, resize: str, levels: Levels = "auto") -> Reading:
    """Read a file as an image, upright, on white, 8 bit, RGB, square.

    The orientation is applied, transparency is composited onto white, levels of more bits are scaled to 8,
    and of an animation the first frame is taken. Missing, empty and truncated files cannot be read, nor can those of
    more pixels than Pillow's limit against decompression bombs; whatever is wrong with metadata does no harm.

    Args:
        size: side of the result in pixels.
        resize: "squash" stretches the image to the square; "crop" takes its central square first.
            Both then resample by Pillow's bicubic filter, unless the size fits already.
        levels: `data.levels`.
    """
    try:
        return Reading(*_read(path, size, resize, levels))
    except Exception as error:  # a damaged file makes Pillow's decoders raise almost anything
        return Reading(None, _cause(error), None)


def pixel_key(image: Pixels) -> bytes:
    """32 hexadecimal digits, equal for equal pixels."""
    # not the 16 bytes themselves, because NumPy's byte strings lose zeros at the end
    return hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=16).hexdigest().encode()


def resize_images(images: Pixels, *, size: int) -> Pixels:
    """Resample square images by Pillow's bicubic filter, unless the size, a side in pixels, fits already."""
    if images.shape[1] == size:
        return images
    resized = np.empty((len(images), size, size, 3), np.uint8)
    for row, image in enumerate(progress(images, name="resize", unit="image", brief=True)):
        resized[row] = resize_image(image, size=size)
    return resized


def resize_image(image: Pixels, *, size: int) -> Pixels:
    """Resample one image (S, S, 3) as `resize_images` does."""
    return np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BICUBIC))


def encode(image: Pixels, encoding: str) -> bytes:
    """Encode an image (S, S, 3): "png" and "bmp" lose nothing, "jpeg" has quality 95, all its colours."""
    import cv2  # here, because most stages start without it

    all_colours = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    options = {"png": [cv2.IMWRITE_PNG_COMPRESSION, 1], "jpeg": [cv2.IMWRITE_JPEG_QUALITY, 95, *all_colours], "bmp": []}
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    return cv2.imencode(SUFFIXES[encoding], bgr, options[encoding])[1].tobytes()


def decode(data: bytes) -> Pixels | None:
    """The image (S, S, 3) of what `encode` gave; None if it is none."""
    import cv2

    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    return None if image is None else cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def _read(path, size, resize, levels):
    if isinstance(path, InMemory):
        size_of_file = len(path.read_bytes())
    elif not path.is_file():  # opening a pipe would wait for ever
        raise ValueError("a folder" if path.is_dir() else "no such file")
    else:
        size_of_file = path.stat().st_size
    if size_of_file == 0:
        raise ValueError("an empty file, 0 bytes")
    rgb, depth = _rgb_of(path, levels)
    if resize == "crop":
        side = min(rgb.size)
        left, top = (rgb.width - side) // 2, (rgb.height - side) // 2
        rgb = rgb.crop((left, top, left + side, top + side))
    return np.asarray(rgb.resize((size, size), Image.Resampling.BICUBIC)), None, depth  # a copy where the size fits


class _Refused(ValueError):
    """What no other way of reading helps against."""


def _rgb_of(path, levels):
    try:
        with path.open("rb") as file:
            return _decode(file, path, levels)
    except _Refused:
        raise
    except Exception:
        with path.open("rb") as file:
            known = metadata.is_known(file.read(16))
        bare = metadata.without_metadata(path.read_bytes()) if known else None
        if bare is None:
            raise
        with contextlib.suppress(Exception):
            return _decode(io.BytesIO(bare[0]), path, levels, bare[1])
        raise


def _decode(file, path, levels, exif=b""):
    """(upright RGB image, depth); `exif` is what was taken out of the file."""
    with Image.open(file) as image:
        area, most = image.width * image.height, Image.MAX_IMAGE_PIXELS
        if most and area > most:
            raise _Refused(f"{area:,} pixels: a decompression bomb, it exceeds limit {most:,}")
        known = grey_levels.header(image, path)
        image.load()  # turns a TIFF, so that what follows finds no orientation in it
        orientation = metadata.orientation(image, exif)
        pixels: Image.Image = image
        depth: Depth | None = None
        if known and known.deep_colours:
            pixels, depth = grey_levels.colours(image, path, known, levels)
            if pixels is not image and image.format == "TIFF":
                orientation = 1  # OpenCV turns a TIFF too
        elif known:
            pixels, depth = grey_levels.grey(image, known, levels)
        return _to_rgb(metadata.upright(pixels, orientation)), depth


def _to_rgb(image):
    if not image.has_transparency_data:
        return image.convert("RGB")
    rgba = image.convert("RGBA")
    white = Image.new("RGBA", rgba.size, "white")
    return Image.alpha_composite(white, rgba).convert("RGB")


def _cause(error):
    if isinstance(error, UnidentifiedImageError):
        return "not an image that Pillow can read"  # Pillow's own message repeats the path
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__

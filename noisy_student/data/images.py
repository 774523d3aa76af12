"""Image files of any format, mode and size as square uint8 RGB arrays."""

import hashlib
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from noisy_student.runtime.progress import progress
from noisy_student.runtime.types import Pixels

SUFFIXES = {"png": ".png", "jpeg": ".jpg", "bmp": ".bmp"}  # of the encodings that are written

# Pillow only warns, up to twice its limit; `_read` refuses. Files are read by several threads, and what
# `warnings.catch_warnings` does in one of them all others see.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


def try_image(path: Path, *, size: int, resize: str) -> tuple[Pixels, None] | tuple[None, str]:
    """Read a file as an image, upright, on white, 8 bit, RGB, square: (image, None), or (None, why it cannot be read).

    EXIF orientation is applied, transparency is composited onto white, 16-bit grey levels are scaled to
    8 bit, and of an animation the first frame is taken. Missing, empty and truncated files cannot be read, nor can
    those of more pixels than Pillow's limit against decompression bombs.

    Args:
        size: side of the result in pixels.
        resize: "squash" stretches the image to the square; "crop" takes its central square first.
            Both then resample by Pillow's bicubic filter, unless the size fits already.
    """
    try:
        return _read(path, size, resize), None
    except Exception as error:  # a damaged file makes Pillow's decoders raise almost anything
        return None, _cause(error)


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


def _read(path, size, resize):
    if not path.is_file():  # opening a pipe would wait for ever
        raise ValueError("a folder" if path.is_dir() else "no such file")
    if path.stat().st_size == 0:
        raise ValueError("an empty file, 0 bytes")
    with Image.open(path) as image:
        pixels = image.width * image.height
        if Image.MAX_IMAGE_PIXELS and pixels > Image.MAX_IMAGE_PIXELS:
            raise ValueError(f"{pixels:,} pixels: a decompression bomb, it exceeds limit {Image.MAX_IMAGE_PIXELS:,}")
        rgb = _to_rgb(ImageOps.exif_transpose(image))
    if resize == "crop":
        side = min(rgb.size)
        left, top = (rgb.width - side) // 2, (rgb.height - side) // 2
        rgb = rgb.crop((left, top, left + side, top + side))
    return np.asarray(rgb.resize((size, size), Image.Resampling.BICUBIC))  # a copy where the size fits


def _to_rgb(image):
    if image.mode == "F":
        raise ValueError("floating-point grey levels of unknown range; save it with 8 or 16 bits")
    if image.mode.startswith("I"):
        image = _grey16_to_grey8(image)
    if not image.has_transparency_data:
        return image.convert("RGB")
    rgba = image.convert("RGBA")
    white = Image.new("RGBA", rgba.size, "white")
    return Image.alpha_composite(white, rgba).convert("RGB")


def _grey16_to_grey8(image):
    # Pillow's own conversion clips at 255 instead of scaling.
    levels = np.asarray(image).astype(np.int64)
    small = 0 < levels.max() < 256  # 8-bit levels in more bits
    if small or levels.min() < 0 or levels.max() > 65535:
        raise ValueError("grey levels of unknown range; save it with 8 bits, or with levels up to 65535")
    grey = (levels + 128) // 257  # 65535 / 257 = 255
    if "transparency" in image.info:
        grey[levels == image.info["transparency"]] = 255
    return Image.fromarray(grey.astype(np.uint8))


def _cause(error):
    if isinstance(error, UnidentifiedImageError):
        return "not an image that Pillow can read"  # Pillow's own message repeats the path
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__

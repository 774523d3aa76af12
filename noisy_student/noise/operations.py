"""The image operations of RandAugment and the two published tables of their strengths.

Pillow carries out every operation. Its `equalize` spreads the grey levels in whole steps of
(pixels / 255), so it leaves images of fewer than about 256 pixels as they are.
"""

from collections.abc import Callable
from dataclasses import dataclass

from PIL import Image, ImageEnhance, ImageOps

NEAREST, BICUBIC = Image.Resampling.NEAREST, Image.Resampling.BICUBIC


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One row of a table.

    Attributes:
        name: what captions call it; unique within a table.
        lo: the weakest strength, in the operation's own unit (see the functions below).
        hi: the strongest.
        signed: the strength is negated with probability 1/2.
        apply: (Pillow RGB image, strength, fill grey level) -> new image, or the same one unchanged.
        whole: the strength is rounded to a whole number (bits).
    """

    name: str
    lo: float
    hi: float
    signed: bool
    apply: Callable
    whole: bool = False


def identity(image, value, fill):
    """Leave the image as it is."""
    return image


def autocontrast(image, value, fill):
    """Stretch each channel to the full range 0..255."""
    return ImageOps.autocontrast(image)


def equalize(image, value, fill):
    """Flatten each channel's histogram."""
    return ImageOps.equalize(image)


def solarize(image, value, fill):
    """Invert the pixel values from the threshold `value` (0..256) up."""
    return ImageOps.solarize(image, value)


def posterize(image, value, fill):
    """Keep the `value` (1..8) highest bits of each pixel value."""
    return ImageOps.posterize(image, int(value))


def rotate(image, value, fill):
    """Turn by `value` degrees about the centre, counter-clockwise if positive."""
    return image.rotate(value, resample=NEAREST, fillcolor=(fill,) * 3)


def _affine(image, coefficients, resample, fill):
    return image.transform(
        image.size, Image.Transform.AFFINE, coefficients, resample=resample, fillcolor=(fill,) * 3
    )


def translate_x(image, value, fill):
    """Shift by `value` of the width, to the left if positive."""
    return _affine(image, (1, 0, value * image.width, 0, 1, 0), NEAREST, fill)


def translate_y(image, value, fill):
    """Shift by `value` of the height, upwards if positive."""
    return _affine(image, (1, 0, 0, 0, 1, value * image.height), NEAREST, fill)


def _shears(resample):
    """Make the two shears about the upper left corner; `value` is the tangent of the angle."""

    def shear_x(image, value, fill):
        return _affine(image, (1, value, 0, 0, 1, 0), resample, fill)

    def shear_y(image, value, fill):
        return _affine(image, (1, 0, 0, value, 1, 0), resample, fill)

    return shear_x, shear_y


def _enhance(enhancer):
    """Make an operation that enhances by the factor 1 + `value`."""

    def enhance(image, value, fill):
        return enhancer(image).enhance(1.0 + value)

    return enhance


color = _enhance(ImageEnhance.Color)
contrast = _enhance(ImageEnhance.Contrast)
brightness = _enhance(ImageEnhance.Brightness)
sharpness = _enhance(ImageEnhance.Sharpness)


def _row(name, apply, lo=0.0, hi=0.0, *, signed=False, whole=False):
    return Operation(name=name, lo=lo, hi=hi, signed=signed, apply=apply, whole=whole)


_shear_x, _shear_y = _shears(BICUBIC)

# The article's table, with its defects mended: equalize works, the fill is filled, rotation has a sign.
# Its solarize (256 to 231) hardly does anything; that is its published strength, so it stays.
ARTICLE = (
    _row("shear x", _shear_x, 0.0, 0.3, signed=True),
    _row("shear y", _shear_y, 0.0, 0.3, signed=True),
    _row("translate x", translate_x, 0.0, 0.2, signed=True),
    _row("translate y", translate_y, 0.0, 0.2, signed=True),
    _row("rotate", rotate, 0.0, 360.0, signed=True),
    _row("color", color, 0.0, 0.9, signed=True),
    _row("sharpness", sharpness, 0.0, 0.9, signed=True),
    _row("contrast", contrast, 0.0, 0.5, signed=True),
    _row("brightness", brightness, 0.0, 0.3, signed=True),
    _row("posterize", posterize, 8.0, 4.0, whole=True),
    _row("solarize", solarize, 256.0, 231.0),
    _row("autocontrast", autocontrast),
    _row("equalize", equalize),
)

_shear_x, _shear_y = _shears(NEAREST)

# Cubuk et al. 2019 (arXiv:1909.13719); nearest neighbour in every geometric operation, and
# translations of up to 0.33 of the side (some codes have 0.45).
STANDARD = (
    _row("identity", identity),
    _row("autocontrast", autocontrast),
    _row("equalize", equalize),
    _row("rotate", rotate, 0.0, 30.0, signed=True),
    _row("solarize", solarize, 256.0, 0.0),
    _row("color", color, 0.0, 0.9, signed=True),
    _row("contrast", contrast, 0.0, 0.9, signed=True),
    _row("brightness", brightness, 0.0, 0.9, signed=True),
    _row("sharpness", sharpness, 0.0, 0.9, signed=True),
    _row("posterize", posterize, 8.0, 4.0, whole=True),
    _row("shear x", _shear_x, 0.0, 0.3, signed=True),
    _row("shear y", _shear_y, 0.0, 0.3, signed=True),
    _row("translate x", translate_x, 0.0, 0.33, signed=True),
    _row("translate y", translate_y, 0.0, 0.33, signed=True),
)

TABLES = {"article": ARTICLE, "standard": STANDARD}

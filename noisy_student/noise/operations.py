"""The image operations of RandAugment and the two published tables of their strengths.

Each operation gives what Pillow 13 gives, pixel for pixel; `noisy_student.noise.kernels` carries them out.
"""

from dataclasses import KW_ONLY, dataclass

# Kinds of operations, with the unit of their strength:
(
    IDENTITY,  # leave the image as it is
    AUTOCONTRAST,  # stretch each channel to the full range 0..255
    EQUALIZE,  # flatten each channel's histogram, in whole steps: below 256 pixels it does nothing
    SOLARIZE,  # invert the pixel values from this threshold (0..256) up
    POSTERIZE,  # keep so many (1..8) of the highest bits of each pixel value
    ROTATE,  # turn by so many degrees about the centre, counter-clockwise if positive; nearest neighbour
    TRANSLATE_X,  # shift by this share of the width, to the left if positive; nearest neighbour
    TRANSLATE_Y,  # shift by this share of the height, upwards if positive; nearest neighbour
    SHEAR_X,  # shear about the upper left corner, tangent of the angle; nearest neighbour
    SHEAR_Y,  # the same vertically
    SHEAR_X_BICUBIC,  # the same as SHEAR_X, interpolated
    SHEAR_Y_BICUBIC,  # the same as SHEAR_Y, interpolated
    COLOR,  # saturation: away from the grey image by a factor of 1 + strength
    CONTRAST,  # the same, away from the mean grey
    BRIGHTNESS,  # the same, away from black
    SHARPNESS,  # the same, away from the smoothed image
) = range(16)


@dataclass(frozen=True)
class Operation:
    """One row of a table."""

    name: str  # what captions call it; unique within a table
    kind: int  # one of the constants above
    lo: float = 0.0  # the weakest strength, in the operation's own unit (see the constants)
    hi: float = 0.0  # the strongest
    _: KW_ONLY
    signed: bool = False  # the strength is negated with probability 1/2
    whole: bool = False  # the strength is rounded to a whole number (bits)


# The article's table, with its defects mended: equalize works, the fill is filled, rotation has a sign.
# Its solarize (256 to 231) hardly does anything; that is its published strength, so it stays.
ARTICLE = (
    Operation("shear x", SHEAR_X_BICUBIC, 0.0, 0.3, signed=True),
    Operation("shear y", SHEAR_Y_BICUBIC, 0.0, 0.3, signed=True),
    Operation("translate x", TRANSLATE_X, 0.0, 0.2, signed=True),
    Operation("translate y", TRANSLATE_Y, 0.0, 0.2, signed=True),
    Operation("rotate", ROTATE, 0.0, 360.0, signed=True),
    Operation("color", COLOR, 0.0, 0.9, signed=True),
    Operation("sharpness", SHARPNESS, 0.0, 0.9, signed=True),
    Operation("contrast", CONTRAST, 0.0, 0.5, signed=True),
    Operation("brightness", BRIGHTNESS, 0.0, 0.3, signed=True),
    Operation("posterize", POSTERIZE, 8.0, 4.0, whole=True),
    Operation("solarize", SOLARIZE, 256.0, 231.0),
    Operation("autocontrast", AUTOCONTRAST),
    Operation("equalize", EQUALIZE),
)

# Cubuk et al. 2019 (arXiv:1909.13719); nearest neighbour in every geometric operation, and
# translations of up to 0.33 of the side (some codes have 0.45).
STANDARD = (
    Operation("identity", IDENTITY),
    Operation("autocontrast", AUTOCONTRAST),
    Operation("equalize", EQUALIZE),
    Operation("rotate", ROTATE, 0.0, 30.0, signed=True),
    Operation("solarize", SOLARIZE, 256.0, 0.0),
    Operation("color", COLOR, 0.0, 0.9, signed=True),
    Operation("contrast", CONTRAST, 0.0, 0.9, signed=True),
    Operation("brightness", BRIGHTNESS, 0.0, 0.9, signed=True),
    Operation("sharpness", SHARPNESS, 0.0, 0.9, signed=True),
    Operation("posterize", POSTERIZE, 8.0, 4.0, whole=True),
    Operation("shear x", SHEAR_X, 0.0, 0.3, signed=True),
    Operation("shear y", SHEAR_Y, 0.0, 0.3, signed=True),
    Operation("translate x", TRANSLATE_X, 0.0, 0.33, signed=True),
    Operation("translate y", TRANSLATE_Y, 0.0, 0.33, signed=True),
)

TABLES = {"article": ARTICLE, "standard": STANDARD}

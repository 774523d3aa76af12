"""RandAugment by literal Pillow calls, and pictures to try it on."""

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from noisy_student.noise.engine import apply_draw
from noisy_student.noise.operations import TABLES
from noisy_student.noise.pipeline import InputDraw


def _affine(image, *coefficients, resample, fill):
    return image.transform(image.size, Image.AFFINE, coefficients, resample, fillcolor=fill)


def by_pillow(table, name, pixels, value, fill):
    """The operation `name` of a table on an (H, W, 3) uint8 array."""
    image, grey = Image.fromarray(pixels), (fill,) * 3
    width, height = image.size
    nearest = {"resample": Image.NEAREST, "fill": grey}
    shear = {"resample": Image.BICUBIC if table == "article" else Image.NEAREST, "fill": grey}
    result = {
        "identity": lambda: image,
        "autocontrast": lambda: ImageOps.autocontrast(image),
        "equalize": lambda: ImageOps.equalize(image),
        "solarize": lambda: image.point([p if p < value else 255 - p for p in range(256)] * 3),
        "posterize": lambda: ImageOps.posterize(image, round(value)),
        "rotate": lambda: image.rotate(value, Image.NEAREST, fillcolor=grey),
        "color": lambda: ImageEnhance.Color(image).enhance(1 + value),
        "contrast": lambda: ImageEnhance.Contrast(image).enhance(1 + value),
        "brightness": lambda: ImageEnhance.Brightness(image).enhance(1 + value),
        "sharpness": lambda: ImageEnhance.Sharpness(image).enhance(1 + value),
        "shear x": lambda: _affine(image, 1, value, 0, 0, 1, 0, **shear),
        "shear y": lambda: _affine(image, 1, 0, 0, value, 1, 0, **shear),
        "translate x": lambda: _affine(image, 1, 0, value * width, 0, 1, 0, **nearest),
        "translate y": lambda: _affine(image, 1, 0, 0, 0, 1, value * height, **nearest),
    }[name]()
    return np.asarray(result)


def apply_steps(table, images, names, values, fill=77):
    """Our engine: the same operations on every image, with strengths (N, len(names))."""
    index = [operation.name for operation in TABLES[table]]
    op = np.tile([index.index(name) for name in names], (len(images), 1))
    draw = InputDraw(flip=None, top=None, left=None, op=op, value=np.asarray(values, float))
    return apply_draw(images, draw, padding=0, crop_fill=0, table=TABLES[table], fill=fill)


def pictures(height, width, seed=0):
    """(5, H, W, 3) uint8: random, waves with grain, one colour, a dark ramp, one level rare."""
    rng = np.random.default_rng(seed)
    shape = (height, width, 3)
    y, x = np.mgrid[:height, :width]
    waves = 127 + 90 * np.sin(x / 7 + y / 13)[..., None] + rng.normal(0, 8, shape)
    ramp = 30 + (3 * y + 2 * x)[..., None] // 4 % 60 + np.array([0, 20, 40])
    rare = np.where(rng.random(shape) < 0.1, 200, 10)
    one = np.broadcast_to(rng.integers(0, 256, 3), shape)
    return np.stack([rng.integers(0, 256, shape), waves.clip(0, 255), one, ramp, rare]).astype(np.uint8)

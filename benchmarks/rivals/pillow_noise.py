"""Noise as a loop over images and Pillow's operations, the way most tutorials write it."""

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

GREY = (128, 128, 128)


def _affine(image, coefficients):
    return image.transform(
        image.size, Image.Transform.AFFINE, coefficients, resample=Image.Resampling.NEAREST, fillcolor=GREY
    )


OPERATIONS = {
    "identity": lambda image, value: image,
    "autocontrast": lambda image, value: ImageOps.autocontrast(image),
    "equalize": lambda image, value: ImageOps.equalize(image),
    "rotate": lambda image, value: image.rotate(value, fillcolor=GREY),
    "solarize": lambda image, value: ImageOps.solarize(image, value),
    "color": lambda image, value: ImageEnhance.Color(image).enhance(1 + value),
    "contrast": lambda image, value: ImageEnhance.Contrast(image).enhance(1 + value),
    "brightness": lambda image, value: ImageEnhance.Brightness(image).enhance(1 + value),
    "sharpness": lambda image, value: ImageEnhance.Sharpness(image).enhance(1 + value),
    "posterize": lambda image, value: ImageOps.posterize(image, int(value)),
    "shear x": lambda image, value: _affine(image, (1, value, 0, 0, 1, 0)),
    "shear y": lambda image, value: _affine(image, (1, 0, 0, value, 1, 0)),
    "translate x": lambda image, value: _affine(image, (1, 0, value * image.width, 0, 1, 0)),
    "translate y": lambda image, value: _affine(image, (1, 0, 0, 0, 1, value * image.height)),
}


def apply_draw(images, draw, *, names, padding=0):
    """Flip, crop and RandAugment with the standard table, image by image.

    Args:
        images: (N, H, W, 3) uint8.
        draw: noisy_student.noise.pipeline.InputDraw.
        names: names of the operations that `draw.op` numbers.
        padding: of the crop.

    Returns:
        (N, H, W, 3) uint8.
    """
    noised = []
    for i, pixels in enumerate(images):
        image = Image.fromarray(pixels)
        if draw.flip is not None and draw.flip[i]:
            image = ImageOps.mirror(image)
        if draw.top is not None:
            left, top = int(draw.left[i]), int(draw.top[i])
            image = ImageOps.expand(image, padding, GREY).crop((left, top, left + image.width, top + image.height))
        for op, value in zip(draw.op[i], draw.value[i], strict=True):
            image = OPERATIONS[names[op]](image, float(value))
        noised.append(np.asarray(image))
    return np.stack(noised)

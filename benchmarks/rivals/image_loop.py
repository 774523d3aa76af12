"""The 15 standard corruptions, one image at a time, by calls of scikit-image, SciPy, OpenCV and Pillow.

The procedure is that of the published files (arXiv:1903.12261) for images of 32x32; motion blur, for which it
calls ImageMagick, is a sum of shifted copies here, which is quicker.
"""

import io
import math

import cv2
import numpy as np
from PIL import Image
from scipy.ndimage import map_coordinates, zoom
from skimage.color import hsv2rgb, rgb2hsv
from skimage.filters import gaussian
from skimage.util import random_noise


def _disk(radius, softness):
    distance = np.arange(-8, 9)
    disk = (distance[:, None] ** 2 + distance**2 <= radius**2).astype(np.float32)
    return cv2.GaussianBlur(disk / disk.sum(), (3, 3), softness)


def _zoomed(x, factor):
    side = x.shape[0]
    used = math.ceil(side / factor)
    top = (side - used) // 2
    large = zoom(x[top : top + used, top : top + used], (factor, factor, 1), order=1)
    trim = (large.shape[0] - side) // 2
    return large[trim : trim + side, trim : trim + side]


def _moved(x, radius, deviation, angle):
    width, side = 2 * radius + 1, x.shape[0]
    weights = np.exp(-(np.arange(width) ** 2) / (2 * deviation**2))
    padded = np.pad(x, ((width, width), (width, width), (0, 0)), mode="edge")
    total = np.zeros(x.shape)
    for i, weight in enumerate(weights / weights.sum()):
        dx = width + math.ceil(i * math.cos(math.radians(angle)) - 0.5)
        dy = width + math.ceil(i * math.sin(math.radians(angle)) - 0.5)
        total += weight * padded[dy : dy + side, dx : dx + side]
    return total


def _plasma(rng, decay, size=32):
    heights, step, rough = np.zeros((size, size)), size, 100.0
    while step >= 2:
        half, corners = step // 2, heights[::step, ::step]
        square = corners + np.roll(corners, -1, axis=0)
        square = (square + np.roll(square, -1, axis=1)) / 4
        heights[half::step, half::step] = square + rough * rng.uniform(-rough, rough, corners.shape)
        centres = heights[half::step, half::step]
        top = centres + np.roll(centres, 1, axis=0) + corners + np.roll(corners, -1, axis=1)
        heights[::step, half::step] = top / 4 + rough * rng.uniform(-rough, rough, corners.shape)
        left = centres + np.roll(centres, 1, axis=1) + corners + np.roll(corners, -1, axis=0)
        heights[half::step, ::step] = left / 4 + rough * rng.uniform(-rough, rough, corners.shape)
        step, rough = half, rough / decay
    heights -= heights.min()
    return heights / heights.max()


def _glass(rng, image, deviation, reach, rounds):
    x, side = np.uint8(gaussian(image / 255.0, sigma=deviation, channel_axis=-1) * 255), len(image)
    for _ in range(rounds):
        for h in range(side - reach, reach, -1):
            for w in range(side - reach, reach, -1):
                dx, dy = rng.integers(-reach, reach, size=2)
                x[h, w], x[h + dy, w + dx] = x[h + dy, w + dx], x[h, w]
    return gaussian(x / 255.0, sigma=deviation, channel_axis=-1)


def _snow(rng, x, c):
    x, side = x.astype(np.float32), len(x)
    flakes = _zoomed(rng.normal(c[0], c[1], (side, side, 1)), c[2])
    flakes[flakes < c[3]] = 0
    flakes = (np.clip(flakes, 0, 1) * 255).astype(np.uint8)
    driven = np.floor(_moved(flakes, c[4], c[5], rng.uniform(-135, -45))) / 255
    grey = cv2.cvtColor(x, cv2.COLOR_RGB2GRAY)[..., None]
    return c[6] * x + (1 - c[6]) * np.maximum(x, grey * 1.5 + 0.5) + driven + np.rot90(driven, 2)


def _elastic(rng, x, shares):
    side = len(x)
    size, smoothness, affine = (side * share for share in shares)
    middle, half = side // 2, side // 3
    corners = np.float32(
        [[middle + half, middle + half], [middle + half, middle - half], [middle - half, middle - half]]
    )
    moved = corners + rng.uniform(-affine, affine, corners.shape).astype(np.float32)
    matrix = cv2.getAffineTransform(corners, moved)
    x = cv2.warpAffine(x.astype(np.float32), matrix, (side, side), borderMode=cv2.BORDER_REFLECT_101)
    fields = [
        size * gaussian(rng.uniform(-1, 1, (side, side)), smoothness, mode="reflect", truncate=3) for _ in range(2)
    ]
    across, down, channel = np.meshgrid(np.arange(side), np.arange(side), np.arange(3))
    places = [(down + fields[0][..., None]).ravel(), (across + fields[1][..., None]).ravel(), channel.ravel()]
    return map_coordinates(x, places, order=1, mode="reflect").reshape(x.shape)


def corrupt(image, name, c, rng, frost):
    """Corrupt one image.

    Args:
        image: (S, S, 3) uint8.
        name: one of `severities.STANDARD`.
        c: its strength.
        rng: NumPy generator.
        frost: pictures to take parts of.

    Returns:
        (S, S, 3) uint8.
    """
    x, side = image / 255.0, len(image)
    if name in ("pixelate", "jpeg_compression"):
        picture = Image.fromarray(image)
        if name == "pixelate":
            small = int(side * c)
            picture = picture.resize((small, small), Image.Resampling.BOX)
            return np.asarray(picture.resize((side, side), Image.Resampling.BOX))
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=c)
        return np.asarray(Image.open(file))
    if name == "motion_blur":
        return np.uint8(_moved(image, *c, rng.uniform(-45, 45)))
    if name == "frost":
        picture = frost[rng.integers(len(frost))]
        top, left = (rng.integers(0, length - side) for length in picture.shape[:2])
        mixed = c[0] * image + c[1] * picture[top : top + side, left : left + side]
        return np.uint8(np.clip(mixed, 0, 255))
    if name == "gaussian_noise":
        x = x + rng.normal(scale=c, size=x.shape)
    elif name == "shot_noise":
        x = rng.poisson(x * c) / c
    elif name == "impulse_noise":
        x = random_noise(x, mode="s&p", amount=c, rng=rng)
    elif name == "defocus_blur":
        kernel = _disk(*c)
        x = np.stack([cv2.filter2D(x[..., channel], -1, kernel) for channel in range(3)], axis=-1)
    elif name == "glass_blur":
        x = _glass(rng, image, *c)
    elif name == "zoom_blur":
        x = x.astype(np.float32)
        x = (x + sum(_zoomed(x, factor) for factor in c)) / (len(c) + 1)
    elif name == "snow":
        x = _snow(rng, x, c)
    elif name == "fog":
        most = x.max()
        x = (x + c[0] * _plasma(rng, c[1])[:side, :side, None]) * most / (most + c[0])
    elif name == "brightness":
        x = rgb2hsv(x)
        x[..., 2] = np.clip(x[..., 2] + c, 0, 1)
        x = hsv2rgb(x)
    elif name == "contrast":
        mean = x.mean(axis=(0, 1), keepdims=True)
        x = (x - mean) * c + mean
    elif name == "elastic_transform":
        x = _elastic(rng, x, c)
    else:
        raise ValueError(f"no such corruption: {name}")
    return np.uint8(np.clip(x, 0, 1) * 255)

import numpy as np
import pytest
from PIL import Image, ImageOps
from scipy.stats import chisquare

from noisy_student.noise.pipeline import InputNoise
from noisy_student.runtime.seeds import image_keys
from noisy_student.settings.schema import AugmentationParams

# A correct draw fails a test with probability 1e-4; the seeds are fixed, so it does not flicker.
SIGNIFICANCE = 1e-4


def images(n):
    return np.random.default_rng(0).integers(0, 256, (n, 6, 9, 3), np.uint8)


def plain(*, flip=False, crop=0):
    return InputNoise(augmentation=AugmentationParams(flip=flip, crop=crop), randaugment=None)


def test_flip_is_pillows_mirror_or_nothing_half_of_the_time():
    batch = images(4000)
    result = plain(flip=True)(batch, image_keys(1, 0, np.arange(4000)))
    flipped = 0
    for image, got in zip(batch, result, strict=True):
        if not np.array_equal(got, image):
            np.testing.assert_array_equal(got, np.asarray(ImageOps.mirror(Image.fromarray(image))))
            flipped += 1
    assert abs(flipped / 4000 - 0.5) < 4 * 0.5 / 4000**0.5


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("padding", [1, 3, 8, 20])
def test_crop_equals_pillows_expand_and_crop_at_the_offsets_drawn(flip, padding):
    batch, noise = images(200), plain(flip=flip, crop=padding)
    draw = noise.draw(image_keys(2, 0, np.arange(200)))
    for i, got in enumerate(noise.apply(batch, draw)):
        image = Image.fromarray(batch[i])
        image = ImageOps.mirror(image) if flip and draw.flip[i] else image
        padded = ImageOps.expand(image, border=padding, fill=(128, 128, 128))
        box = (draw.left[i], draw.top[i], draw.left[i] + 9, draw.top[i] + 6)
        np.testing.assert_array_equal(got, np.asarray(padded.crop(box)))


@pytest.mark.parametrize("padding", [1, 4])
def test_offsets_are_uniform_and_both_axes_independent(padding):
    draw, side = plain(crop=padding).draw(image_keys(3, 0, np.arange(20_000))), 2 * padding + 1
    counts = np.bincount(draw.top * side + draw.left, minlength=side**2)
    assert counts.shape == (side**2,)
    assert chisquare(counts).pvalue > SIGNIFICANCE


def test_what_is_off_is_not_drawn():
    draw = plain(flip=True).draw(image_keys(0, 0, np.arange(5)))
    assert (draw.flip.shape, draw.flip.dtype) == ((5,), bool)
    assert (draw.top, draw.left, draw.op, draw.value) == (None,) * 4
    draw = plain(crop=2).draw(image_keys(0, 0, np.arange(5)))
    assert draw.flip is None
    assert (draw.top.dtype, draw.left.dtype) == (np.int64, np.int64)

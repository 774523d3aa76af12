import numpy as np
import pytest
from PIL import Image, ImageOps
from scipy.stats import chisquare

from noisy_student.noise.flip_crop import random_crop, random_flip


def images(n):
    return np.random.default_rng(0).integers(0, 256, (n, 6, 9, 3), np.uint8)


def test_flip_is_pillows_mirror_or_nothing_half_of_the_time():
    batch = images(4000)
    before = batch.copy()
    result = random_flip(batch, np.random.default_rng(1))
    np.testing.assert_array_equal(batch, before)
    flipped = 0
    for image, got in zip(before, result, strict=True):
        if not np.array_equal(got, image):
            np.testing.assert_array_equal(got, np.asarray(ImageOps.mirror(Image.fromarray(image))))
            flipped += 1
    assert abs(flipped / 4000 - 0.5) < 4 * 0.5 / 4000**0.5


@pytest.mark.parametrize("padding", [1, 3, 8])
def test_crop_equals_pillows_expand_and_crop_at_uniform_offsets(padding):
    batch = images(600)
    before = batch.copy()
    result = random_crop(batch, np.random.default_rng(2), padding=padding, fill=90)
    np.testing.assert_array_equal(batch, before)
    counts = np.zeros((2 * padding + 1, 2 * padding + 1), int)
    for image, got in zip(before, result, strict=True):
        padded = ImageOps.expand(Image.fromarray(image), border=padding, fill=(90, 90, 90))
        found = [
            (top, left)
            for top in range(2 * padding + 1)
            for left in range(2 * padding + 1)
            if np.array_equal(got, np.asarray(padded.crop((left, top, left + 9, top + 6))))
        ]
        # a crop wholly inside the padding is grey at several offsets; all others are unique
        assert found
        if len(found) == 1:
            counts[found[0]] += 1
    if padding < 6:  # every crop shows a part of the image
        assert counts.sum() == 600
        assert chisquare(counts.sum(axis=0)).pvalue > 1e-4
        assert chisquare(counts.sum(axis=1)).pvalue > 1e-4
        # both axes independent: a correlation within four standard errors of 0
        offsets = np.repeat(np.argwhere(counts >= 0), counts.ravel(), axis=0)
        assert abs(np.corrcoef(offsets.T)[0, 1]) < 4 / 600**0.5


def test_crop_without_padding_changes_nothing():
    batch = images(3)
    np.testing.assert_array_equal(random_crop(batch, np.random.default_rng(0), padding=0, fill=0), batch)

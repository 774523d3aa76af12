import numpy as np
import pytest

from noisy_student.noise.flip_crop import random_crop, random_flip
from noisy_student.noise.pipeline import InputNoise
from noisy_student.noise.randaugment import RandAugment
from noisy_student.sections import AugmentationParams, RandAugmentParams

OPTIONS = {
    "ops": 2,
    "magnitude": 10,
    "levels": 30,
    "table": "standard",
    "magnitude_sampling": "fixed",
    "fill": 10,
}


def images(n=64):
    return np.random.default_rng(0).integers(0, 256, (n, 8, 8, 3), np.uint8)


def noise(flip=False, crop=0, randaugment=None):
    return InputNoise(augmentation=AugmentationParams(flip=flip, crop=crop), randaugment=randaugment)


@pytest.mark.parametrize("randaugment", [None, RandAugmentParams(**(OPTIONS | {"ops": 0}))])
def test_without_noise_the_very_same_array_comes_back(randaugment):
    batch = images()
    assert noise(randaugment=randaugment)(batch, np.random.default_rng(0)) is batch


def test_flip_then_crop_then_randaugment():
    batch, rng = images(), np.random.default_rng(3)
    expected = random_flip(batch, rng)
    expected = random_crop(expected, rng, padding=2, fill=128)
    expected = RandAugment(**OPTIONS)(expected, rng)
    got = noise(flip=True, crop=2, randaugment=RandAugmentParams(**OPTIONS))(batch, np.random.default_rng(3))
    np.testing.assert_array_equal(got, expected)


def test_each_switch_works_alone():
    batch = images()
    flipped = noise(flip=True)(batch, np.random.default_rng(1))
    np.testing.assert_array_equal(flipped, random_flip(batch, np.random.default_rng(1)))
    cropped = noise(crop=3)(batch, np.random.default_rng(1))
    np.testing.assert_array_equal(cropped, random_crop(batch, np.random.default_rng(1), padding=3, fill=128))


def test_captions_belong_to_the_images():
    batch = images()
    pipeline = noise(flip=True, crop=1, randaugment=RandAugmentParams(**OPTIONS))
    got, captions = pipeline.with_captions(batch, np.random.default_rng(5))
    np.testing.assert_array_equal(got, pipeline(batch, np.random.default_rng(5)))
    assert [len(lines) for lines in captions] == [2] * 64
    only_identity = [i for i, lines in enumerate(captions) if lines == ["identity", "identity"]]
    plain = pipeline.plain(batch, np.random.default_rng(5))
    np.testing.assert_array_equal(got[only_identity], plain[only_identity])
    assert noise(flip=True).with_captions(batch, np.random.default_rng(5))[1] == [[]] * 64

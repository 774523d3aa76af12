import numpy as np
import pytest

from noisy_student.noise.pipeline import InputNoise
from noisy_student.runtime.seeds import image_keys
from noisy_student.settings.schema import AugmentationParams, RandAugmentParams

RANDAUGMENT = {
    "ops": 2,
    "magnitude": 10,
    "levels": 30,
    "table": "standard",
    "magnitude_sampling": "fixed",
    "fill": 10,
}
KEYS = image_keys(3, 1, np.arange(64))


def images(n=64):
    return np.random.default_rng(0).integers(0, 256, (n, 8, 8, 3), np.uint8)


def noise(flip=False, crop=0, ops=0):
    return InputNoise(
        augmentation=AugmentationParams(flip=flip, crop=crop),
        randaugment=RandAugmentParams(**RANDAUGMENT | {"ops": ops}),
    )


def test_without_noise_the_very_same_array_comes_back():
    batch = images()
    nothing = InputNoise(augmentation=AugmentationParams(flip=False, crop=0), randaugment=None)
    for pipeline in (noise(), nothing):
        assert not pipeline.active
        assert pipeline(batch, KEYS) is batch
        assert pipeline.with_captions(batch, KEYS)[0] is batch


@pytest.mark.parametrize("switch", [{"flip": True}, {"crop": 1}, {"ops": 1}])
def test_active_if_anything_is_switched_on(switch):
    assert noise(**switch).active
    assert (noise(**switch)(images(), KEYS) != images()).any()


def test_flip_then_crop_then_randaugment():
    """Each switch alone, one after the other, makes the same images as all together."""
    expected = images()
    for switch in ({"flip": True}, {"crop": 2}, {"ops": 2}):
        expected = noise(**switch)(expected, KEYS)
    np.testing.assert_array_equal(noise(flip=True, crop=2, ops=2)(images(), KEYS), expected)


def test_a_switch_leaves_the_draws_of_the_others_as_they_were():
    full = noise(flip=True, crop=2, ops=2).draw(KEYS)
    switches = (
        ({"flip": True}, ["flip"]),
        ({"crop": 2}, ["top", "left"]),
        ({"ops": 2}, ["op", "value"]),
    )
    for switch, names in switches:
        alone = noise(**switch).draw(KEYS)
        for name in names:
            np.testing.assert_array_equal(getattr(alone, name), getattr(full, name))


def test_flip_crop_and_randaugment_are_independent():
    draw = noise(flip=True, crop=2, ops=1).draw(image_keys(0, 0, np.arange(40_000)))
    drawn = [draw.flip, draw.top, draw.left, draw.op[:, 0], np.sign(draw.value[:, 0])]
    # every pair: a correlation within four standard errors of 0
    correlations = np.corrcoef(np.array(drawn, float)) - np.eye(5)
    correlations[3, 4] = correlations[4, 3] = 0.0  # which operations have a sign is a matter of the table
    assert np.abs(correlations).max() < 4 / 40_000**0.5


def test_captions_belong_to_the_images():
    batch, pipeline = images(), noise(flip=True, crop=1, ops=2)
    got, captions = pipeline.with_captions(batch, KEYS)
    np.testing.assert_array_equal(got, pipeline(batch, KEYS))
    assert [len(lines) for lines in captions] == [2] * 64
    unchanged = [i for i, lines in enumerate(captions) if set(lines) <= {"identity", "equalize"}]
    assert unchanged  # of 64 pixels, equalize changes none
    np.testing.assert_array_equal(got[unchanged], noise(flip=True, crop=1)(batch, KEYS)[unchanged])
    assert noise(flip=True).with_captions(batch, KEYS)[1] == [[]] * 64

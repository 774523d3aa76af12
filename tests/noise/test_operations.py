"""Every operation of both tables against Pillow itself, which the engine does not use."""

import numpy as np
import pytest
from PIL import Image, ImageOps
from pillow_oracle import apply_steps, by_pillow, pictures

from noisy_student.noise.operations import ARTICLE, STANDARD, TABLES
from noisy_student.noise.pipeline import InputNoise
from noisy_student.runtime.seeds import image_keys
from noisy_student.settings.schema import AugmentationParams, RandAugmentParams

FILL = 77
SIZES = [(8, 8), (9, 13), (16, 17), (32, 32), (33, 20), (15, 64), (70, 41)]

# The published strengths (reference of the issue, section 4): weakest, strongest, sign.
PUBLISHED = {
    "article": {
        "shear x": (0, 0.3, True),
        "shear y": (0, 0.3, True),
        "translate x": (0, 0.2, True),
        "translate y": (0, 0.2, True),
        "rotate": (0, 360, True),
        "color": (0, 0.9, True),
        "sharpness": (0, 0.9, True),
        "contrast": (0, 0.5, True),
        "brightness": (0, 0.3, True),
        "posterize": (8, 4, False),
        "solarize": (256, 231, False),
        "autocontrast": (0, 0, False),
        "equalize": (0, 0, False),
    },
    "standard": {
        "identity": (0, 0, False),
        "autocontrast": (0, 0, False),
        "equalize": (0, 0, False),
        "rotate": (0, 30, True),
        "solarize": (256, 0, False),
        "color": (0, 0.9, True),
        "contrast": (0, 0.9, True),
        "brightness": (0, 0.9, True),
        "sharpness": (0, 0.9, True),
        "posterize": (8, 4, False),
        "shear x": (0, 0.3, True),
        "shear y": (0, 0.3, True),
        "translate x": (0, 0.33, True),
        "translate y": (0, 0.33, True),
    },
}
ROWS = [(table, op.name) for table, ops in TABLES.items() for op in ops]
IDS = [f"{table}-{name}" for table, name in ROWS]


def strengths(table, name):
    """All that both ways of sampling can draw: levels 0 to 30 and 0 to 10, and the 10 of the article."""
    lo, hi, signed = PUBLISHED[table][name]
    shares = {m / 30 for m in range(31)} | {m / 10 for m in range(11)} | {i / 9 for i in range(10)}
    values = {lo + (hi - lo) * share for share in shares}
    if name == "posterize":
        values = {round(value) for value in values}
    return sorted(values | {-value for value in values} if signed else values)


def assert_equal_to_pillow(table, name, images, values):
    for image in images:
        got = apply_steps(table, np.repeat(image[None], len(values), axis=0), [name], np.c_[values], FILL)
        for value, result in zip(values, got, strict=True):
            expected = by_pillow(table, name, image, float(value), FILL)
            np.testing.assert_array_equal(result, expected, err_msg=f"{image.shape} {value!r}")


@pytest.mark.parametrize(("table", "ops", "count"), [("article", ARTICLE, 13), ("standard", STANDARD, 14)])
def test_tables_are_the_published_ones(table, ops, count):
    assert len(ops) == count
    assert {op.name: (op.lo, op.hi, op.signed) for op in ops} == PUBLISHED[table]


@pytest.mark.parametrize(("table", "name"), ROWS, ids=IDS)
def test_equals_pillow_at_every_strength(table, name):
    for height, width in SIZES:
        assert_equal_to_pillow(table, name, pictures(height, width), strengths(table, name))


@pytest.mark.parametrize(("table", "name"), ROWS, ids=IDS)
@pytest.mark.parametrize(("height", "width"), [(255, 256), (129, 224)])
def test_equals_pillow_on_large_images(table, name, height, width):
    assert_equal_to_pillow(table, name, pictures(height, width)[:2], strengths(table, name)[::17])


@pytest.mark.parametrize(("height", "width"), [(8, 8), (9, 9), (8, 9), (24, 40)])
def test_rotations_by_angles_with_short_sines_equal_pillow(height, width):
    # quarter turns, which Pillow does by another way, and angles whose sine or cosine is 1/2
    angles = [sign * angle for angle in range(0, 361, 15) for sign in (1, -1)]
    assert_equal_to_pillow("standard", "rotate", pictures(height, width)[:1], angles)


def test_solarize_at_every_threshold_equals_pillow():
    assert_equal_to_pillow("standard", "solarize", pictures(32, 32)[:1], np.arange(0, 257, 0.5))


def test_equalize_in_steps_of_every_size_equals_pillow():
    # about as many pixels a step as rows; 49, for one, has a reciprocal that rounds down
    for height in range(1, 130):
        assert_equal_to_pillow("standard", "equalize", pictures(height, 256)[:1], [0])


@pytest.mark.parametrize("name", ["translate x", "translate y", "shear x", "shear y"])
@pytest.mark.parametrize("table", ["article", "standard"])
@pytest.mark.parametrize("side", [8, 15, 32])
def test_shifts_that_end_between_two_pixels_equal_pillow(table, name, side):
    # half pixels and their neighbours among the numbers; beyond the image on both sides
    halves = np.arange(-9, 10) / 2
    near = [halves, np.nextafter(halves, -99), np.nextafter(halves, 99), [-2 * side, 2 * side]]
    # Pillow adds 1 from pixel to pixel: from here that skips the fifth, which one addition of 4 would not
    near = np.concatenate([*near, [0.5 - 5 * 2.0**-53]])
    assert_equal_to_pillow(table, name, pictures(side, side)[:1], near / side)


@pytest.mark.parametrize("pixels", [(1, 1), (1, 9), (2, 2), (3, 1), (5, 4)])
def test_tiny_images_equal_pillow(pixels):
    for table, name in ROWS:
        assert_equal_to_pillow(table, name, pictures(*pixels)[:2], strengths(table, name)[::13])


@pytest.mark.parametrize("table", ["article", "standard"])
@pytest.mark.parametrize("ops", [1, 2, 3, 4])
def test_flip_crop_and_several_operations_equal_pillow(table, ops):
    sampling = "uniform" if table == "article" else "fixed"
    params = RandAugmentParams(ops=ops, magnitude=9, levels=10, table=table, magnitude_sampling=sampling, fill=FILL)
    noise = InputNoise(augmentation=AugmentationParams(flip=True, crop=5), randaugment=params)
    images = np.tile(pictures(30, 35), (60, 1, 1, 1))
    draw = noise.draw(image_keys(ops, 0, np.arange(300)))
    for i, result in enumerate(noise.apply(images, draw)):
        image = Image.fromarray(images[i])
        image = ImageOps.mirror(image) if draw.flip[i] else image
        image = ImageOps.expand(image, border=5, fill=(128, 128, 128))
        image = image.crop((draw.left[i], draw.top[i], draw.left[i] + 35, draw.top[i] + 30))
        expected = np.asarray(image)
        for op, value in zip(draw.op[i], draw.value[i], strict=True):
            expected = by_pillow(table, TABLES[table][op].name, expected, float(value), FILL)
        np.testing.assert_array_equal(result, expected, err_msg=str(draw.op[i]))


@pytest.mark.parametrize("table", ["article", "standard"])
@pytest.mark.parametrize("name", ["rotate", "shear x", "shear y", "translate x", "translate y"])
@pytest.mark.parametrize("sign", [1, -1])
def test_geometric_operations_fill_with_the_given_grey(table, name, sign):
    value = sign * (40.0 if name == "rotate" else 0.3)
    white = np.full((1, 20, 24, 3), 255, np.uint8)
    result = apply_steps(table, white, [name], [[value]], fill=200)[0]
    filled = (result == 200).all(axis=2)
    assert 10 < filled.sum() < 20 * 24 / 2
    assert not (result == 0).any()  # the article's defect: black borders


def test_equalize_flattens_the_histogram():
    # the article's equalize did nothing; here a narrow ramp must spread over the whole range
    ramp = np.broadcast_to(np.arange(100, 132, dtype=np.uint8)[:, None, None], (32, 32, 3))[None]
    result = apply_steps("standard", ramp, ["equalize"], [[0.0]])
    assert result.min() <= 1
    assert result.max() >= 250


def test_rotation_turns_counter_clockwise_if_positive():
    image = np.zeros((1, 9, 9, 3), np.uint8)
    image[0, 4, 8] = 255  # right of the centre
    up = apply_steps("article", image, ["rotate"], [[90.0]])
    down = apply_steps("article", image, ["rotate"], [[-90.0]])
    assert up[0, 0, 4, 0] == 255
    assert down[0, 8, 4, 0] == 255

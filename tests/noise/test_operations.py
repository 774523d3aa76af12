"""Every operation of both tables against Pillow itself, called here without the table."""

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from noisy_student.noise.operations import ARTICLE, STANDARD, TABLES
from noisy_student.noise.randaugment import Draw, RandAugment

FILL = (77, 77, 77)


def pictures():
    """Two images, 24 wide and 20 high: large enough for equalize, with structure and low contrast."""
    rng = np.random.default_rng(5)
    smooth = np.kron(rng.integers(30, 200, (2, 5, 6, 3)), np.ones((1, 4, 4, 1)))
    return (smooth + rng.integers(0, 20, smooth.shape)).astype(np.uint8)


def affine(image, *coefficients, resample):
    return image.transform((24, 20), Image.AFFINE, coefficients, resample, fillcolor=FILL)


def oracle(table, name, image, value):
    """The expected image, by literal Pillow calls; width 24, height 20."""
    shear = Image.BICUBIC if table == "article" else Image.NEAREST
    return {
        "identity": lambda: image,
        "autocontrast": lambda: ImageOps.autocontrast(image),
        "equalize": lambda: ImageOps.equalize(image),
        "solarize": lambda: image.point(lambda p: p if p < value else 255 - p),
        "posterize": lambda: ImageOps.posterize(image, round(value)),
        "rotate": lambda: image.rotate(value, Image.NEAREST, fillcolor=FILL),
        "color": lambda: ImageEnhance.Color(image).enhance(1 + value),
        "contrast": lambda: ImageEnhance.Contrast(image).enhance(1 + value),
        "brightness": lambda: ImageEnhance.Brightness(image).enhance(1 + value),
        "sharpness": lambda: ImageEnhance.Sharpness(image).enhance(1 + value),
        "shear x": lambda: affine(image, 1, value, 0, 0, 1, 0, resample=shear),
        "shear y": lambda: affine(image, 1, 0, 0, value, 1, 0, resample=shear),
        "translate x": lambda: affine(image, 1, 0, value * 24, 0, 1, 0, resample=Image.NEAREST),
        "translate y": lambda: affine(image, 1, 0, 0, 0, 1, value * 20, resample=Image.NEAREST),
    }[name]()


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
ROWS = [(table, i, op.name) for table, ops in TABLES.items() for i, op in enumerate(ops)]


@pytest.mark.parametrize(("table", "ops", "count"), [("article", ARTICLE, 13), ("standard", STANDARD, 14)])
def test_tables_are_the_published_ones(table, ops, count):
    assert len(ops) == count
    assert {op.name: (op.lo, op.hi, op.signed) for op in ops} == PUBLISHED[table]


@pytest.mark.parametrize(("table", "index", "name"), ROWS, ids=[f"{t}-{n}" for t, _, n in ROWS])
@pytest.mark.parametrize("share", [0.0, 0.37, 1.0])
@pytest.mark.parametrize("sign", [1, -1])
def test_equals_pillow(table, index, name, share, sign):
    lo, hi, signed = PUBLISHED[table][name]
    value = float(lo + (hi - lo) * share) * (sign if signed else 1)
    value = round(value) if name == "posterize" else value
    noise = RandAugment(ops=1, magnitude=1, levels=10, table=table, magnitude_sampling="fixed", fill=FILL[0])
    images = pictures()
    draw = Draw(op=np.full((2, 1), index), value=np.full((2, 1), value, float))
    result = noise.apply(images, draw)
    for image, got in zip(images, result, strict=True):
        expected = np.asarray(oracle(table, name, Image.fromarray(image), value))
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("table", ["article", "standard"])
@pytest.mark.parametrize("name", ["rotate", "shear x", "shear y", "translate x", "translate y"])
@pytest.mark.parametrize("sign", [1, -1])
def test_geometric_operations_fill_with_the_given_grey(table, name, sign):
    index = [op.name for op in TABLES[table]].index(name)
    value = sign * (40.0 if name == "rotate" else 0.3)
    noise = RandAugment(ops=1, magnitude=1, levels=10, table=table, magnitude_sampling="fixed", fill=200)
    white = np.full((1, 20, 24, 3), 255, np.uint8)
    result = noise.apply(white, Draw(op=np.array([[index]]), value=np.array([[value]])))[0]
    filled = (result == 200).all(axis=2)
    assert 10 < filled.sum() < 20 * 24 / 2
    assert not (result == 0).any()  # the article's defect: black borders


def test_equalize_flattens_the_histogram():
    # the article's equalize did nothing; here a narrow ramp must spread over the whole range
    ramp = np.broadcast_to(np.arange(100, 132, dtype=np.uint8)[:, None, None], (32, 32, 3))[None]
    index = [op.name for op in STANDARD].index("equalize")
    noise = RandAugment(ops=1, magnitude=1, levels=10, table="standard", magnitude_sampling="fixed", fill=0)
    result = noise.apply(ramp, Draw(op=np.array([[index]]), value=np.zeros((1, 1))))
    assert result.min() <= 1
    assert result.max() >= 250


def test_rotation_turns_counter_clockwise_if_positive():
    image = np.zeros((1, 9, 9, 3), np.uint8)
    image[0, 4, 8] = 255  # right of the centre
    index = [op.name for op in ARTICLE].index("rotate")
    noise = RandAugment(ops=1, magnitude=1, levels=10, table="article", magnitude_sampling="fixed", fill=0)
    up = noise.apply(image, Draw(op=np.array([[index]]), value=np.array([[90.0]])))
    down = noise.apply(image, Draw(op=np.array([[index]]), value=np.array([[-90.0]])))
    assert up[0, 0, 4, 0] == 255
    assert down[0, 8, 4, 0] == 255

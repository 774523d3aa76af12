"""The in-graph engine, eager and compiled, against Pillow."""

import functools

import keras
import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from noisy_student.noise.in_graph import InGraphNoise
from noisy_student.noise.operations import TABLES
from noisy_student.noise.pipeline import InputDraw, InputNoise
from noisy_student.settings.schema import AugmentationParams, RandAugmentParams

GREY = 77
HEIGHT, WIDTH = 26, 37
BICUBIC = [("article", "shear x"), ("article", "shear y")]
EXACT = [(t, o.name) for t, table in TABLES.items() for o in table if (t, o.name) not in BICUBIC]


@functools.cache
def in_graph(table="standard", *, flip=False, crop=0, ops=1):
    params = RandAugmentParams(ops=ops, magnitude=10, levels=30, table=table, magnitude_sampling="fixed", fill=GREY)
    noise = InputNoise(augmentation=AugmentationParams(flip=flip, crop=crop), randaugment=params)
    return InGraphNoise(noise)


@functools.cache
def compiled(function, height, width):
    """The function as a training step would run it, for images of one size and batches of any."""
    backend = keras.config.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        return tf.function(function, reduce_retracing=True)
    if backend == "jax":
        import jax

        return jax.jit(function)
    return function  # PyTorch runs it step by step


def run(engine, draw, images, *, eager=False):
    height, width = images.shape[1:3]
    arrays = engine.prepare(draw, height=height, width=width)
    function = engine if eager else compiled(engine, height, width)
    return keras.ops.convert_to_numpy(function(keras.ops.convert_to_tensor(images), arrays))


def drawn(*, flip=None, top=None, left=None, op=None, value=None):
    return InputDraw(flip=flip, top=top, left=left, op=op, value=value)


def single(table, name, values):
    """A draw of one operation with these strengths."""
    row = [operation.name for operation in TABLES[table]].index(name)
    return drawn(op=np.full((len(values), 1), row), value=np.array(values, float)[:, None])


def pictures(n, height=HEIGHT, width=WIDTH, seed=0):
    """In turn random ones, of low contrast, and smooth ramps with flat ends; the last is all grey."""
    rng = np.random.default_rng(seed)
    wild = rng.integers(0, 256, (n, height, width, 3))
    low, span = rng.integers(0, 200, (n, 1, 1, 3)), rng.integers(1, 56, (n, 1, 1, 3))
    row, column = np.indices((height, width, 3))[:2]
    ramp = low + row * rng.integers(0, 6, (n, 1, 1, 3)) + column * rng.integers(0, 6, (n, 1, 1, 3))
    kind = np.arange(n)[:, None, None, None] % 3
    images = np.select([kind == 0, kind == 1], [wild, low + wild % span], ramp.clip(0, 255))
    images[-1] = 90
    return images.astype(np.uint8)


def affine(image, *coefficients, resample=Image.NEAREST):
    return image.transform(image.size, Image.AFFINE, coefficients, resample, fillcolor=(GREY,) * 3)


def pillow(table, name, pixels, value):
    """The expected image, by literal Pillow calls."""
    image, value = Image.fromarray(pixels), float(value)
    shear = Image.BICUBIC if table == "article" else Image.NEAREST
    result = {
        "identity": lambda: image,
        "autocontrast": lambda: ImageOps.autocontrast(image),
        "equalize": lambda: ImageOps.equalize(image),
        "solarize": lambda: ImageOps.solarize(image, value),
        "posterize": lambda: ImageOps.posterize(image, int(value)),
        "rotate": lambda: image.rotate(value, Image.NEAREST, fillcolor=(GREY,) * 3),
        "color": lambda: ImageEnhance.Color(image).enhance(1 + value),
        "contrast": lambda: ImageEnhance.Contrast(image).enhance(1 + value),
        "brightness": lambda: ImageEnhance.Brightness(image).enhance(1 + value),
        "sharpness": lambda: ImageEnhance.Sharpness(image).enhance(1 + value),
        "shear x": lambda: affine(image, 1, value, 0, 0, 1, 0, resample=shear),
        "shear y": lambda: affine(image, 1, 0, 0, value, 1, 0, resample=shear),
        "translate x": lambda: affine(image, 1, 0, value * image.width, 0, 1, 0),
        "translate y": lambda: affine(image, 1, 0, 0, 0, 1, value * image.height),
    }[name]()
    return np.asarray(result)


def strengths(table, name, n):
    """All ten strengths of the article's list and thirty of a magnitude, with both signs, in turn."""
    operation = next(o for o in TABLES[table] if o.name == name)
    share = np.concatenate([np.linspace(0, 1, 10), np.arange(1, 31) / 30])
    values = operation.lo + (operation.hi - operation.lo) * share
    values = np.round(values) if operation.whole else values
    values = np.concatenate([values, -values]) if operation.signed else values
    return np.resize(values, n)


@pytest.mark.parametrize(("table", "name"), EXACT)
def test_equals_pillow(table, name):
    images = pictures(241)  # prime to the 80 or 40 strengths: each meets all kinds of pictures
    values = strengths(table, name, len(images))
    result = run(in_graph(table), single(table, name, values), images)
    assert (result.shape, result.dtype) == (images.shape, np.uint8)
    for image, value, got in zip(images, values, result, strict=True):
        np.testing.assert_array_equal(got, pillow(table, name, image, value), err_msg=f"{value}")


@pytest.mark.parametrize(("table", "name"), BICUBIC)
def test_bicubic_shears_differ_by_one_level_in_one_value_of_a_thousand(table, name):
    images = pictures(241)
    values = strengths(table, name, len(images))
    result = run(in_graph(table), single(table, name, values), images)
    expected = np.stack([pillow(table, name, image, v) for image, v in zip(images, values, strict=True)])
    difference = np.abs(result.astype(int) - expected)
    assert difference.max() <= 1  # so the fill lies where Pillow has it, too
    assert (difference > 0).mean() < 1e-3


@pytest.mark.parametrize("name", ["translate x", "translate y"])
@pytest.mark.parametrize("side", [25, 50])
def test_translations_follow_pillows_rounding_at_half_pixels(name, side):
    # -0.11 * 50 + 0.5 is -5.0 but for float64's rounding, and Pillow adds 1.0 to that for every pixel
    values = np.outer([0.2, -0.2, 0.33, -0.33], np.arange(1, 31) / 30).ravel()
    images = np.broadcast_to(pictures(2, side, side)[:1], (len(values), side, side, 3))
    result = run(in_graph(), single("standard", name, values), images)
    for image, value, got in zip(images, values, result, strict=True):
        np.testing.assert_array_equal(got, pillow("standard", name, image, value), err_msg=f"{value}")


@pytest.mark.parametrize("shape", [(31, 31), (17, 24)])
def test_rotations_by_right_angles_and_whole_turns(shape):
    values = [0, 90, 180, 270, 360, -90, -180, -270, -360, 450]
    images = pictures(len(values), *shape)
    result = run(in_graph(), single("standard", "rotate", values), images)
    for image, value, got in zip(images, values, result, strict=True):
        np.testing.assert_array_equal(got, pillow("standard", "rotate", image, value), err_msg=f"{value}")


def test_autocontrast_rounds_as_pillow_does_for_any_two_extremes():
    rng = np.random.default_rng(4)
    extremes = np.sort(rng.integers(0, 256, (900, 2, 3)), axis=1)
    # every level from the darkest to the lightest of the channel, and the lightest again
    images = np.minimum(extremes[:, :1] + np.arange(256)[:, None], extremes[:, 1:])
    images = images.reshape(900, 16, 16, 3).astype(np.uint8)
    result = run(in_graph(), single("standard", "autocontrast", np.zeros(900)), images)
    for image, got in zip(images, result, strict=True):
        np.testing.assert_array_equal(got, pillow("standard", "autocontrast", image, 0))


def test_equalize_of_few_pixels_or_one_lightest_area():
    images = pictures(30, 15, 17)  # 255 pixels: too few for a whole step, as Pillow has it
    result = run(in_graph(), single("standard", "equalize", np.zeros(30)), images)
    np.testing.assert_array_equal(result, images)
    images = pictures(30, 20, 28)
    images[:, 10:] = 250  # half of the pixels at one level, the lightest of many channels
    result = run(in_graph(), single("standard", "equalize", np.zeros(30)), images)
    for image, got in zip(images, result, strict=True):
        np.testing.assert_array_equal(got, pillow("standard", "equalize", image, 0))


@pytest.mark.parametrize(("flip", "crop"), [(True, 0), (False, 4), (True, 4)])
def test_flip_and_crop_equal_pillows(flip, crop):
    images, rng = pictures(60), np.random.default_rng(6)
    mirrored = rng.random(60) < 0.5 if flip else None
    top, left = rng.integers(0, 2 * crop + 1, (2, 60)) if crop else (None, None)
    result = run(in_graph(flip=flip, crop=crop), drawn(flip=mirrored, top=top, left=left), images)
    for i, got in enumerate(result):
        image = Image.fromarray(images[i])
        image = ImageOps.mirror(image) if flip and mirrored[i] else image
        if crop:
            image = ImageOps.expand(image, border=crop, fill=(128,) * 3)
            image = image.crop((left[i], top[i], left[i] + WIDTH, top[i] + HEIGHT))
        np.testing.assert_array_equal(got, np.asarray(image))


def test_each_image_gets_its_own_operations_in_order_after_flip_and_crop():
    engine, n, table = in_graph(flip=True, crop=2, ops=3), 200, TABLES["standard"]
    images, rng = pictures(n), np.random.default_rng(7)
    op = rng.integers(len(table), size=(n, 3))
    value = np.array([[strengths("standard", table[o].name, 80)[rng.integers(80)] for o in row] for row in op])
    flip, (top, left) = rng.random(n) < 0.5, rng.integers(0, 5, (2, n))
    result = run(engine, drawn(flip=flip, top=top, left=left, op=op, value=value), images)
    for i, got in enumerate(result):
        expected = images[i, :, ::-1] if flip[i] else images[i]
        expected = np.pad(expected, ((2, 2), (2, 2), (0, 0)), constant_values=128)
        expected = np.ascontiguousarray(expected[top[i] :, left[i] :][:HEIGHT, :WIDTH])
        for row, strength in zip(op[i], value[i], strict=True):
            expected = pillow("standard", table[row].name, expected, strength)
        np.testing.assert_array_equal(got, expected, err_msg=f"{op[i]} {value[i]}")


@pytest.mark.parametrize("table", ["article", "standard"])
def test_eager_and_compiled_agree_for_every_batch_size(table):
    engine = in_graph(table, ops=2)
    images, rng = pictures(40), np.random.default_rng(8)
    # without the article's shears, the first two rows, whose sums a compiler may round differently
    op = rng.integers(2, len(TABLES[table]), size=(40, 2))
    value = np.array([[strengths(table, TABLES[table][o].name, 80)[rng.integers(80)] for o in row] for row in op])
    whole = run(engine, drawn(op=op, value=value), images, eager=True)
    for n in (40, 17, 1):
        result = run(engine, drawn(op=op[:n], value=value[:n]), images[:n])
        np.testing.assert_array_equal(result, whole[:n])


def test_a_switched_off_draw_changes_nothing():
    images = pictures(3)
    np.testing.assert_array_equal(run(in_graph(), drawn(), images), images)


@pytest.mark.parametrize("table", ["article", "standard"])
def test_prepared_arrays_need_no_64_bits(table):
    engine = in_graph(table)
    one = {"flip": np.array([True]), "top": np.array([1]), "left": np.array([2])}
    draw = drawn(**one, op=np.array([[0]]), value=np.array([[0.3]]))
    arrays = engine.prepare(draw, height=8, width=9)
    kinds = {key: array.dtype for key, array in arrays.items()}
    floats = {"factor", "rest"} & set(arrays)
    assert kinds == {key: np.float32 if key in floats else np.int32 for key in arrays}
    assert all(len(array) == 1 for array in arrays.values())

"""Random resized crops: boxes against the rule drawn anew with NumPy's generator, pixels against Pillow."""

import keras
import numpy as np
import pytest
from PIL import Image, ImageOps
from scipy.stats import chisquare, ks_2samp, kstest

from noisy_student.noise.in_graph import InGraphNoise
from noisy_student.noise.pipeline import InputDraw, InputNoise
from noisy_student.noise.resized_crop import draw_boxes
from noisy_student.runtime.seeds import image_keys
from noisy_student.settings.schema import AugmentationParams, RandAugmentParams
from noisy_student.training.batches import Share, TrainingBatches
from noisy_student.training.examples import LabelledExamples

# A correct draw fails a test with probability 1e-4; the seeds are fixed, so it does not flicker.
SIGNIFICANCE = 1e-4


def crops(size=None, *, flip=False, crop=0, smallest=0.08, ops=0):
    plain = AugmentationParams(flip=flip, crop=crop, resized_crop=smallest)
    return InputNoise(augmentation=plain, randaugment=RandAugmentParams(ops=ops), image_size=size)


def keys(n, seed=1):
    return image_keys(seed, 0, np.arange(n))


def textured(n, height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, height, width, 3), np.uint8)


def by_the_rule(rng, height, width, smallest):
    """One box (left, top, right, lower), drawn as torchvision's documentation says: one image, attempt by attempt."""
    for _ in range(10):
        area = height * width * rng.uniform(smallest, 1.0)
        ratio = np.exp(rng.uniform(np.log(3 / 4), np.log(4 / 3)))
        w, h = round(np.sqrt(area * ratio)), round(np.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            top, left = rng.integers(0, height - h + 1), rng.integers(0, width - w + 1)
            return left, top, left + w, top + h
    w, h = min(width, round(height * 4 / 3)), min(height, round(width / (3 / 4)))
    left, top = (width - w) // 2, (height - h) // 2
    return left, top, left + w, top + h


@pytest.mark.parametrize(("height", "width", "smallest"), [(224, 224, 0.08), (32, 32, 0.35), (20, 48, 0.6)])
def test_boxes_have_the_distribution_of_the_documented_rule(height, width, smallest):
    n, rng = 6000, np.random.default_rng(5)
    drawn = draw_boxes(keys(n), height=height, width=width, smallest=smallest)
    expected = np.array([by_the_rule(rng, height, width, smallest) for _ in range(n)])
    for measure in (
        lambda b: b[:, 0],
        lambda b: b[:, 1],
        lambda b: b[:, 2] - b[:, 0],
        lambda b: b[:, 3] - b[:, 1],
        lambda b: (b[:, 2] - b[:, 0]) * (b[:, 3] - b[:, 1]),
        lambda b: (b[:, 2] - b[:, 0]) / (b[:, 3] - b[:, 1]),
        lambda b: b[:, 0] - b[:, 1] + 2 * b[:, 2],  # places and sides together
    ):
        assert ks_2samp(measure(drawn), measure(expected)).pvalue > SIGNIFICANCE


def test_shares_and_ratios_of_a_large_image_are_uniform_where_nothing_is_rejected():
    boxes = draw_boxes(keys(20_000), height=4000, width=4000, smallest=0.1)
    width, height = (boxes[:, 2:] - boxes[:, :2]).T
    area, ratio = width * height / 4000**2, width / height
    # a share of at most 3/4 fits with any ratio, at the first attempt
    below = area < 0.74
    assert kstest((area[below] - 0.1) / 0.64, "uniform").pvalue > SIGNIFICANCE
    logs = (np.log(ratio[below]) - np.log(3 / 4)) / np.log(16 / 9)
    assert kstest(logs, "uniform").pvalue > SIGNIFICANCE
    assert abs(np.corrcoef(area[below], logs)[0, 1]) < 4 / below.sum() ** 0.5


def test_places_of_one_size_are_uniform():
    boxes = draw_boxes(keys(60_000), height=8, width=8, smallest=0.3)
    chosen = boxes[(boxes[:, 2] - boxes[:, 0] == 6) & (boxes[:, 3] - boxes[:, 1] == 6)]
    counts = np.bincount(3 * chosen[:, 0] + chosen[:, 1], minlength=9)
    assert len(counts) == 9
    assert chisquare(counts).pvalue > SIGNIFICANCE


@pytest.mark.parametrize(("height", "width", "box"), [(10, 100, (43, 0, 56, 10)), (90, 30, (0, 25, 30, 65))])
def test_where_no_attempt_fits_it_is_the_central_box_of_the_nearest_ratio(height, width, box):
    boxes = draw_boxes(keys(50), height=height, width=width, smallest=0.99)
    assert (boxes == box).all()


def test_a_box_depends_on_its_key_alone_and_not_on_other_switches():
    noise, batch = crops(flip=True, ops=2), textured(40, 16, 16)
    together = noise(batch, keys(40))
    alone = np.concatenate([noise(batch[i : i + 1], keys(40)[i : i + 1]) for i in range(40)])
    np.testing.assert_array_equal(together, alone)
    np.testing.assert_array_equal(noise.draw(keys(40), (16, 16)).box, crops().draw(keys(40), (16, 16)).box)
    np.testing.assert_array_equal(
        noise.draw(keys(40), (16, 16)).flip, crops(flip=True, smallest=1.0).draw(keys(40)).flip
    )


SHAPES = [  # height, width of the images, size
    (32, 32, 32),
    (40, 40, 32),
    (20, 20, 16),
    (8, 8, 12),
    (96, 96, 20),
    (256, 256, 224),
    (37, 53, 24),
    (3, 5, 7),
    (300, 200, 9),
]


def boxes_of(n, height, width, seed=3):
    """Boxes of any sides, and the extreme ones: all the image, single pixels in the corners."""
    rng = np.random.default_rng(seed)
    left, right = np.sort(rng.integers(0, width, (2, n)), axis=0)
    top, lower = np.sort(rng.integers(0, height, (2, n)), axis=0)
    boxes = np.stack([left, top, right + 1, lower + 1], axis=1)
    boxes[:3] = (0, 0, width, height), (0, 0, 1, 1), (width - 1, height - 1, width, height)
    return boxes


def pillow(image, box, size):
    shape = (size[1], size[0])
    return np.asarray(Image.fromarray(image).resize(shape, Image.Resampling.BILINEAR, box=tuple(box)))


def cut(boxes):
    return InputDraw(flip=None, top=None, left=None, op=None, value=None, box=boxes)


@pytest.mark.parametrize(("height", "width", "size"), SHAPES)
def test_host_equals_pillows_resize_of_a_box(height, width, size):
    n = 60
    batch, boxes = textured(n, height, width), boxes_of(n, height, width)
    batch[n // 2 :] = np.where(batch[n // 2 :] < 128, 0, 255)  # the ends of the range, too
    result = crops(size).apply(batch, cut(boxes))
    for image, box, got in zip(batch, boxes, result, strict=True):
        np.testing.assert_array_equal(got, pillow(image, box, (size, size)), err_msg=f"{box}")


def test_without_a_size_images_keep_theirs():
    batch, boxes = textured(30, 13, 18), boxes_of(30, 13, 18)
    result = crops().apply(batch, cut(boxes))
    for image, box, got in zip(batch, boxes, result, strict=True):
        np.testing.assert_array_equal(got, pillow(image, box, (13, 18)))


def test_crop_then_flip_then_padding_equal_pillow():
    noise, batch = crops(24, flip=True, crop=3), textured(60, 30, 30)
    draw = noise.draw(keys(60), (30, 30))
    for i, got in enumerate(noise.apply(batch, draw)):
        image = Image.fromarray(pillow(batch[i], draw.box[i], (24, 24)))
        image = ImageOps.mirror(image) if draw.flip[i] else image
        padded = ImageOps.expand(image, border=3, fill=(128, 128, 128))
        left, top = draw.left[i], draw.top[i]
        np.testing.assert_array_equal(got, np.asarray(padded.crop((left, top, left + 24, top + 24))))


@pytest.mark.parametrize(("height", "width", "size"), SHAPES)
def test_device_equals_pillow_too(height, width, size):
    n = 12
    batch, boxes, engine = textured(n, height, width), boxes_of(n, height, width), InGraphNoise(crops(size))
    arrays = engine.prepare(cut(boxes), height=height, width=width)
    assert {array.dtype for array in arrays.values()} == {np.dtype(np.int32)}
    result = keras.ops.convert_to_numpy(engine(keras.ops.convert_to_tensor(batch), arrays))
    for image, box, got in zip(batch, boxes, result, strict=True):
        np.testing.assert_array_equal(got, pillow(image, box, (size, size)), err_msg=f"{box}")


def test_both_engines_agree_on_all_noise_together():
    noise, batch = crops(24, flip=True, crop=2, ops=2), textured(100, 30, 30)
    draw, engine = noise.draw(keys(100), (30, 30)), InGraphNoise(noise)
    arrays = engine.prepare(draw, height=30, width=30)
    result = keras.ops.convert_to_numpy(engine(keras.ops.convert_to_tensor(batch), arrays))
    np.testing.assert_array_equal(result, noise.apply(batch, draw))


@pytest.mark.parametrize(
    ("boxes", "said"),
    [
        (np.zeros((3, 4), int), "3 images|shape"),
        (np.array([[0, 0, 9, 8], [0, 0, 8, 8]]), "outside"),
        (np.array([[-1, 0, 8, 8], [0, 0, 8, 8]]), "outside"),
        (np.array([[4, 0, 4, 8], [0, 0, 8, 8]]), "outside"),
    ],
)
def test_refuses_boxes_that_do_not_fit(boxes, said):
    with pytest.raises(ValueError, match=said):
        crops(4).apply(textured(2, 8, 8), cut(boxes))


def test_a_draw_without_the_sides_says_so():
    with pytest.raises(ValueError, match="height and width"):
        crops().draw(keys(2))


def batches(noise, image_size=16, **options):
    examples = LabelledExamples(textured(9, 20, 20), np.arange(9) % 2, classes=2)
    return TrainingBatches(
        [Share("a", examples, 5)], noise=noise, round_steps=4, seed=3, image_size=image_size, **options
    )


def test_batches_crop_straight_from_the_stored_image():
    noise, step = crops(16), 2
    epochs, rows = batches(noise)._streams[0].at(step)
    key = image_keys(batches(noise)._noise_seeds[0], epochs, rows)
    boxes = draw_boxes(key, height=20, width=20, smallest=0.08)
    images = batches(noise)[step][0]
    assert images.shape == (5, 16, 16, 3)
    for row, box, got in zip(rows, boxes, images, strict=True):
        np.testing.assert_array_equal(got, pillow(textured(9, 20, 20)[row], box, (16, 16)))


def test_batches_without_a_crop_are_resized_first():
    noise = crops(16, smallest=1.0)
    rows = batches(noise)._streams[0].at(0)[1]
    for row, got in zip(rows, batches(noise)[0][0], strict=True):
        whole = Image.fromarray(textured(9, 20, 20)[row]).resize((16, 16), Image.Resampling.BICUBIC)
        np.testing.assert_array_equal(got, np.asarray(whole))


def test_on_the_device_batches_hold_the_stored_images():
    noise = crops(16)
    engine = InGraphNoise(noise)
    inputs = batches(noise, in_graph=engine)[1][0]
    images = inputs.pop("images")
    assert images.shape == (5, 20, 20, 3)
    result = keras.ops.convert_to_numpy(engine(keras.ops.convert_to_tensor(images), inputs))
    np.testing.assert_array_equal(result, batches(noise)[1][0])

import numpy as np
import pytest
from PIL import Image, ImageOps
from pillow_oracle import apply_steps
from scipy.stats import chisquare

from noisy_student.noise.operations import ARTICLE, STANDARD
from noisy_student.noise.pipeline import InputDraw
from noisy_student.noise.randaugment import RandAugment
from noisy_student.runtime.seeds import image_keys
from noisy_student.settings.schema import RandAugmentParams

# A correct draw fails a test with probability 1e-4; the seeds are fixed, so it does not flicker.
SIGNIFICANCE = 1e-4


def randaugment(**changes):
    params = {
        "ops": 2,
        "magnitude": 10,
        "levels": 30,
        "table": "standard",
        "magnitude_sampling": "fixed",
        "fill": 128,
    }
    return RandAugment(**RandAugmentParams(**(params | changes)).model_dump())


def keys(n, seed=1):
    return image_keys(seed, 0, np.arange(n))


def values_of(noise, table, name, n=20_000):
    op, value = noise.draw(keys(n))
    return value[op == [row.name for row in table].index(name)]


# lo + (hi - lo) * M / levels, worked out by hand
@pytest.mark.parametrize(
    ("name", "magnitude", "levels", "expected"),
    [
        ("rotate", 10, 30, 10.0),
        ("rotate", 27, 30, 27.0),
        ("rotate", 10, 10, 30.0),
        ("solarize", 15, 30, 128.0),
        ("color", 10, 30, 0.3),
        ("shear x", 20, 30, 0.2),
        ("translate y", 10, 30, 0.11),
        ("posterize", 10, 30, 7.0),  # 6.67 rounded
        ("posterize", 9, 10, 4.0),  # 4.4 rounded
        ("equalize", 10, 30, 0.0),
    ],
)
def test_fixed_strength_is_exact(name, magnitude, levels, expected):
    noise = randaugment(magnitude=magnitude, levels=levels)
    np.testing.assert_allclose(np.abs(values_of(noise, STANDARD, name)), expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("rotate", 360.0), ("contrast", 0.5), ("solarize", 231.0), ("posterize", 4.0), ("translate x", 0.2)],
)
def test_fixed_strength_of_the_article_table(name, expected):
    noise = randaugment(table="article", magnitude=10, levels=10)
    np.testing.assert_allclose(np.abs(values_of(noise, ARTICLE, name)), expected, rtol=1e-12)


def test_uniform_draws_each_index_below_the_magnitude_equally_often():
    noise = randaugment(table="article", magnitude=7, levels=10, magnitude_sampling="uniform")
    angles = np.abs(values_of(noise, ARTICLE, "rotate", n=40_000))
    seen, counts = np.unique(angles.round(6), return_counts=True)
    np.testing.assert_allclose(seen, [0, 40, 80, 120, 160, 200, 240])  # 360 * i / 9, i = 0..6
    assert chisquare(counts).pvalue > SIGNIFICANCE


def test_uniform_with_the_full_magnitude_reaches_the_strongest_value():
    noise = randaugment(table="article", magnitude=10, levels=10, magnitude_sampling="uniform")
    thresholds = np.unique(values_of(noise, ARTICLE, "solarize"))
    assert len(thresholds) == 10
    assert (thresholds.min(), thresholds.max()) == (231, 256)


def test_uniform_bits_of_the_article_table_are_rounded():
    noise = randaugment(table="article", magnitude=10, levels=10, magnitude_sampling="uniform")
    # 8, 7.56, 7.11, 6.67, 6.22, 5.78, 5.33, 4.89, 4.44, 4
    assert set(values_of(noise, ARTICLE, "posterize")) == {8, 7, 6, 5, 4}


def test_uniform_draws_a_strength_for_each_operation_anew():
    noise = randaugment(table="article", magnitude=10, levels=10, magnitude_sampling="uniform")
    op, value = noise.draw(keys(60_000, seed=2))
    both = (op == [row.name for row in ARTICLE].index("rotate")).all(axis=1)
    first, second = np.abs(value[both]).T
    # independent draws agree with probability 1/10; about 355 pairs, four standard errors
    assert both.sum() > 250
    assert abs((first == second).mean() - 0.1) < 4 * (0.09 / both.sum()) ** 0.5


@pytest.mark.parametrize(("table", "rows"), [("article", ARTICLE), ("standard", STANDARD)])
def test_signs_are_fair_where_the_table_has_them_and_absent_elsewhere(table, rows):
    op, value = randaugment(table=table).draw(keys(40_000, seed=3))
    for index, row in enumerate(rows):
        values = value[op == index]
        if row.signed:
            negative = (values < 0).mean()
            assert abs(negative - 0.5) < 4 * 0.5 / len(values) ** 0.5, row.name
        else:
            assert (values >= 0).all(), row.name


@pytest.mark.parametrize(("table", "count"), [("article", 13), ("standard", 14)])
def test_operations_are_drawn_uniformly_with_replacement(table, count):
    op, _ = randaugment(table=table).draw(keys(40_000, seed=4))
    pairs = np.bincount(op[:, 0] * count + op[:, 1], minlength=count**2)
    assert pairs.shape == (count**2,)
    # all pairs equally likely: uniform, independent, repeats (the diagonal) allowed
    assert chisquare(pairs).pvalue > SIGNIFICANCE


def test_zero_strength_has_no_sign():
    _, value = randaugment(magnitude=0).draw(keys(2000))
    assert not np.signbit(value).any()


def test_draw_has_the_stated_types_and_belongs_to_the_keys():
    noise = randaugment(ops=3)
    op, value = noise.draw(keys(50))
    assert (op.shape, op.dtype) == ((50, 3), np.int64)
    assert (value.shape, value.dtype) == ((50, 3), np.float64)
    some = np.array([40, 3, 3])
    for whole, part in zip((op, value), noise.draw(keys(50)[some]), strict=True):
        np.testing.assert_array_equal(part, whole[some])
    other, _ = noise.draw(keys(50, seed=2))
    # 14 operations: independent draws agree with probability 1/14; 150 of them, four standard errors
    assert (op == other).mean() < 1 / 14 + 4 * (1 / 14 / 150) ** 0.5


def test_operations_are_applied_in_order():
    image = np.random.default_rng(0).integers(0, 256, (12, 17, 3), np.uint8)
    got = apply_steps("standard", image[None], ["solarize", "posterize"], [[100.0, 4.0]])[0]
    expected = ImageOps.posterize(ImageOps.solarize(Image.fromarray(image), 100), 4)
    np.testing.assert_array_equal(got, np.asarray(expected))


def test_captions_name_operations_and_strengths():
    noise = randaugment()
    names = [op.name for op in STANDARD]
    op = np.array([[names.index(n) for n in ("rotate", "equalize", "color", "solarize")]])
    draw = InputDraw(flip=None, top=None, left=None, op=op, value=np.array([[-10.0, 0.0, 0.3, 170.67]]))
    assert noise.captions(draw) == [["rotate -10", "equalize", "color +0.3", "solarize 171"]]

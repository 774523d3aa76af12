import numpy as np
import pytest
from PIL import Image, ImageOps
from scipy.stats import chisquare

from noisy_student.noise.operations import ARTICLE, STANDARD
from noisy_student.noise.randaugment import Draw, RandAugment
from noisy_student.sections import RandAugmentParams

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


def images(n=6, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, 12, 17, 3), np.uint8)


def values_of(noise, table, name, n=20_000):
    draw = noise.draw(n, np.random.default_rng(1))
    return draw.value[draw.op == [op.name for op in table].index(name)]


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
    draw = noise.draw(60_000, np.random.default_rng(2))
    rotate = [op.name for op in ARTICLE].index("rotate")
    both = (draw.op == rotate).all(axis=1)
    first, second = np.abs(draw.value[both]).T
    # independent draws agree with probability 1/10; about 355 pairs, four standard errors
    assert both.sum() > 250
    assert abs((first == second).mean() - 0.1) < 4 * (0.09 / both.sum()) ** 0.5


@pytest.mark.parametrize(("table", "ops"), [("article", ARTICLE), ("standard", STANDARD)])
def test_signs_are_fair_where_the_table_has_them_and_absent_elsewhere(table, ops):
    draw = randaugment(table=table).draw(40_000, np.random.default_rng(3))
    for index, op in enumerate(ops):
        values = draw.value[draw.op == index]
        if op.signed:
            negative = (values < 0).mean()
            assert abs(negative - 0.5) < 4 * 0.5 / len(values) ** 0.5, op.name
        else:
            assert (values >= 0).all(), op.name


@pytest.mark.parametrize(("table", "count"), [("article", 13), ("standard", 14)])
def test_operations_are_drawn_uniformly_with_replacement(table, count):
    op = randaugment(table=table).draw(40_000, np.random.default_rng(4)).op
    pairs = np.bincount(op[:, 0] * count + op[:, 1], minlength=count**2)
    assert pairs.shape == (count**2,)
    # all pairs equally likely: uniform, independent, repeats (the diagonal) allowed
    assert chisquare(pairs).pvalue > SIGNIFICANCE


def test_zero_strength_has_no_sign():
    draw = randaugment(magnitude=0).draw(2000, np.random.default_rng(0))
    assert not np.signbit(draw.value).any()


def test_draw_has_the_stated_types():
    draw = randaugment(ops=3).draw(5, np.random.default_rng(0))
    assert (draw.op.shape, draw.op.dtype) == ((5, 3), np.int64)
    assert (draw.value.shape, draw.value.dtype) == ((5, 3), np.float64)


def test_operations_are_applied_in_order():
    batch = images(1)
    names = [op.name for op in STANDARD]
    draw = Draw(
        op=np.array([[names.index("solarize"), names.index("posterize")]]), value=np.array([[100.0, 4.0]])
    )
    expected = ImageOps.posterize(ImageOps.solarize(Image.fromarray(batch[0]), 100), 4)
    np.testing.assert_array_equal(randaugment().apply(batch, draw)[0], np.asarray(expected))


def test_call_is_draw_then_apply_and_deterministic():
    noise, batch = randaugment(), images(40)
    result = noise(batch, np.random.default_rng(9))
    draw = noise.draw(40, np.random.default_rng(9))
    np.testing.assert_array_equal(result, noise.apply(batch, draw))
    assert (result != noise(batch, np.random.default_rng(10))).any()


def test_each_image_has_its_own_draw():
    noise = randaugment()
    same = np.repeat(images(1), 50, axis=0)
    result = noise(same, np.random.default_rng(0))
    # 14 operations, 2 a time, most with a sign: 50 equal images give many different results
    assert len(np.unique(result.reshape(50, -1), axis=0)) > 20
    # an image's result does not depend on its neighbours
    draw = noise.draw(50, np.random.default_rng(0))
    alone = noise.apply(same[7:8], Draw(op=draw.op[7:8], value=draw.value[7:8]))
    np.testing.assert_array_equal(result[7:8], alone)


def test_input_is_not_modified_and_shape_is_kept():
    batch = images(30)
    before = batch.copy()
    batch.setflags(write=False)
    result = randaugment(ops=4)(batch, np.random.default_rng(0))
    np.testing.assert_array_equal(batch, before)
    assert (result.shape, result.dtype) == (before.shape, np.uint8)
    assert not np.shares_memory(result, batch)


def test_captions_name_operations_and_strengths():
    noise = randaugment()
    names = [op.name for op in STANDARD]
    draw = Draw(
        op=np.array([[names.index(n) for n in ("rotate", "equalize", "color", "solarize")]]),
        value=np.array([[-10.0, 0.0, 0.3, 170.67]]),
    )
    assert noise.captions(draw) == [["rotate -10", "equalize", "color +0.3", "solarize 171"]]

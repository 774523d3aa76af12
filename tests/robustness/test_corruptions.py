"""Each corruption against scikit-image, SciPy or Pillow on single images, or against a slow loop."""

import functools
import io
import math

import numpy as np
import pytest
import scipy.ndimage
import skimage.color
import skimage.filters
from PIL import Image
from scipy.stats import kstest, poisson

from noisy_student.robustness import blurs, digital, frosting, noises, severities, weather, zooming
from noisy_student.robustness.corruptions import corrupt, to_levels
from noisy_student.robustness.draws import Draws
from noisy_student.robustness.severities import CIFAR, IMAGENET
from noisy_student.runtime.seeds import image_keys
from photographs import photographs

MONOTONE = (  # those whose published constants rise on real images
    *("gaussian_noise", "shot_noise", "impulse_noise", "speckle_noise", "gaussian_blur", "defocus_blur"),
    *("zoom_blur", "fog", "brightness", "contrast", "jpeg_compression", "pixelate"),
)


@functools.cache
def drawn(side):
    return frosting.pictures("/nonexistent", side)


def corrupted(images, name, severity, *, seed=0, rows=None):
    rows = np.arange(len(images)) if rows is None else rows
    return corrupt(images, name, severity, rows=rows, seed=seed, frost=lambda: drawn(images.shape[1]))


def draws(number):
    return Draws(image_keys(7, 0, np.arange(number)))


def near(found, expected, most=1, share=0.0):
    """Grey levels differ by at most `most`, and by anything at all in at most a share of the values."""
    distance = np.abs(found.astype(int) - expected.astype(int))
    assert distance.max() <= most
    if share:
        assert (distance > 0).mean() <= share


@pytest.mark.parametrize("name", severities.ALL)
@pytest.mark.parametrize("side", [16, 32, 64])
def test_repeatable_and_a_function_of_the_row(name, side):
    images = photographs(side, 6)
    before = images.copy()
    whole = corrupted(images, name, 3)
    assert whole.dtype == np.uint8
    assert whole.shape == images.shape
    assert np.array_equal(images, before)
    assert np.array_equal(whole, corrupted(images, name, 3))
    alone = corrupted(images[4:5], name, 3, rows=np.array([4]))
    assert np.array_equal(alone[0], whole[4])
    assert (whole != images).any()
    random = set(severities.ALL) - {
        *("defocus_blur", "zoom_blur", "gaussian_blur", "brightness", "contrast"),
        *("pixelate", "jpeg_compression", "saturate"),
    }
    assert np.array_equal(whole, corrupted(images, name, 3, seed=1)) != (name in random)


@pytest.mark.parametrize(
    ("name", "side"),
    # ImageNet-C's fogs 3 and 4 are equally thick
    [(name, side) for side in (32, 64) for name in MONOTONE if (name, side) != ("fog", 64)],
)
def test_severity_is_monotone(name, side):
    images = photographs(side)
    errors = [((corrupted(images, name, s).astype(float) - images) ** 2).mean() for s in severities.SEVERITIES]
    assert errors == sorted(errors)
    assert errors[0] > 0


def test_constants_that_are_not_monotone():
    assert CIFAR["saturate"] == [(0.3, 0), (0.1, 0), (1.5, 0), (2, 0.1), (2.5, 0.2)]
    assert CIFAR["glass_blur"] == [(0.05, 1, 1), (0.25, 1, 1), (0.4, 1, 1), (0.25, 1, 2), (0.4, 1, 2)]
    assert IMAGENET["glass_blur"] == [(0.7, 1, 2), (0.9, 2, 1), (1, 2, 3), (1.1, 3, 2), (1.5, 4, 2)]
    assert set(CIFAR) == set(IMAGENET) == set(severities.ALL)
    assert all(len(table[name]) == 5 for table in (CIFAR, IMAGENET) for name in severities.ALL)
    assert severities.constants("gaussian_noise", 5, 63) == 0.10
    assert severities.constants("gaussian_noise", 5, 64) == 0.38
    assert [len(z) for z in CIFAR["zoom_blur"]] == [7, 12, 16, 21, 26]  # as np.arange rounds


def test_gaussian_and_speckle_noise_by_their_moments():
    grey = np.full((40, 32, 32, 3), 0.4)
    added = noises.gaussian_noise(grey, 0.08, draws(40)) - grey
    assert kstest(added.ravel()[::7], "norm", args=(0, 0.08)).pvalue > 1e-3
    assert abs(np.corrcoef(added[0].ravel(), added[1].ravel())[0, 1]) < 0.06
    scaled = noises.speckle_noise(grey, 0.2, draws(40)) - grey
    assert kstest(scaled.ravel()[::7], "norm", args=(0, 0.2 * 0.4)).pvalue > 1e-3


@pytest.mark.parametrize("photons", [3, 60, 500])
def test_shot_noise_is_poisson(photons):
    levels = np.array([0, 1, 64, 200, 255])
    x = np.broadcast_to((levels / 255)[:, None, None, None], (5, 64, 64, 3))
    counts = np.rint(noises.shot_noise(x, photons, draws(5)) * photons)
    assert (counts[0] == 0).all()
    for i in range(1, 5):
        mean = photons * levels[i] / 255
        found = counts[i].ravel()
        assert found.mean() == pytest.approx(mean, abs=5 * math.sqrt(mean / found.size))
        assert found.var() == pytest.approx(mean, rel=0.1)
        for k in (int(mean), int(mean) + 1):
            chance = poisson.pmf(k, mean)
            spread = 5 * math.sqrt(chance * (1 - chance) / found.size)
            assert (found == k).mean() == pytest.approx(chance, abs=spread)


def test_impulse_noise_by_its_shares():
    x = np.full((30, 32, 32, 3), 0.5)
    found = noises.impulse_noise(x, 0.07, draws(30))
    size = found.size
    for value in (0.0, 1.0):
        assert (found == value).mean() == pytest.approx(0.035, abs=5 * math.sqrt(0.035 / size))
    assert set(np.unique(found)) == {0.0, 0.5, 1.0}


@pytest.mark.parametrize("side", [32, 64])
@pytest.mark.parametrize("severity", [1, 3, 5])
def test_gaussian_blur_is_scikit_images(side, severity):
    image = photographs(side)[1]
    sigma = severities.constants("gaussian_blur", severity, side)
    expected = skimage.filters.gaussian(image / 255, sigma=sigma, channel_axis=-1)
    near(corrupted(image[None], "gaussian_blur", severity)[0], to_levels(expected), share=1e-3)


@pytest.mark.parametrize(("side", "severity"), [(32, 1), (32, 3), (32, 5), (64, 1), (64, 4)])
def test_defocus_blur_is_a_convolution_by_the_disk(side, severity):
    image = photographs(side)[0]
    radius, softness = severities.constants("defocus_blur", severity, side)
    reach = 8 if radius <= 8 else radius
    kernel = np.array(
        [[float(x * x + y * y <= radius * radius) for x in range(-reach, reach + 1)] for y in range(-reach, reach + 1)]
    )
    window = 1 if radius <= 8 else 2
    weights = np.exp(-(np.arange(-window, window + 1) ** 2) / (2 * softness**2))
    soft = scipy.ndimage.convolve(kernel / kernel.sum(), np.outer(weights, weights) / weights.sum() ** 2, mode="mirror")
    expected = np.stack([scipy.ndimage.correlate(image[..., c] / 255, soft, mode="mirror") for c in range(3)], axis=-1)
    near(corrupted(image[None], "defocus_blur", severity)[0], to_levels(expected))


@pytest.mark.parametrize(("side", "severity"), [(32, 1), (32, 5), (64, 2)])
def test_glass_blur_is_the_loop(side, severity):
    """The published swap copies in effect: both names are views of one array."""
    images = photographs(side, 2)
    strength = deviation, reach, rounds = severities.constants("glass_blur", severity, side)
    found = blurs.glass_blur(images / 255, strength, draws(2))
    shifts = draws(2).integer("neighbours", rounds, 2, side, side, low=-reach, high=reach)
    assert set(np.unique(shifts)) == set(range(-reach, reach))
    for image, shift, one in zip(images, shifts, found, strict=True):
        x = np.uint8(skimage.filters.gaussian(image / 255, sigma=deviation, channel_axis=-1) * 255)
        for turn in range(rounds):
            for h in range(side - reach, reach, -1):
                for w in range(side - reach, reach, -1):
                    dx, dy = shift[turn, :, h, w]
                    x[h, w], x[h + dy, w + dx] = x[h + dy, w + dx], x[h, w]
        expected = skimage.filters.gaussian(x / 255, sigma=deviation, channel_axis=-1)
        near(to_levels(one), to_levels(expected), share=1e-3)


@pytest.mark.parametrize("angle", [-135.0, -90.0, -30.0, 0.0, 17.5, 45.0])
@pytest.mark.parametrize("strength", [(6, 1), (9, 2.5), (15, 8)])
def test_motion_blur_is_a_sum_of_shifted_images(angle, strength):
    image, (radius, deviation) = photographs(32)[0], strength
    width = 2 * radius + 1
    kernel = np.exp(-(np.arange(width) ** 2) / (2 * deviation**2))
    kernel /= kernel.sum()
    total = np.zeros(image.shape)
    padded = np.pad(image, ((width, width), (width, width), (0, 0)), mode="edge")
    for i in range(width):
        dx = math.ceil(i * math.cos(math.radians(angle)) - 0.5)
        dy = math.ceil(i * math.sin(math.radians(angle)) - 0.5)
        total += kernel[i] * padded[width + dy : width + dy + 32, width + dx : width + dx + 32]
    found = blurs.blur_along(image[None], strength, np.array([angle]))[0]
    # ImageMagick computes in 16 bits, rounds, and rounds again to 8
    quantum = np.floor(257 * total + 0.5).astype(np.int64) + 128
    near(found, ((quantum - (quantum >> 8)) >> 8).astype(np.uint8), share=1e-3)


def test_motion_blur_draws_its_angles_between_45_degrees():
    angles = draws(4000).uniform("angle", low=-45.0, high=45.0)
    assert kstest(angles, "uniform", args=(-45, 90)).pvalue > 1e-3


@pytest.mark.parametrize("side", [16, 32, 64])
@pytest.mark.parametrize("factor", [1.0, 1.03, 1.25, 1.31, 2.25, 3, 4.5])
def test_zoom_is_scipys(side, factor):
    image = photographs(side)[3] / 255
    used = math.ceil(side / factor)
    top = (side - used) // 2
    large = scipy.ndimage.zoom(image[top : top + used, top : top + used], (factor, factor, 1), order=1, mode="nearest")
    trim = (large.shape[0] - side) // 2
    expected = large[trim : trim + side, trim : trim + side]
    assert np.abs(zooming.zoom(image[None], factor)[0] - expected).max() < 1e-9


def test_zoom_blur_is_the_mean():
    images, factors = photographs(32, 2) / 255, CIFAR["zoom_blur"][1]
    expected = (images + sum(zooming.zoom(images, f) for f in factors)) / (len(factors) + 1)
    assert np.abs(blurs.zoom_blur(images, factors, None) - expected).max() < 1e-5


def test_cloud_by_hand():
    """A height map of 4 x 4 by the diamond-square algorithm, cell by cell."""
    one, decay = draws(1), 2.0
    numbers = {
        (kind, step): one.uniform(f"{kind} {step}", 4 // step, 4 // step)[0]
        for step in (4, 2)
        for kind in ("middle", "top", "left")
    }
    h = np.zeros((4, 4))
    rough = 100.0
    for step in (4, 2):
        half = step // 2

        def detail(kind, i, j, step=step, rough=rough):
            return rough**2 * (2 * numbers[kind, step][i, j] - 1)

        cells = [(i, j) for i in range(4 // step) for j in range(4 // step)]
        for i, j in cells:
            y, x = i * step, j * step
            corners = h[y, x] + h[(y + step) % 4, x] + h[y, (x + step) % 4] + h[(y + step) % 4, (x + step) % 4]
            h[y + half, x + half] = corners / 4 + detail("middle", i, j)
        new = h.copy()
        for i, j in cells:
            y, x = i * step, j * step
            around = h[y, x] + h[y, (x + step) % 4] + h[y + half, x + half] + h[(y - half) % 4, x + half]
            new[y, x + half] = around / 4 + detail("top", i, j)
            around = h[y, x] + h[(y + step) % 4, x] + h[y + half, x + half] + h[y + half, (x - half) % 4]
            new[y + half, x] = around / 4 + detail("left", i, j)
        h, rough = new, rough / decay
    expected = (h - h.min()) / (h.max() - h.min())
    assert np.abs(weather.cloud(4, decay, draws(1))[0] - expected).max() < 1e-12


def test_fog_by_its_formula():
    x = photographs(32, 3) / 255
    cloud = weather.cloud(32, 3, draws(3))
    for image, thick, found in zip(x, cloud, weather.fog(x, (0.5, 3), draws(3)), strict=True):
        assert np.allclose(found, (image + 0.5 * thick[..., None]) * image.max() / (image.max() + 0.5))
    black = weather.fog(np.zeros((1, 16, 16, 3)), (1, 2), draws(1))
    assert (black == 0).all()  # it keeps the largest value


@pytest.mark.parametrize("severity", [1, 3, 5])
@pytest.mark.parametrize("side", [32, 64])
def test_brightness_and_saturation_are_scikit_images(severity, side):
    photos = photographs(side, 4).copy()
    photos[0, :8, :8] = 128  # grey
    photos[0, 8:16, :8] = 0  # black
    for name, channel in (("brightness", 2), ("saturate", 1)):
        strength = severities.constants(name, severity, side)
        factor, shift = (1, strength) if name == "brightness" else strength
        hsv = skimage.color.rgb2hsv(photos / 255)
        hsv[..., channel] = np.clip(hsv[..., channel] * factor + shift, 0, 1)
        expected = to_levels(skimage.color.hsv2rgb(hsv))
        # where the exact result is a whole grey level, rounding errors decide what it is cut off to
        near(corrupted(photos, name, severity), expected, share=0.06)


def test_contrast_by_hand():
    image = np.zeros((1, 2, 2, 3))
    image[0, 0, 0] = [0.4, 0.8, 0.0]
    found = digital.contrast(image, 0.5)[0]
    assert np.allclose(found[0, 0], [0.1 + 0.5 * 0.3, 0.2 + 0.5 * 0.6, 0])
    assert np.allclose(found[1, 1], [0.1 - 0.5 * 0.1, 0.2 - 0.5 * 0.2, 0])


@pytest.mark.parametrize("severity", [1, 5])
def test_pixelate_and_jpeg_are_pillows(severity):
    image = Image.fromarray(photographs(32)[0])
    small = int(32 * CIFAR["pixelate"][severity - 1])
    boxed = image.resize((small, small), Image.Resampling.BOX).resize((32, 32), Image.Resampling.BOX)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=CIFAR["jpeg_compression"][severity - 1])
    images = np.asarray(image)[None]
    assert np.array_equal(corrupted(images, "pixelate", severity)[0], np.asarray(boxed))
    assert np.array_equal(corrupted(images, "jpeg_compression", severity)[0], np.asarray(Image.open(file)))


@pytest.mark.parametrize("side", [32, 64])
@pytest.mark.parametrize("severity", [1, 3, 5])
def test_elastic_transform_is_scipys(side, severity):
    x = photographs(side, 2) / 255
    strength = severities.constants("elastic_transform", severity, side)
    size, smoothness, affine = (side * share for share in strength)
    found = digital.elastic_transform(x, strength, draws(2))
    moved = digital._affine(x.astype(np.float32), draws(2).uniform("affine", 3, 2, low=-affine, high=affine))
    fields = {}
    for purpose in ("right", "down"):
        field = draws(2).uniform(purpose, side, side, low=-1.0, high=1.0)
        fields[purpose] = [
            size * skimage.filters.gaussian(f, sigma=smoothness, mode="reflect", truncate=3) for f in field
        ]
    ys, xs = np.mgrid[:side, :side]
    for i in range(2):
        places = [ys + fields["down"][i], xs + fields["right"][i]]
        for c in range(3):
            expected = scipy.ndimage.map_coordinates(moved[i, ..., c], places, order=1, mode="reflect")
            assert np.abs(found[i, ..., c] - expected).max() < 1e-4


def test_affine_map_moves_the_corners():
    """Three points of the image go where they are sent; without shifts nothing moves."""
    x = photographs(32, 1).astype(np.float32) / 255
    assert np.allclose(digital._affine(x, np.zeros((1, 3, 2))), x, atol=1e-6)
    shifted = digital._affine(x, np.full((1, 3, 2), 2.0))  # all corners by 2 to the right and down
    assert np.allclose(shifted[0, 2:, 2:], x[0, :-2, :-2], atol=1e-5)


def test_affine_map_samples_between_pixels_exactly():
    """On a ramp of 8 grey levels a pixel; OpenCV 4 rounded places to 1/32 pixel: docs/robustness.md."""
    ramp = np.tile(8 * np.arange(32, dtype=np.float32), (32, 1))[None, ..., None]
    for right in (1 / 128, 1 / 64, 3 / 64, 0.7):
        moved = np.squeeze(digital._affine(ramp, np.tile([right, 0.0], (1, 3, 1))))
        assert np.allclose(moved[:, 2:-2], np.squeeze(ramp)[:, 2:-2] - 8 * right, atol=1e-3)


def test_frost_by_its_weights_and_place():
    levels, pictures = (
        np.full((50, 16, 16, 3), 100, np.uint8),
        [np.full((40, 40, 3), v) for v in (0, 50, 200)],
    )
    found = weather.frost(levels, (0.8, 0.4), draws(50), pictures)
    assert set(np.unique(found)) == {80.0, 100.0, 160.0}
    slope = [np.broadcast_to(np.arange(40)[:, None, None], (40, 40, 3))]
    tops = weather.frost(np.zeros((400, 16, 16, 3), np.uint8), (1, 1), draws(400), slope)[:, 0, 0, 0]
    assert tops.min() == 0
    assert tops.max() == 23  # the last one that fits


def test_official_frost_is_used_and_checked(tmp_path):
    from noisy_student.runtime.errors import DataError

    folder = tmp_path / "frost"
    folder.mkdir()
    for number, name in enumerate(frosting.OFFICIAL):
        Image.new("RGB", (300, 250), (200, number, 30)).save(folder / name, quality=100)
    pictures = frosting.pictures(folder, 32)
    assert [p.shape for p in pictures] == [(50, 60, 3)] * 5
    assert pictures[0][5, 5].tolist() == [200, 0, 30]  # red stays red
    assert frosting.pictures(folder, 64)[0].shape == (250, 300, 3)
    with pytest.raises(DataError, match="too small for images of 56"):
        frosting.pictures(folder, 56)
    (folder / "frost4.jpg").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"frost4\.jpg: not a readable picture"):
        frosting.pictures(folder, 32)
    (folder / "frost2.png").unlink()
    with pytest.raises(DataError, match=r"frost2\.png: no such file"):
        frosting.pictures(folder, 32)


def test_drawn_frost_is_bluish_and_neither_black_nor_white():
    for picture in drawn(32):
        red, green, blue = picture.mean(axis=(0, 1))
        assert 60 < red < green < blue < 170
        assert picture.std() > 30
        assert picture.shape == (128, 128, 3)


def test_snow_by_its_parts():
    x = photographs(32, 2) / 255
    strength = CIFAR["snow"][2]
    flakes = weather.start_snow(x, strength, draws(2))
    raw = draws(2).normal("flakes", 32, 32, 1, mean=0.15, deviation=0.3)
    large = zooming.zoom(raw, 1.75)
    expected = np.where(large < 0.55, 0, np.clip(large, 0, 1))
    near(flakes, (expected * 255).astype(np.uint8), most=0)
    angles = np.array([-90.0, -60.0])
    driven = blurs.blur_along(flakes, (10, 4), angles) / 255
    for i in range(2):
        grey = skimage.color.rgb2gray(x[i]) * 0  # the weights below are those of television, not of rgb2gray
        grey = 0.299 * x[i, ..., 0] + 0.587 * x[i, ..., 1] + 0.114 * x[i, ..., 2]
        white = np.maximum(x[i], 1.5 * grey[..., None] + 0.5)
        total = 0.9 * x[i] + 0.1 * white + driven[i] + np.flip(driven[i], axis=(0, 1))
        assert np.abs(weather.add_snow(x, flakes, (10, 4), angles, 0.9)[i] - total).max() < 1e-5


def test_mud_by_its_formula():
    x, strength = photographs(32, 4) / 255, CIFAR["spatter"][4]
    found = weather.spatter(x, strength, draws(4))
    liquid = draws(4).normal("liquid", 32, 32, mean=0.65, deviation=0.1)
    for i in range(4):
        thick = skimage.filters.gaussian(liquid[i], sigma=0.5)
        mud = skimage.filters.gaussian((thick > 0.68).astype(float), sigma=0.6)
        mud[mud < 0.8] = 0
        brown = np.array([63, 42, 20]) / 255
        assert np.abs(found[i] - (x[i] * (1 - mud[..., None]) + brown * mud[..., None])).max() < 1e-5
    assert (found != x.astype(np.float32)).any()


def test_water_shines_turquoise_where_there_is_liquid():
    x, strength = photographs(32, 4) / 255, CIFAR["spatter"][2]
    liquid = weather.start_spatter(x, strength, draws(4))
    added = weather.add_water(np.zeros_like(x), liquid, 0.5)
    assert (added[liquid == 0] == 0).all()
    assert added.max() == pytest.approx(0.5 * 238 / 255)  # the brightest drop has the weight
    wet = added[..., 0] > 0
    assert np.allclose(added[wet][:, 1] / added[wet][:, 0], 238 / 175)
    dry = weather.add_water(x, np.zeros((4, 32, 32)), 0.5)
    assert np.array_equal(dry, x)


def test_no_corruption_wraps_around_or_swaps_colours():
    """A red image stays reddest in red; a bright corner does not light the opposite one."""
    red = np.zeros((2, 32, 32, 3), np.uint8)
    red[..., 0], red[..., 1], red[..., 2] = 180, 40, 20
    corner = np.full((2, 32, 32, 3), 60, np.uint8)
    corner[:, :6, :6] = 250
    for name in severities.ALL:
        for severity in (1, 3, 5):
            mean = corrupted(red, name, severity).mean(axis=(0, 1, 2))
            assert mean[0] > mean[1] - 1, name
            assert mean[1] > mean[2] - 30, name  # frost and snow are bluish white
    for name in (
        "motion_blur",
        "zoom_blur",
        "defocus_blur",
        "glass_blur",
        "gaussian_blur",
        "elastic_transform",
    ):
        far = corrupted(corner, name, 5)[:, -5:, -5:]
        assert abs(far.astype(int) - 60).max() <= 2, name


def test_frost_for_large_images_is_enlarged():
    pictures = frosting.pictures("/nonexistent", 300)
    assert [picture.shape for picture in pictures] == [(600, 600, 3)] * 5
    small = frosting.draw(0, 128)
    shrunk = Image.fromarray(pictures[0]).resize((512, 512), Image.Resampling.BOX)
    assert np.abs(np.asarray(shrunk).astype(float) - small).mean() < 6

"""Sequences against Pillow, OpenCV-free formulas, and the published numbers of frames."""

import numpy as np
import pytest
import scipy.ndimage
from PIL import Image

from noisy_student.robustness import blurs, perturbations
from noisy_student.robustness.corruptions import to_levels
from noisy_student.robustness.digital import brightness
from photographs import photographs

FRAMES = {"translate": 16, "motion_blur": 21}  # of CIFAR-10-P; all others 31


def sequence(images, name, *, seed=0, rows=None):
    rows = np.arange(len(images)) if rows is None else rows
    return np.stack(list(perturbations.frames(images, name, rows=rows, seed=seed)))


@pytest.mark.parametrize("side", [32, 64])
def test_names_and_lengths(side):
    names = perturbations.names(side)
    assert len(names) == 10
    assert ("spatter" in names, "snow" in names) == (side == 32, side == 64)
    images = photographs(side, 2)
    for name in names:
        found = sequence(images, name)
        length = FRAMES.get(name, 31) if side == 32 else {"translate": 41}.get(name, 31)
        assert found.shape == (length, *images.shape)
        assert found.dtype == np.uint8
        assert np.array_equal(found, sequence(images, name))
        assert np.array_equal(found[:, 1], sequence(images[1:], name, rows=np.array([1]))[:, 0])
        change = np.abs(np.diff(found.astype(int), axis=0)).mean(axis=(1, 2, 3, 4))
        assert change.max() < 45, name  # little by little


@pytest.mark.parametrize(("side", "deviation", "photons"), [(32, 0.02, 700), (64, 0.03, 300)])
def test_noise_starts_clean_and_is_fresh_in_every_frame(side, deviation, photons):
    images = np.full((3, side, side, 3), 128, np.uint8)
    shot = np.sqrt(128 / 255 / photons)
    for name, expected in (("gaussian_noise", deviation), ("shot_noise", shot)):
        found = sequence(images, name)
        assert np.array_equal(found[0], images)
        noise = found[1:].astype(float) - 128
        assert noise.std() == pytest.approx(255 * expected, rel=0.05)
        assert abs(np.corrcoef(noise[0].ravel(), noise[1].ravel())[0, 1]) < 0.05


def test_translation_by_hand():
    images = photographs(32, 1)
    found = sequence(images, "translate")[:, 0]
    assert np.array_equal(found[7], images[0])
    assert np.array_equal(found[0][:, :-7], images[0][:, 7:])
    assert (found[0][:, -7:] == 0).all()
    assert np.array_equal(found[15][:, 8:], images[0][:, :-8])
    assert (found[15][:, :8] == 0).all()


def test_rotation_is_pillows():
    image = photographs(32, 1)
    found = sequence(image, "rotate")[:, 0]
    for step in (0, 10, 15, 24, 30):
        expected = Image.fromarray(image[0]).rotate(15 - step, Image.Resampling.BILINEAR)  # against the clock
        assert np.abs(found[step].astype(int) - np.asarray(expected)).max() <= 1


def test_scale_is_about_the_centre():
    image = photographs(32, 1)
    found = sequence(image, "scale")[:, 0]
    assert np.array_equal(found[15], image[0])  # 100 %
    small = found[0]  # 70 %: a black frame of (1 - 0.7) / 2 = 15 % of 32 pixels
    assert (small[:4] == 0).all()
    assert (small[:, -4:] == 0).all()
    assert (small[5:-5, 5:-5].sum(axis=-1) > 0).mean() > 0.95
    ys = (np.arange(32) + 0.5 - 16) / 1.3 + 16 - 0.5  # 130 %
    grid = np.meshgrid(ys, ys, indexing="ij")
    for c in range(3):
        expected = scipy.ndimage.map_coordinates(image[0, ..., c].astype(float), grid, order=1)
        assert np.abs(found[30][..., c] - expected).max() <= 1.01


def test_zoom_blur_is_a_running_mean():
    image = photographs(32, 1)
    found = sequence(image, "zoom_blur")[:, 0]
    assert np.array_equal(found[0], image[0])
    first = perturbations._affine(image, scale=1.004)[0]
    assert np.abs(found[1] - (image[0].astype(float) + first) / 2).max() <= 1.0


def test_brightness_and_motion_are_those_of_the_corruptions():
    images = photographs(32, 2)
    found = sequence(images, "brightness")
    assert np.abs(found[15].astype(int) - images).max() <= 1
    assert np.array_equal(found[0], to_levels(brightness(images / 255.0, -15 * 0.015)))
    assert found.mean(axis=(1, 2, 3, 4)).tolist() == sorted(found.mean(axis=(1, 2, 3, 4)))
    moved = sequence(images, "motion_blur")
    assert np.array_equal(moved[3], blurs.blur_along(images, (6, 1.8), np.full(2, 9.0 * (3 - 20))))


@pytest.mark.parametrize("degrees", [-11.25, 4.0, 15.0])
def test_tilt_is_a_projection_of_the_turned_image(degrees):
    """Points of the plane, turned about both axes and seen by a pinhole camera, one by one."""
    side, angle = 32, np.deg2rad(degrees)
    focal = np.sqrt(2) * side
    matrix = perturbations.tilt_matrix(side, degrees)
    for x, y in [(0, 0), (31, 4), (16, 16), (7, 30)]:
        u, v, w = x - side / 2, y - side / 2, 1.0
        u, w = u * np.cos(angle) - w * np.sin(angle), u * np.sin(angle) + w * np.cos(angle)  # about y
        v, w = v * np.cos(angle) - w * np.sin(angle), v * np.sin(angle) + w * np.cos(angle)  # about x
        expected = focal * u / (w + focal) + side / 2, focal * v / (w + focal) + side / 2
        found = matrix @ [x, y, 1]
        assert found[:2] / found[2] == pytest.approx(expected, abs=0.6)


@pytest.mark.parametrize("degrees", [-11.25, 4.0, 15.0])
def test_tilt_samples_between_pixels_exactly(degrees):
    """Against SciPy's linear interpolation; OpenCV 4 rounded places to 1/32 pixel: docs/robustness.md."""
    side = 64
    image = photographs(side, 1)
    ys, xs = np.mgrid[:side, :side]
    inverse = np.linalg.inv(perturbations.tilt_matrix(side, degrees))
    x, y, w = inverse @ np.stack([xs.ravel(), ys.ravel(), np.ones(side * side)])
    places = [(value / w).reshape(side, side) for value in (y, x)]
    inside = np.all([(place >= 0) & (place <= side - 1) for place in places], axis=0)
    assert inside.mean() > 0.6
    for c in range(3):
        expected = scipy.ndimage.map_coordinates(image[0, ..., c].astype(float), places, order=1)
        assert np.abs(perturbations._tilt(image, degrees)[0, ..., c] - expected)[inside].max() < 0.51


def test_water_runs_down():
    images = np.zeros((20, 32, 32, 3), np.uint8)
    found = sequence(images, "spatter").astype(float).mean(axis=(1, 3, 4))  # frames by rows
    heights = (found * np.arange(32)).sum(axis=1) / found.sum(axis=1)
    assert heights[8] > heights[0] + 4

"""The embedded digits, and unlabelled images from any folder."""

import os

import numpy as np
import pytest
import sklearn.datasets
from PIL import Image
from sklearn.utils import Bunch

from noisy_student.runtime.errors import DataError
from noisy_student.settings.schema import PHOTOGRAPHS
from noisy_student.sources.loading import load_source


def test_digits_at_their_own_size_are_scaled_grey_levels(data_params):
    source = load_source(data_params(image_size=8))
    bunch = sklearn.datasets.load_digits()
    assert source.classes == tuple("0123456789")
    np.testing.assert_array_equal(source.train.labels, bunch.target)
    assert source.train.images.shape == (1797, 8, 8, 3)
    for channel in range(3):
        error = source.train.images[..., channel] - bunch.images * 255 / 16
        assert np.abs(error).max() <= 0.5
    assert (source.test, source.validation, source.unlabelled) == (None, None, None)


def test_digits_are_enlarged_by_pillow(data_params):
    small = load_source(data_params(image_size=8)).train.images[7]
    expected = Image.fromarray(small).resize((16, 16), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(load_source(data_params(image_size=16)).train.images[7], expected)


def test_unlabelled_from_any_folder(data_params, tmp_path):
    for name, grey in (("x/y/1.png", 1), ("0.png", 0)):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (20, 10), grey).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("notes")
    light = Image.new("L", (30, 10), 0)
    light.paste(200, (10, 0, 20, 10))  # only the central square is light
    light.save(tmp_path / "x" / "z.png")
    source = load_source(data_params(unlabelled_from=str(tmp_path), resize="crop"))
    assert source.unlabelled[:, 0, 0, 0].tolist() == [0, 1, 200]
    assert source.unlabelled.shape == (3, 8, 8, 3)
    assert source.unlabelled_labels is None
    assert source.unreadable == (f"{tmp_path}/notes.txt: not an image that Pillow can read",)


def test_photographs_are_cut_into_patches_within_their_borders(data_params, monkeypatch):
    # red and green say where a pixel was, blue says of which photograph
    y, x = np.mgrid[0:427, 0:640]
    photographs = [np.stack([x * 255 / 639, y * 255 / 426, np.full_like(x, b)], -1) for b in (10, 250)]
    found = Bunch(images=[image.astype(np.uint8) for image in photographs])
    monkeypatch.setattr(sklearn.datasets, "load_sample_images", lambda: found)
    data = data_params(unlabelled_from=PHOTOGRAPHS, image_size=16)
    source = load_source(data)
    images = source.unlabelled.astype(int)
    assert images.shape == (1000, 16, 16, 3)
    assert source.unlabelled_labels is None
    np.testing.assert_allclose(images[..., 2].mean(axis=(1, 2)), np.tile([10, 250], 500), atol=1)
    across = (images[:, :, -1, 0] - images[:, :, 0, 0]).mean(axis=1) * 639 / 255 * 16 / 15  # pixels
    down = (images[:, -1, :, 1] - images[:, 0, :, 1]).mean(axis=1) * 426 / 255 * 16 / 15
    np.testing.assert_allclose(across, down, atol=8)  # squares
    assert 20 <= across.min() < 40
    assert 145 < across.max() <= 170
    left, top = images[:, :, 0, 0].mean(axis=1), images[:, 0, :, 1].mean(axis=1)
    assert left.min() < 12
    assert top.min() < 12
    assert abs(np.corrcoef(left, top)[0, 1]) < 4 / np.sqrt(1000)  # 4 standard errors
    again, other = (
        load_source(data),
        load_source(data_params(unlabelled_from=PHOTOGRAPHS, image_size=16, seed=1)),
    )
    np.testing.assert_array_equal(again.unlabelled, source.unlabelled)
    assert (other.unlabelled != source.unlabelled).any()


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("empty", r"no readable image .* \(0 unreadable\)"),
        ("unreadable", r"no readable image .* \(1 unreadable\)"),
    ],
)
def test_unlabelled_from_a_folder_without_images(data_params, tmp_path, kind, message):
    path = tmp_path / "images"
    path.mkdir()
    if kind == "unreadable":
        (path / "a.png").write_bytes(b"")
    with pytest.raises(DataError, match=rf"data\.unlabelled_from={path}: .*{message}"):
        load_source(data_params(unlabelled_from=str(path)))


def test_folder_that_cannot_be_listed(data_params, tmp_path, monkeypatch):
    (tmp_path / "images").mkdir()
    monkeypatch.chdir(tmp_path / "images")
    Image.new("L", (8, 8)).save("0.png")
    for _ in range(20):  # a path longer than the system allows
        os.mkdir("x" * 250)
        os.chdir("x" * 250)
    os.chdir(tmp_path.parent)
    with pytest.raises(DataError, match=r"File name too long\. Check data\.root"):
        load_source(data_params(unlabelled_from=str(tmp_path / "images")))


def test_path_that_the_system_refuses(data_params):
    with pytest.raises(DataError, match=r"data\.unlabelled_from=xxx"):
        load_source(data_params(unlabelled_from="x" * 5000))

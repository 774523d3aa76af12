"""The embedded digits, and unlabelled images from any folder."""

import os

import numpy as np
import pytest
import sklearn.datasets
from PIL import Image

from noisy_student.data.sources import load_source
from noisy_student.errors import DataError


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


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("missing", "found nothing"),
        ("file", "found a file"),
        ("empty", r"no readable image .* \(0 unreadable\)"),
        ("unreadable", r"no readable image .* \(1 unreadable\)"),
    ],
)
def test_unlabelled_from_a_wrong_path(data_params, tmp_path, kind, message):
    path = tmp_path / "images"
    if kind == "file":
        path.write_text("a file")
    elif kind != "missing":
        path.mkdir()
    if kind == "unreadable":
        (path / "a.png").write_bytes(b"")
    with pytest.raises(DataError, match=rf"data\.unlabelled_from={path}: .*{message}"):
        load_source(data_params(unlabelled_from=str(path)))


def test_folder_that_cannot_be_listed(data_params, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.new("L", (8, 8)).save("0.png")
    for _ in range(20):  # a path longer than the system allows
        os.mkdir("x" * 250)
        os.chdir("x" * 250)
    with pytest.raises(DataError, match=r"File name too long\. Check data\.root"):
        load_source(data_params(unlabelled_from=str(tmp_path)))


def test_path_that_the_system_refuses(data_params):
    with pytest.raises(DataError, match=r"data\.unlabelled_from=xxx"):
        load_source(data_params(unlabelled_from="x" * 5000))

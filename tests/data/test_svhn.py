"""SVHN from small MATLAB files, and every way in which they can be wrong."""

import hashlib

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from noisy_student.runtime.errors import DataError, ParamsError
from noisy_student.settings.schema import OWN_SPLIT
from noisy_student.sources.adapters import svhn
from noisy_student.sources.loading import load_source


@pytest.fixture
def svhn_case(tmp_path, random_images, data_params, monkeypatch):
    """Write the three files; return (parameters, images and labels by split)."""
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))

    def make(*, change=None, **values):
        splits, hashes = {}, {}
        for seed, name in enumerate(("train", "test", "extra")):
            images, labels = splits[name] = random_images(20 - seed, seed=seed)
            # as in the official files: rows, columns, channels, images; 10 stands for the digit 0
            content = {"X": np.moveaxis(images, 0, -1), "y": np.where(labels, labels, 10)[:, None]}
            if name == "test":
                content.update(change or {})
            path = tmp_path / f"{name}_32x32.mat"
            savemat(path, content)
            hashes[path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
        return data_params(source="svhn", root=str(tmp_path), image_size=32, sha256=hashes, **values), splits

    return make


def test_svhn_reads_its_files(svhn_case):
    data, splits = svhn_case(unlabelled_from=OWN_SPLIT)
    source = load_source(data)
    assert source.classes == tuple("0123456789")
    for name, images, labels in (
        ("train", source.train.images, source.train.labels),
        ("test", source.test.images, source.test.labels),
        ("extra", source.unlabelled, source.unlabelled_labels),
    ):
        np.testing.assert_array_equal(images, splits[name][0])
        np.testing.assert_array_equal(labels, splits[name][1])
        assert labels.dtype == np.int64


def test_svhn_is_resized_by_pillow(svhn_case):
    data, splits = svhn_case()
    expected = Image.fromarray(splits["train"][0][3]).resize((12, 12), Image.Resampling.BICUBIC)
    source = load_source(data.model_copy(update={"image_size": 12}))
    np.testing.assert_array_equal(source.train.images[3], expected)


def test_svhn_extra_is_not_touched_without_need(svhn_case, tmp_path):
    data, _ = svhn_case()
    (tmp_path / "extra_32x32.mat").write_bytes(b"damaged")
    assert load_source(data).unlabelled is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y": np.full((19, 1), 11)}, r"labels 11 to 11, expected 1 to 10"),
        ({"y": np.zeros((19, 1))}, r"labels 0 to 0, expected 1 to 10"),
        ({"y": np.ones((18, 1))}, r"X is uint8 \(32, 32, 3, 19\) beside 18 labels"),
        ({"X": np.zeros((32, 32, 3, 19))}, r"X is float64 \(32, 32, 3, 19\)"),
        ({"X": np.zeros((16, 16, 3, 19), np.uint8)}, r"X is uint8 \(16, 16, 3, 19\)"),
        ({"X": np.zeros((32, 32, 3, 0), np.uint8), "y": np.zeros((0, 1))}, "labels none"),
    ],
)
def test_svhn_wrong_content(svhn_case, change, message):
    with pytest.raises(DataError, match=rf"test_32x32\.mat: {message}"):
        load_source(svhn_case(change=change)[0])


def test_svhn_damaged_file_of_the_right_hash(svhn_case, tmp_path):
    data, _ = svhn_case()
    path = tmp_path / "train_32x32.mat"
    path.write_bytes(path.read_bytes()[:5000])
    data.sha256[path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
    with pytest.raises(DataError, match=r"train_32x32\.mat: cannot be read as a MATLAB file"):
        load_source(data)


def test_svhn_unknown_file_name(data_params):
    with pytest.raises(ParamsError, match=r"data\.sha256: svhn has no file train\.mat; the names are train_32x32"):
        load_source(data_params(source="svhn", sha256={"train.mat": "0" * 64}))


def test_svhn_files_are_downloaded(svhn_case, server, monkeypatch, tmp_path):
    data, splits = svhn_case()
    for name in ("train_32x32.mat", "test_32x32.mat"):
        server.files[name] = (tmp_path / name).read_bytes()
    monkeypatch.setattr(svhn, "URL", server.url)
    source = load_source(data.model_copy(update={"root": str(tmp_path / "root")}))
    np.testing.assert_array_equal(source.test.images, splits["test"][0])
    assert [name for name, _ in server.requests] == ["train_32x32.mat", "test_32x32.mat"]


def test_unlabelled_from_replaces_the_own_truth(svhn_case, tmp_path):
    Image.new("L", (32, 32), 1).save(tmp_path / "0.png")
    source = load_source(svhn_case(unlabelled_from=str(tmp_path))[0])
    assert len(source.unlabelled) == 1
    assert source.unlabelled_labels is None

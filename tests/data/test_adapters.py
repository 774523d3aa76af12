"""Every source, and every way in which it can be wrong."""

import hashlib
import tarfile
from pathlib import Path

import numpy as np
import pytest
import sklearn.datasets
from PIL import Image
from scipy.io import savemat

from noisy_student.data import cifar10, svhn
from noisy_student.data.sources import load_source
from noisy_student.errors import DataError, DownloadError
from noisy_student.params import OWN_SPLIT


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


@pytest.fixture
def cifar10_case(tmp_path, random_images, write_cifar10, data_params, monkeypatch):
    """Write a small archive; return (parameters, train, test)."""
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))

    def make(*, image_size=32, **archive):
        train, test = random_images(25), random_images(10, seed=1)
        sha256 = write_cifar10(tmp_path / "root", train, test, **archive)
        root = str(tmp_path / "root")
        return data_params(source="cifar10", root=root, image_size=image_size, sha256=sha256), train, test

    return make


def test_cifar10_reads_the_archive(cifar10_case):
    data, train, test = cifar10_case()
    source = load_source(data)
    np.testing.assert_array_equal(source.train.images, train[0])
    np.testing.assert_array_equal(source.train.labels, train[1])
    np.testing.assert_array_equal(source.test.images, test[0])
    np.testing.assert_array_equal(source.test.labels, test[1])
    assert source.train.labels.dtype == np.int64
    assert [p.name for p in Path(data.root).iterdir()] == ["cifar-10-binary.tar.gz"]  # nothing unpacked


def test_cifar10_is_resized_by_pillow(cifar10_case):
    data, train, _ = cifar10_case(image_size=12)
    expected = Image.fromarray(train[0][3]).resize((12, 12), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(load_source(data).train.images[3], expected)


def test_cifar10_class_names(cifar10_case):
    names = tuple("abcdefghij")
    assert load_source(cifar10_case(meta=names)[0]).classes == names
    assert load_source(cifar10_case(skip=["batches.meta.txt"])[0]).classes[3] == "cat"


RECORD = bytes(3073)


@pytest.mark.parametrize(
    ("archive", "message"),
    [
        ({"skip": ["data_batch_3.bin"]}, r"member data_batch_3\.bin is missing"),
        ({"skip": ["test_batch.bin"]}, r"member test_batch\.bin is missing"),
        ({"change": {"test_batch.bin": RECORD[:-1]}}, "3,072 bytes, expected a multiple of 3,073"),
        ({"change": {"test_batch.bin": b""}}, "0 bytes, expected a multiple of 3,073"),
        ({"change": {"test_batch.bin": RECORD + b"\x0a" + RECORD[1:]}}, "record 1 has the label 10"),
        ({"change": {"test_batch.bin": RECORD * 10_001}}, r"30,733,073 bytes, .* at most 30,730,000"),
        (
            {"change": {"more/data_batch_1.bin": RECORD}},
            r"more/data_batch_1\.bin: 3,073 bytes, expected once",
        ),
        ({"meta": ("cat", "dog")}, "expected 10 different class names, found 2: cat, dog"),
    ],
)
def test_cifar10_archive_with_wrong_content(cifar10_case, archive, message):
    data, _, _ = cifar10_case(**archive)
    with pytest.raises(DataError, match=rf"cifar-10-binary\.tar\.gz.*{message}"):
        load_source(data)


def test_cifar10_of_the_official_size_is_accepted(cifar10_case):
    data, _, _ = cifar10_case(change={"test_batch.bin": RECORD * 10_000})
    assert len(load_source(data).test.images) == 10_000


@pytest.mark.parametrize("content", ["truncated", "text"])
def test_cifar10_damaged_archive_of_the_right_hash(cifar10_case, content):
    data, _, _ = cifar10_case()
    path = Path(data.root, "cifar-10-binary.tar.gz")
    path.write_bytes(path.read_bytes()[:50_000] if content == "truncated" else b"no archive")
    data = data.model_copy(update={"sha256": hashlib.sha256(path.read_bytes()).hexdigest()})
    with pytest.raises(DataError, match=r"cifar-10-binary\.tar\.gz: truncated, or no \.tar\.gz"):
        load_source(data)


def test_cifar10_archive_of_another_hash_is_refused_before_it_is_opened(cifar10_case):
    data, _, _ = cifar10_case()
    path = Path(data.root, "cifar-10-binary.tar.gz")
    path.write_bytes(path.read_bytes()[:50_000])
    with pytest.raises(DataError, match=rf"SHA-256 expected {data.sha256}, found"):
        load_source(data)


def test_cifar10_expects_the_official_archive_by_default(cifar10_case):
    data, _, _ = cifar10_case()
    with pytest.raises(DataError, match="SHA-256 expected c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9"):
        load_source(data.model_copy(update={"sha256": None}))


def test_cifar10_links_in_the_archive_are_not_followed(cifar10_case, tmp_path):
    data, _, _ = cifar10_case(skip=["test_batch.bin"])
    (tmp_path / "secret").write_bytes(RECORD)
    path = Path(data.root, "cifar-10-binary.tar.gz")
    with tarfile.open(path, "w:gz") as tar:
        link = tarfile.TarInfo("test_batch.bin")
        link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path / "secret")
        tar.addfile(link)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    with pytest.raises(DataError, match="is missing"):
        load_source(data.model_copy(update={"sha256": sha256}))


@pytest.mark.parametrize("name", ["cifar-10-python.tar.gz", "cifar-10-batches-py"])
def test_cifar10_pickles_are_refused(data_params, tmp_path, name):
    (tmp_path / name).mkdir()
    with pytest.raises(DataError, match=rf"{name}: the version for Python holds pickles.*binary\.tar\.gz"):
        load_source(data_params(source="cifar10", root=str(tmp_path)))


def test_cifar10_is_downloaded(cifar10_case, server, monkeypatch, tmp_path):
    data, train, _ = cifar10_case()
    path = Path(data.root, "cifar-10-binary.tar.gz")
    server.files[path.name] = path.read_bytes()
    path.unlink()
    monkeypatch.setattr(cifar10, "URL", f"{server.url}/{path.name}")
    np.testing.assert_array_equal(load_source(data).train.images, train[0])
    assert (tmp_path / "data" / "downloads" / path.name).exists()
    assert list(Path(data.root).iterdir()) == []


def test_cifar10_missing_archive(data_params, server, monkeypatch, tmp_path):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.setattr(cifar10, "URL", f"{server.url}/cifar-10-binary.tar.gz")
    with pytest.raises(DownloadError, match=r"404.*cifar-10-binary\.tar\.gz .*data\.root"):
        load_source(data_params(source="cifar10", root=str(tmp_path / "root")))


@pytest.mark.parametrize("source", ["cifar10", "svhn"])
def test_kind_of_sha256_must_fit_the_source(data_params, source):
    given = {"train_32x32.mat": "0" * 64} if source == "cifar10" else "0" * 64
    with pytest.raises(DataError, match=r"data\.sha256"):
        load_source(data_params(source=source, sha256=given))


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
    with pytest.raises(
        DataError, match=r"data\.sha256: svhn has no file train\.mat; the names are train_32x32"
    ):
        load_source(data_params(source="svhn", sha256={"train.mat": "0" * 64}))


def test_svhn_files_are_downloaded(svhn_case, server, monkeypatch, tmp_path):
    data, splits = svhn_case()
    for name in ("train_32x32.mat", "test_32x32.mat"):
        server.files[name] = (tmp_path / name).read_bytes()
    monkeypatch.setattr(svhn, "URL", server.url)
    source = load_source(data.model_copy(update={"root": str(tmp_path / "root")}))
    np.testing.assert_array_equal(source.test.images, splits["test"][0])
    assert [name for name, _ in server.requests] == ["train_32x32.mat", "test_32x32.mat"]


@pytest.fixture
def tree(tmp_path, data_params):
    """Write grey PNGs given as {path: grey level}; return the parameters."""

    def make(greys, **values):
        for name, grey in greys.items():
            path = tmp_path / "root" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("L", (10, 10), grey).save(path, "PNG")
        (tmp_path / "root").mkdir(exist_ok=True)
        return data_params(source="folder", root=str(tmp_path / "root"), **values)

    return make


GOOD = {
    "train/dog/0.png": 1,
    "train/cat/0.png": 2,
    "train/cat/1.png": 3,
    "test/cat/0.png": 4,
    "test/dog/0.png": 5,
}


def test_folder_reads_the_tree(tree):
    more = {"val/dog/0.png": 6, "val/cat/0.png": 7, "unlabelled/a/b.png": 8, "unlabelled/c.png": 9}
    source = load_source(tree({**GOOD, **more}, validation=None, unlabelled_from=OWN_SPLIT))
    assert source.classes == ("cat", "dog")
    for split, greys, labels in (
        (source.train, [2, 3, 1], [0, 0, 1]),
        (source.test, [4, 5], [0, 1]),
        (source.validation, [7, 6], [0, 1]),
    ):
        assert split.images[:, 0, 0, 0].tolist() == greys
        assert split.labels.tolist() == labels
        assert split.images.shape[1:] == (8, 8, 3)
    assert source.unlabelled[:, 0, 0, 0].tolist() == [8, 9]
    assert source.unlabelled_labels is None
    assert source.unreadable == ()


def test_folder_does_not_read_what_is_not_asked_for(tree):
    source = load_source(tree({**GOOD, "val/dog/0.png": 6, "unlabelled/c.png": 9}))
    assert (source.validation, source.unlabelled) == (None, None)


def test_folder_names_what_it_skips(tree, tmp_path):
    data = tree({**GOOD, "train/flat.png": 1, "unlabelled/c.png": 9}, unlabelled_from=OWN_SPLIT)
    (tmp_path / "root/train/cat/empty.jpg").write_bytes(b"")
    (tmp_path / "root/train/cat/.hidden").write_bytes(b"")
    (tmp_path / "root/unlabelled/x").mkdir()
    (tmp_path / "root/unlabelled/x/notes.txt").write_text("notes")
    assert load_source(data).unreadable == (
        "train/flat.png: not in the folder of a class",
        "train/cat/empty.jpg: an empty file, 0 bytes",
        "unlabelled/x/notes.txt: not an image that Pillow can read",
    )


@pytest.mark.parametrize(
    ("without", "more", "message"),
    [
        ("train/", {}, r"root: there is no folder train/"),
        ("test/", {}, r"root: there is no folder test/"),
        ("test/dog/", {}, r"test/dog: no readable image \(found none\).*in test/"),
        ("", {"test/emu/0.png": 1}, r"test: the class emu is not in train/, which has cat, dog"),
        ("", {"val/emu/0.png": 1}, r"val: the class emu is not in train/"),
        ("", {"val/cat/0.png": 1}, r"val/dog: no readable image"),
    ],
)
def test_folder_with_a_wrong_tree(tree, without, more, message):
    greys = {name: grey for name, grey in GOOD.items() if not (without and name.startswith(without))}
    with pytest.raises(DataError, match=message):
        load_source(tree({**greys, **more}, validation=None))


def test_folder_without_any_class(tree, tmp_path):
    data = tree({"test/cat/0.png": 1})
    (tmp_path / "root/train").mkdir()
    with pytest.raises(DataError, match=r"train: empty, no class folder"):
        load_source(data)


def test_folder_class_with_unreadable_images_only(tree, tmp_path):
    data = tree(GOOD)
    (tmp_path / "root/train/dog/0.png").write_bytes(b"")
    with pytest.raises(
        DataError, match=r"train/dog: no readable image \(found 1 unreadable, e\.g\. 0\.png: an emp"
    ):
        load_source(data)


@pytest.mark.parametrize("empty", [False, True])
def test_folder_without_unlabelled_images(tree, tmp_path, empty):
    data = tree(GOOD, unlabelled_from=OWN_SPLIT)
    if empty:
        (tmp_path / "root/unlabelled").mkdir()
    with pytest.raises(DataError, match=r"data\.unlabelled_from=.*has no unlabelled images of its own"):
        load_source(data)


def test_unlabelled_from_any_folder(data_params, tmp_path):
    for name, grey in (("x/y/1.png", 1), ("0.png", 0)):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (20, 10), grey).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("notes")
    source = load_source(data_params(unlabelled_from=str(tmp_path)))
    assert source.unlabelled[:, 0, 0, 0].tolist() == [0, 1]
    assert source.unlabelled.shape == (2, 8, 8, 3)
    assert source.unlabelled_labels is None
    assert source.unreadable == (f"{tmp_path}/notes.txt: not an image that Pillow can read",)


def test_unlabelled_from_replaces_the_own_truth(svhn_case, tmp_path):
    Image.new("L", (32, 32), 1).save(tmp_path / "0.png")
    source = load_source(svhn_case(unlabelled_from=str(tmp_path))[0])
    assert len(source.unlabelled) == 1
    assert source.unlabelled_labels is None


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


def test_path_that_the_system_refuses(data_params):
    with pytest.raises(DataError, match=r"data\.unlabelled_from=xxx"):
        load_source(data_params(unlabelled_from="x" * 5000))

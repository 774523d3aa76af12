"""CIFAR-10 from small archives, and every way in which an archive can be wrong."""

import gzip
import hashlib
import tarfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from noisy_student.runtime.errors import DataError, DownloadError
from noisy_student.sources.adapters import cifar10
from noisy_student.sources.loading import load_source


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
        ({"meta": tuple("abcdefghii")}, "expected 10 different class names, found 10"),
        ({"meta": tuple("abcdefghijj")}, "expected 10 different class names, found 11"),
    ],
)
def test_cifar10_archive_with_wrong_content(cifar10_case, archive, message):
    data, _, _ = cifar10_case(**archive)
    with pytest.raises(DataError, match=rf"cifar-10-binary\.tar\.gz.*{message}"):
        load_source(data)


def test_cifar10_of_the_official_size_is_accepted(cifar10_case):
    data, _, _ = cifar10_case(change={"test_batch.bin": RECORD * 10_000})
    assert len(load_source(data).test.images) == 10_000


def damaged_stream(content):
    """A gzip stream that holds the first 300,000 bytes of the archive and then nonsense."""
    packer = zlib.compressobj(wbits=31)
    head = packer.compress(gzip.decompress(content)[:300_000]) + packer.flush(zlib.Z_FULL_FLUSH)
    return head + b"\xff" * 1000


DAMAGES = {
    "truncated": lambda content: content[:50_000],
    "text": lambda _: b"no archive",
    "stream": damaged_stream,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_cifar10_damaged_archive_of_the_right_hash(cifar10_case, damage):
    data, _, _ = cifar10_case(change={"test_batch.bin": RECORD * 200})
    path = Path(data.root, "cifar-10-binary.tar.gz")
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
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
    assert (tmp_path / "data/prepared/downloads" / path.name).exists()
    assert list(Path(data.root).iterdir()) == []


def test_cifar10_missing_archive(data_params, server, monkeypatch, tmp_path):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.setattr(cifar10, "URL", f"{server.url}/cifar-10-binary.tar.gz")
    with pytest.raises(DownloadError, match=r"404.*cifar-10-binary\.tar\.gz .*data\.root"):
        load_source(data_params(source="cifar10", root=str(tmp_path / "root")))

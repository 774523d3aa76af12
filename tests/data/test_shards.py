"""Images in shards: the same pixels, whatever is asked for, and no damage goes unseen."""

import gc
import io
import json
import os
import tarfile
import zlib

import numpy as np
import pytest
from PIL import Image

from noisy_student.data import shards
from noisy_student.data.arrays import open_images, open_labelled
from noisy_student.data.views import RawImages, Subset
from noisy_student.runtime import environment
from noisy_student.runtime.checkpoints import Checkpoints
from noisy_student.runtime.errors import DataError
from noisy_student.sources.prepare import prepare
from noisy_student.sources.staging import ShardReader

SPLITS = ("labelled", "validation", "unlabelled", "test")


def _photographs(number, side=16):
    """Smooth random images, as JPEG is made for."""
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (number, 4, 4, 3), np.uint8)
    return np.stack([Image.fromarray(i).resize((side, side), Image.Resampling.BICUBIC) for i in small])


@pytest.fixture
def images():
    return _photographs(40)


@pytest.fixture
def written(images, tmp_path):
    """The images in five shards, in another order."""
    rows = np.random.default_rng(1).permutation(len(images))
    shards.write_shards(tmp_path / "s", RawImages(images), rows, encoding="png", shard_bytes=12_000)
    return tmp_path / "s", images[rows]


def _prepare(data, out, tmp_path):
    if data.store == "arrays":
        return prepare(data, out)
    kept = Checkpoints(tmp_path / "kept", keep=None)
    return prepare(data, out, read=ShardReader(kept, encoding="png", size=data.image_size, resize="squash"))


def test_they_are_read_like_an_array(written):
    folder, expected = written
    found = open_images(folder)
    assert (len(found), found.shape, found[:].dtype) == (40, (40, 16, 16, 3), np.uint8)
    assert len(list(folder.glob("*.tar"))) == 5
    rows = np.array([39, 0, 7, 7, 12])
    for asked in (slice(None), slice(3, 9), slice(5, 5), rows, rows[:0], 0, 39, np.int64(4), -1):
        np.testing.assert_array_equal(found[asked], expected[asked])
    np.testing.assert_array_equal(Subset(found, rows)[1:4], expected[rows[1:4]])


def test_the_bytes_are_those_that_tarfile_writes(tmp_path):
    writer = shards.TarWriter(tmp_path / "ours.tar", encoding="png", first=7)
    contents = [bytes(range(n % 256)) * 3 for n in (1, 0, 200, 171, 128, 512 // 3)]
    places = [writer.add(content) for content in contents]
    crc32 = writer.close()
    with tarfile.open(tmp_path / "theirs.tar", "w", format=tarfile.USTAR_FORMAT) as tar:
        for row, content in enumerate(contents, start=7):
            member = tarfile.TarInfo(f"{row:09d}.png")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    data = (tmp_path / "ours.tar").read_bytes()
    assert data == (tmp_path / "theirs.tar").read_bytes()
    assert (writer.size, crc32) == (len(data), zlib.crc32(data))
    assert [data[at : at + length] for at, length, _ in places] == contents


def test_more_shards_than_files_may_be_open(written, monkeypatch):
    folder, expected = written
    monkeypatch.setattr(shards, "OPEN_FILES", 2)
    np.testing.assert_array_equal(open_images(folder)[:], expected)


@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning", "error::ResourceWarning")
def test_shards_are_closed_with_the_last_that_reads_them(written):
    found = open_images(written[0])
    found[:]
    files = [*found._open.values()]
    assert len(files) == 5
    del found
    gc.collect()
    assert all(file.closed for file in files)


def test_any_program_opens_them(written):
    folder, expected = written
    row = 0
    for path in sorted(folder.glob("*.tar")):
        with tarfile.open(path) as tar:
            for member in tar:
                assert member.name == f"{row:09d}.png"
                np.testing.assert_array_equal(Image.open(tar.extractfile(member)), expected[row])
                row += 1
    assert row == 40


def test_jpeg_is_decoded_as_pillow_does_and_close_to_the_image(images, tmp_path):
    shards.write_shards(tmp_path / "s", RawImages(images), np.arange(40), encoding="jpeg")
    found = open_images(tmp_path / "s")
    with tarfile.open(tmp_path / "s/shard-00000.tar") as tar:
        pillow = np.stack([Image.open(tar.extractfile(member)) for member in tar])
    np.testing.assert_array_equal(found[:], pillow)
    assert np.abs(found[:].astype(int) - images).mean() < 3
    assert (found[:] != images).any()


def test_copies_of_encoded_images_are_the_same_bytes(images, written, tmp_path):
    folder, expected = written
    rows = np.array([5, 3, 8])
    for name, source in (
        ("a", RawImages(expected)),
        ("b", open_images(folder)),
        ("c", Subset(open_images(folder), np.arange(40))),
    ):
        shards.write_shards(tmp_path / name, source, rows, encoding="png")
    for file in ("shard-00000.tar", "index.npy", "shards.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "c" / file).read_bytes()
    shards.write_shards(tmp_path / "d", open_images(folder), rows, encoding="jpeg")
    assert open_images(tmp_path / "d").encoded(0, "jpeg").startswith(b"\xff\xd8\xff")  # a JPEG file
    assert np.abs(open_images(tmp_path / "d")[:].astype(int) - expected[rows]).mean() < 3


@pytest.mark.parametrize("source", ["digits", "folder"])
def test_the_same_splits_as_arrays(source, data_params, tmp_path):
    rng = np.random.default_rng(0)
    values = {}
    if source == "folder":
        for split, number in (("train", 20), ("test", 8)):
            for name in ("cat", "dog"):
                (tmp_path / "tree" / split / name).mkdir(parents=True)
                for i in range(number):
                    image = Image.fromarray(rng.integers(0, 256, (11, 9, 3), np.uint8))
                    image.save(tmp_path / "tree" / split / name / f"{i}.png")
        (tmp_path / "tree/train/dog/7.png").write_bytes(b"no image")
        twin = (tmp_path / "tree/test/cat/1.png").read_bytes()
        (tmp_path / "tree/train/cat/2.png").write_bytes(twin)  # a duplicate of a test image
        values = {
            "source": "folder",
            "root": str(tmp_path / "tree"),
            "labelled": 10,
            "validation": 8,
            "test": None,
        }
    reports = {
        store: _prepare(data_params(store=store, **values), tmp_path / store, tmp_path)
        for store in ("arrays", "shards")
    }
    assert reports["arrays"] == reports["shards"]
    for split in SPLITS:
        np.testing.assert_array_equal(
            open_images(tmp_path / "arrays" / split), open_images(tmp_path / "shards" / split)[:]
        )
        if split != "unlabelled":
            both = [open_labelled(tmp_path / store / split).labels for store in ("arrays", "shards")]
            np.testing.assert_array_equal(*both)
    if source == "folder":
        assert reports["shards"]["duplicates_dropped"]["of_test"]["from_train"] == 1
        assert len(reports["shards"]["unreadable"]) == 1


def test_another_store_leaves_nothing_of_the_one_before(data_params, tmp_path):
    for store in ("arrays", "shards", "arrays"):
        _prepare(data_params(store=store), tmp_path / "out", tmp_path)
        names = {path.name for path in (tmp_path / "out/labelled").iterdir()}
        kinds = {"arrays": {"images.npy"}, "shards": {"shard-00000.tar", "index.npy", "shards.json"}}
        assert names == kinds[store] | {"labels.npy"}


def _damage(path, *, at=600):
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("cores", [{3, 5}, None])
def test_as_many_threads_decode_as_the_process_has_cores(monkeypatch, cores):
    """None: where the system does not say which they are."""
    monkeypatch.setattr(os, "cpu_count", lambda: 7)
    if cores:
        monkeypatch.setattr(os, "sched_getaffinity", lambda process: cores, raising=False)
    else:
        monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert environment.threads() == (2 if cores else 7)


def test_a_damaged_shard_is_named(written):
    folder, expected = written
    _damage(folder / "shard-00001.tar")
    found = open_images(folder)
    number = json.loads((folder / "shards.json").read_text())["shards"][0]["images"]
    np.testing.assert_array_equal(found[:number], expected[:number])
    for asked in (number, slice(None)):
        with pytest.raises(DataError, match=r"shard-00001\.tar: damaged, the checksum of the image at byte 512"):
            found[asked]
    with pytest.raises(DataError, match=r"shard-00001\.tar: damaged.*dvc checkout --force"):
        found.encoded(number, "png")


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-512]), "bytes, expected"),
        (lambda path: path.unlink(), "there is no such shard"),
    ],
)
def test_a_shard_that_is_cut_off_or_missing_is_named_before_anything_is_read(written, fault, message):
    folder, _ = written
    fault(folder / "shard-00003.tar")
    with pytest.raises(DataError, match=rf"shard-00003\.tar: .*{message}"):
        open_images(folder)


def test_an_index_of_other_shards_is_refused(written, tmp_path, images):
    folder, _ = written
    shards.write_shards(tmp_path / "other", RawImages(images), np.arange(7), encoding="png")
    (folder / "index.npy").write_bytes((tmp_path / "other/index.npy").read_bytes())
    with pytest.raises(DataError, match=r"expected int64 \(40, 4\) .*, found int64 \(7, 4\)"):
        open_images(folder)


FACTS = {
    "a list": lambda facts: [],
    "no shards": lambda facts: facts | {"shards": []},
    "no size": lambda facts: {key: value for key, value in facts.items() if key != "image_size"},
    "another folder": lambda facts: facts | {"shards": [facts["shards"][0] | {"name": "../x.tar"}]},
}


@pytest.mark.parametrize("case", FACTS)
def test_facts_that_prepare_does_not_write(written, case):
    path = written[0] / "shards.json"
    path.write_text(json.dumps(FACTS[case](json.loads(path.read_text()))))
    with pytest.raises(DataError, match=r"shards\.json: not what `prepare` writes"):
        open_images(written[0])


def test_a_damaged_index_is_seen(written):
    _damage(written[0] / "index.npy", at=300)
    with pytest.raises(DataError, match=r"index\.npy: expected .* or it is damaged"):
        open_images(written[0])

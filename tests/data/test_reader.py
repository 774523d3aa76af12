"""Reading image files: what was read before a stop is not read again, and nothing stale is taken."""

import errno
import os
import signal

import numpy as np
import pytest
from PIL import Image

from noisy_student.data import shards
from noisy_student.data.images import try_image
from noisy_student.runtime import checkpoints
from noisy_student.runtime.checkpoints import Checkpoints
from noisy_student.runtime.errors import DataError
from noisy_student.runtime.signals import Stopped
from noisy_student.sources import reading_tasks, staging
from noisy_student.sources.reader import MemoryReader, read_folder
from noisy_student.sources.staging import ShardReader, remembering_reader


def _reader(kept):
    return ShardReader(kept, encoding="png", size=8, resize="squash")


@pytest.fixture
def folder(tmp_path):
    """Ten images, of which the fourth cannot be read."""
    made = tmp_path / "images"
    made.mkdir()
    rng = np.random.default_rng(0)
    for number in range(10):
        Image.fromarray(rng.integers(0, 256, (9, 7, 3), np.uint8)).save(made / f"{number}.png")
    (made / "3.png").write_bytes(b"no image")
    return made


@pytest.fixture
def read(folder, tmp_path, monkeypatch, count_files):
    """Read the folder into shards of a few images: what read_folder gives, what was read, checkpoints."""
    monkeypatch.setattr(staging, "SHARD", 2000)
    monkeypatch.setattr(staging, "_CHUNK", 1)

    def run(stop_after=None):
        seen = count_files(reading_tasks, stop_after)
        kept = Checkpoints(tmp_path / "kept", every_minutes=60, keep=None)
        reader = _reader(kept)
        try:
            return read_folder(folder, reader, recursive=False), seen, kept
        except count_files.stop:
            return reader, seen, kept

    return run


def _same_as_an_array(found, folder):
    images, names, unreadable = read_folder(folder, MemoryReader(size=8, resize="squash"), recursive=False)
    np.testing.assert_array_equal(found[0][:], images)
    assert found[1:] == (names, unreadable)


def test_files_are_read_into_shards(folder, read):
    found, seen, kept = read()
    _same_as_an_array(found, folder)
    assert len(seen) == 10
    assert len(kept.numbers()) > 2


def test_a_stopped_reading_goes_on_at_the_shard_where_it_stopped(folder, read):
    _, seen, kept = read(stop_after=7)
    done = kept.numbers()[-1]
    assert 0 < done < 7
    found, seen, kept = read()
    _same_as_an_array(found, folder)
    assert kept.resumed_from > done
    assert seen == [f"{number}.png" for number in range(kept.resumed_from, 10)]
    found, seen, _ = read()  # and again, from the shards of both
    _same_as_an_array(found, folder)
    assert len(seen) < 3  # the last ones were never enough for a shard


def test_a_requested_stop_keeps_what_was_read(folder, tmp_path, monkeypatch, read):
    monkeypatch.setattr(staging, "_CHUNK", 4)

    def stopping(path, **options):
        if path.name == "5.png":
            os.kill(os.getpid(), signal.SIGTERM)
        return try_image(path, **options)

    monkeypatch.setattr(reading_tasks, "try_image", stopping)
    reader = _reader(Checkpoints(tmp_path / "kept", every_minutes=60, keep=None))
    with pytest.raises(Stopped, match="need not be read again") as stop:
        read_folder(folder, reader, recursive=False)
    assert stop.value.number == signal.SIGTERM
    found, seen, kept = read()
    _same_as_an_array(found, folder)
    assert (seen, kept.resumed_from) == (["8.png", "9.png"], 8)


def test_a_full_disk_is_named(folder, read, monkeypatch):
    def full(self, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shards.TarWriter, "add", full)
    with pytest.raises(DataError, match=r"kept: the images cannot be kept there \(No space left on device\)"):
        read()


def test_a_disk_that_is_full_in_a_shard_is_named_and_nothing_is_left(folder, data_params, tmp_path, monkeypatch):
    def full(self, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.setattr(shards.TarWriter, "_write", full)  # so the shard cannot be ended either
    with (
        pytest.raises(DataError, match="the images cannot be kept there"),
        remembering_reader(data_params(), every_minutes=60) as read,
    ):
        read_folder(folder, read, recursive=False)
    assert checkpoints.present() == []


def test_too_large_images_are_refused_by_every_thread(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 5_000)
    (tmp_path / "images").mkdir()
    for number in range(120):
        Image.new("RGB", (90, 90) if number % 2 else (60, 60)).save(tmp_path / "images" / f"{number:03}.png")
    reader = _reader(Checkpoints(tmp_path / "kept", keep=None))
    images, names, unreadable = read_folder(tmp_path / "images", reader, recursive=False)
    assert names == [f"{number:03}.png" for number in range(0, 120, 2)]
    assert len(images) == len(unreadable) == 60
    assert unreadable[0] == "001.png: 8,100 pixels: a decompression bomb, it exceeds limit 5,000"


def test_a_damaged_staged_shard_is_made_again(folder, read, tmp_path, capsys):
    read(stop_after=9)
    tars = sorted((tmp_path / "kept").glob("*.tar"))
    content = bytearray(tars[1].read_bytes())
    content[-600] ^= 1
    tars[1].write_bytes(content)
    found, seen, _ = read()
    _same_as_an_array(found, folder)
    assert seen[0] == f"{int(tars[1].stem)}.png"
    assert f"{tars[1].name} is damaged" in capsys.readouterr().out


def test_a_changed_file_is_read_again_with_all_after_it(folder, read):
    read(stop_after=9)
    Image.new("RGB", (9, 9), "red").save(folder / "4.png")
    found, seen, _ = read()
    assert seen == [f"{number}.png" for number in range(4, 10)]
    _same_as_an_array(found, folder)
    found, seen, _ = read()
    assert len(seen) < 4
    _same_as_an_array(found, folder)


def test_stopped_again_in_a_shard_that_takes_another_ones_place(folder, read, tmp_path, capsys):
    read(stop_after=9)
    second = int(sorted((tmp_path / "kept").glob("*.tar"))[1].stem)
    Image.new("RGB", (9, 9), "red").save(folder / f"{second}.png")
    read(stop_after=1)
    found, seen, _ = read()
    assert seen[0] == f"{second}.png"
    assert "damaged" not in capsys.readouterr().out
    _same_as_an_array(found, folder)


@pytest.mark.parametrize("store", ["arrays", "shards"])
def test_the_stage_reads_what_lies_there_whatever_the_store(folder, data_params, tmp_path, monkeypatch, store):
    """Pixels of arrays go through shards that lose nothing, whatever the encoding of `data.store: shards`."""
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    data = data_params(store=store, encoding="jpeg")
    with remembering_reader(data, every_minutes=0) as read:
        images, *rest = read_folder(folder, read, recursive=False)
        found = images[:]
        (entry,) = checkpoints.present()
        assert (entry["stage"], entry["done"]) == ("prepare", f"{len(list(folder.iterdir()))} image files")
    expected, *others = read_folder(folder, MemoryReader(size=8, resize="squash"), recursive=False)
    assert rest == others
    assert np.array_equal(found, expected) == (store == "arrays")
    assert checkpoints.present() == []


def test_a_reading_that_fails_leaves_no_half_shard(folder, data_params, tmp_path, monkeypatch):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))

    def load(read):
        read_folder(folder, read, recursive=False)
        assert len(list(tmp_path.rglob("*.tar"))) == 1
        raise DataError("the next folder is missing")

    with pytest.raises(DataError), remembering_reader(data_params(), every_minutes=60) as read:
        load(read)
    assert list(tmp_path.rglob("*.tar")) == []

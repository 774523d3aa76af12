"""Reading image files: what was read before a stop is not read again, and nothing stale is taken."""

import numpy as np
import pytest
from PIL import Image

from noisy_student.data.images import read_folder
from noisy_student.runtime.checkpoints import Checkpoints
from noisy_student.sources import reader as module
from noisy_student.sources.reader import ImageReader

SIZE = 8


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


def _read(folder, kept, count_files, *, stop_after=None):
    """Read the folder; return (what read_folder gives, the names that were really read)."""
    seen, reader = count_files(module, stop_after), ImageReader(kept)
    try:
        return read_folder(folder, size=SIZE, resize="squash", recursive=False, read=reader), seen
    except count_files.stop:
        return None, seen


def _kept(tmp_path):
    return Checkpoints(tmp_path / "kept", every_minutes=0, keep=None)


def _same(first, second):
    np.testing.assert_array_equal(first[0], second[0])
    assert first[1:] == second[1:]


def test_a_stopped_reading_goes_on_where_it_stopped(folder, tmp_path, count_files):
    whole = read_folder(folder, size=SIZE, resize="squash", recursive=False)
    assert whole[2] == ["3.png: not an image that Pillow can read"]
    _read(folder, _kept(tmp_path), count_files, stop_after=6)
    kept = _kept(tmp_path)
    found, seen = _read(folder, kept, count_files)
    _same(found, whole)
    assert seen == [f"{number}.png" for number in range(6, 10)]
    assert kept.resumed_from == 6


def test_a_changed_file_is_read_again_with_all_after_it(folder, tmp_path, count_files):
    _read(folder, _kept(tmp_path), count_files, stop_after=8)
    Image.new("RGB", (9, 9), "red").save(folder / "5.png")
    _, seen = _read(folder, _kept(tmp_path), count_files, stop_after=2)
    assert seen == ["5.png", "6.png"]
    found, seen = _read(folder, _kept(tmp_path), count_files)
    assert seen == ["7.png", "8.png", "9.png"]  # the new shards have taken the old ones' place
    _same(found, read_folder(folder, size=SIZE, resize="squash", recursive=False))


def test_a_change_in_the_middle_of_a_shard(folder, tmp_path, count_files):
    kept = Checkpoints(tmp_path / "kept", every_minutes=60, keep=None)
    reader = ImageReader(kept)
    for number in range(8):
        reader(folder / f"{number}.png", size=SIZE, resize="squash")
    reader.save()
    assert kept.numbers() == [0]
    Image.new("RGB", (9, 9), "red").save(folder / "5.png")
    _read(folder, _kept(tmp_path), count_files, stop_after=1)
    found, seen = _read(folder, _kept(tmp_path), count_files)
    assert seen == [f"{number}.png" for number in range(6, 10)]
    _same(found, read_folder(folder, size=SIZE, resize="squash", recursive=False))


def test_a_damaged_shard_is_read_again(folder, tmp_path, count_files, capsys):
    _read(folder, _kept(tmp_path), count_files, stop_after=6)
    shard = sorted((tmp_path / "kept").iterdir())[2]
    shard.write_bytes(shard.read_bytes()[:-9])
    found, seen = _read(folder, _kept(tmp_path), count_files)
    assert seen == [f"{number}.png" for number in range(2, 10)]
    assert "damaged" in capsys.readouterr().err
    _same(found, read_folder(folder, size=SIZE, resize="squash", recursive=False))


def test_memory_is_bounded(folder, tmp_path, monkeypatch, count_files):
    monkeypatch.setattr(module, "SHARD", 3 * SIZE * SIZE * 3)
    kept = Checkpoints(tmp_path / "kept", every_minutes=60, keep=None)
    _read(folder, kept, count_files)
    assert kept.numbers() == [0, 3, 7]  # file 3 has no pixels

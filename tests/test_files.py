"""Files: never half-written, never a pickle."""

import errno
import os

import numpy as np
import pytest

from noisy_student.runtime import files
from noisy_student.runtime.errors import DataError
from noisy_student.runtime.seeds import derive_seed, generator


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "a.json"
    files.write_json(path, {"old": 1})
    with pytest.raises(TypeError):
        files.write_json(path, {"new": object()})
    with pytest.raises(RuntimeError):
        _write_half(path)
    assert files.read_json(path) == {"old": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def _write_half(path):
    with files.atomic_path(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError


def test_what_a_killed_process_has_left_goes_but_not_what_another_host_may_be_writing(tmp_path):
    """Hosts that share a disk have equal process numbers; 4194305 is above the highest one of Linux."""
    with files.atomic_path(tmp_path / "a.json") as temporary:
        own = temporary.name
        temporary.write_text("{}")
    host = own.removeprefix(f".tmp-{os.getpid()}.").removesuffix("-a.json")
    dead, alive, away, other = (
        tmp_path / name
        for name in (
            f".tmp-4194305.{host}-a.json",
            f".tmp-{os.getppid()}.{host}-a.json",
            ".tmp-4194305.00000000-a.json",
            f".tmp-4194305.{host}-b.json",
        )
    )
    for path in (dead, alive, away, other):
        path.write_text("half")
    files.write_json(tmp_path / "a.json", {})
    assert sorted(tmp_path.iterdir()) == sorted([alive, away, other, tmp_path / "a.json"])
    assert [files.is_left_over(path.name) for path in (dead, alive, away, other)] == [True, False, False, True]
    assert files.is_left_over(".tmp-4194305-a.json")  # of what only one host writes
    assert not files.is_left_over(".tmp-export-x")


def test_the_old_file_stays_readable_until_the_new_one_is_whole(tmp_path):
    path = tmp_path / "a.npy"
    files.write_array(path, np.arange(3))
    with files.atomic_path(path) as temporary:
        temporary.write_bytes(b"half")
        np.testing.assert_array_equal(files.read_array(path), [0, 1, 2])
        temporary.write_bytes(path.read_bytes())


def test_arrays_are_memory_mapped_and_read_only(tmp_path):
    files.write_array(tmp_path / "a.npy", np.arange(4))
    array = files.read_array(tmp_path / "a.npy")
    assert isinstance(array, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 1


def test_a_written_map_is_the_file_that_numpy_writes(tmp_path):
    values = np.random.default_rng(0).random((5, 3), np.float32)
    with files.array_writer(tmp_path / "new/a.npy", shape=(5, 3), dtype=np.float32) as array:
        array[:3], array[3:] = values[:3], values[3:]
    np.save(tmp_path / "b.npy", values)
    assert (tmp_path / "new/a.npy").read_bytes() == (tmp_path / "b.npy").read_bytes()
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["a.npy"]


def test_a_map_that_is_not_finished_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "a.npy"
    files.write_array(path, np.arange(3))
    with pytest.raises(RuntimeError):
        _map_half(path)
    np.testing.assert_array_equal(files.read_array(path), [0, 1, 2])
    assert [p.name for p in tmp_path.iterdir()] == ["a.npy"]


def _map_half(path):
    with files.array_writer(path, shape=(3,), dtype=np.int64) as array:
        array[:2] = 7
        np.testing.assert_array_equal(files.read_array(path), [0, 1, 2])  # until it is whole
        raise RuntimeError


def test_a_map_is_on_the_disk_before_it_takes_its_place(tmp_path, monkeypatch):
    calls = []
    for owner, name in ((np.memmap, "flush"), (os, "fsync"), (os, "replace")):
        monkeypatch.setattr(owner, name, _logged(getattr(owner, name), calls))
    with files.array_writer(tmp_path / "a.npy", shape=(3,), dtype=np.int64):
        assert "replace" not in calls
    assert calls[-3:] == ["flush", "fsync", "replace"]


def _logged(function, calls):
    def call(*arguments):
        calls.append(function.__name__)
        return function(*arguments)

    return call


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="this system cannot reserve disk space")
def test_a_full_disk_is_found_before_the_map_is_written(tmp_path, monkeypatch):
    """Later it would be a bus error, which ends the process without a message."""

    def full(descriptor, offset, size):
        raise OSError(28, f"No space left for {size} bytes")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match="left for 8128 bytes"):  # 128 of the header
        _map_thousand(tmp_path / "a.npy")
    assert not list(tmp_path.iterdir())


def _map_thousand(path):
    with files.array_writer(path, shape=(1000,), dtype=np.int64):
        raise AssertionError("the block must not begin")


def test_pickles_are_neither_written_nor_read(tmp_path):
    with pytest.raises(ValueError, match="allow_pickle"):
        files.write_array(tmp_path / "a.npy", np.array([{}], dtype=object))
    with pytest.raises(ValueError, match="objects"):
        files.array_writer(tmp_path / "a.npy", shape=(1,), dtype=object).__enter__()
    assert not list(tmp_path.iterdir())
    np.save(tmp_path / "b.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match=r"b\.npy: not a readable"):
        files.read_array(tmp_path / "b.npy")


def test_a_disk_that_fills_up_is_said_with_the_file(tmp_path):
    with pytest.raises(OSError, match=r"No space left on device: '.*/a\.csv'"), files.atomic_path(tmp_path / "a.csv"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_files_below_a_folder(tmp_path):
    for name in ("b.png", "a/d.png", "a/c.png", ".hidden/e.png", "a/.f.png", "é/g"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "a/up").symlink_to(tmp_path)
    (tmp_path / "same").symlink_to("é")  # one of the two names is passed over
    (tmp_path / "a/nothing.png").symlink_to("nowhere")
    errors = []
    found = [os.path.relpath(path, tmp_path) for path in files.files_below(tmp_path, on_error=errors.append)]
    assert found == ["b.png", "a/c.png", "a/d.png", "a/nothing.png", "same/g"]
    assert errors == []


def test_a_folder_that_cannot_be_listed(tmp_path):
    errors = []
    assert list(files.files_below(tmp_path / "nowhere", on_error=errors.append)) == []
    assert [type(error) for error in errors] == [FileNotFoundError]

    def fail(error):
        raise error

    with pytest.raises(FileNotFoundError):
        list(files.files_below(tmp_path / "nowhere", on_error=fail))


@pytest.mark.parametrize("content", [None, b"", b"{"])
def test_damaged_json_is_named(tmp_path, content):
    if content is not None:
        (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(DataError, match=r"a\.json: cannot be read as JSON"):
        files.read_json(tmp_path / "a.json")


def test_csv_by_hand(tmp_path):
    files.write_csv(tmp_path / "a.csv", [{"class": "a,b", "n": 1}, {"class": "c", "n": 0.5}])
    assert (tmp_path / "a.csv").read_bytes() == b'class,n\n"a,b",1\nc,0.5\n'


def test_seeds_are_a_function_of_their_path():
    """Pinned, since a change would silently change every published figure: printf 0/teacher | sha256sum."""
    assert derive_seed(0, "teacher") == 0x7E680656A51A45EF >> 1
    seeds = {derive_seed(s, *p) for s in range(50) for p in [("a",), ("b",), ("a", "b"), ("a", 1)]}
    assert len(seeds) == 200
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_generators_are_uniform_over_their_paths():
    """First draws of many neighbouring seeds look independent: mean and correlation within 4 sigma."""
    draws = np.array([generator(seed, "noise", step).random() for seed in range(40) for step in range(50)])
    assert abs(draws.mean() - 0.5) < 4 * np.sqrt(1 / 12 / len(draws))
    assert abs(np.corrcoef(draws[:-1], draws[1:])[0, 1]) < 4 / np.sqrt(len(draws))

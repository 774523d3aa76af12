"""Files: never half-written, never a pickle."""

import numpy as np
import pytest

from noisy_student import files
from noisy_student.errors import DataError
from noisy_student.seeds import derive_seed, generator


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


def test_pickles_are_neither_written_nor_read(tmp_path):
    with pytest.raises(ValueError, match="allow_pickle"):
        files.write_array(tmp_path / "a.npy", np.array([{}], dtype=object))
    assert not list(tmp_path.iterdir())
    np.save(tmp_path / "b.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match=r"b\.npy: not a readable"):
        files.read_array(tmp_path / "b.npy")


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

"""`python -m commands.weights` from a real server on this machine: Keras' own hash decides, nothing wrong is left."""

import hashlib

import pytest
from keras.src.applications import efficientnet as shipped

from commands import weights
from noisy_student.runtime.errors import DataError, DownloadError

CONTENT = bytes(range(256)) * 400


@pytest.fixture
def folder(tmp_path, server, monkeypatch):
    """Where they go, with the server in place of Keras' own."""
    server.files["efficientnetb1.h5"] = CONTENT
    monkeypatch.setattr(shipped, "BASE_WEIGHTS_PATH", f"{server.url}/")
    monkeypatch.setitem(shipped.WEIGHTS_HASHES, "b1", (hashlib.md5(CONTENT).hexdigest(), "0" * 32))
    return tmp_path / "weights"


def test_all_sizes_are_shipped():
    assert set(weights.NAMES) == set(shipped.WEIGHTS_HASHES)
    assert all(len(value) == 32 for pair in shipped.WEIGHTS_HASHES.values() for value in pair)


def test_a_file_is_fetched_once(folder, server):
    path = weights.fetch("b1", folder)
    assert path.read_bytes() == CONTENT
    assert [each.name for each in folder.iterdir()] == ["efficientnetb1.h5"]
    with pytest.raises(DataError, match=r"holds efficientnetb1.h5 already. Nothing to do"):
        weights.fetch("b1", folder)
    with pytest.raises(DataError, match="Move it away"):
        weights.fetch("b0", folder)
    assert len(server.requests) == 1


@pytest.mark.parametrize("case", ["another file", "cut", "refused", "not there"])
def test_nothing_is_left_of_what_is_wrong(folder, server, case):
    if case == "another file":
        server.files["efficientnetb1.h5"] = CONTENT[:-1] + b"x"
    elif case == "cut":
        server.cuts = [1000]
    elif case == "refused":
        server.statuses = [403]
    else:
        server.files.clear()
    with pytest.raises(DownloadError, match=r"efficientnetb1.h5: cannot be fetched \(.*put it into"):
        weights.fetch("b1", folder)
    assert not folder.exists() or not list(folder.iterdir())


def test_what_one_command_says(folder, capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["weights", "b1", "--into", str(folder)])
    assert weights.main() == 0
    assert f"-S teacher.weights={folder}/efficientnetb1.h5" in capsys.readouterr().out
    assert weights.main() == 1
    assert capsys.readouterr().err.startswith("error: ")

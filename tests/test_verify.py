"""What `commands.verify` says of two files; tests/pipeline runs it on real stages."""

import numpy as np
import pytest

from commands import verify
from noisy_student.runtime.errors import UserError


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """The folder of the originals, where the process is, and that of the copies."""
    for name in ("here", "copy"):
        (tmp_path / name / "out").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here", tmp_path / "copy"


def compared(folders):
    """{name: what is said} of the folder `out`."""
    found = verify.compare([(folders[0] / "out").relative_to(folders[0])], folders[1])
    return {path.name: said for path, said in found.items()}


def test_files_of_either_side_count(folders):
    (folders[0] / "out/a.txt").write_text("1\n2\n")
    (folders[1] / "out/a.txt").write_text("1\n3\n")
    (folders[0] / "out/only-here").write_text("")
    (folders[1] / "out/only-there").write_text("")
    assert compared(folders) == {
        "a.txt": "line 2: '2', now '3'",
        "only-here": "it was not made",
        "only-there": "it is not here to compare with",
    }


def test_equal_values_in_other_bytes_are_not_identical(folders):
    np.save(folders[0] / "out/zero.npy", np.float32([0.0, 1.0]))
    np.save(folders[1] / "out/zero.npy", np.float32([-0.0, 1.0]))
    np.save(folders[0] / "out/same.npy", np.arange(3))
    np.save(folders[1] / "out/same.npy", np.arange(3))
    assert compared(folders) == {"zero.npy": "the values are equal, the bytes are not", "same.npy": None}


@pytest.mark.parametrize("name", ["model.keras", "array.npy"])
def test_a_damaged_file_differs(folders, name):
    (folders[0] / "out" / name).write_bytes(b"damaged")
    (folders[1] / "out" / name).write_bytes(b"whole")
    assert compared(folders)[name].startswith("one of the two cannot be read")


def test_images_that_a_copy_cannot_reach(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text("data: {root: ../images}\n")
    monkeypatch.setattr(verify, "stage_files", lambda stage: ([tmp_path.parent / "images"], []))
    with pytest.raises(UserError, match=r"data\.root=\.\./images leads out of this folder"):
        verify.verify("prepare")

"""What `commands.verify` says of two files; tests/pipeline runs it on real stages."""

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from ruamel.yaml import YAML

from commands import verify
from noisy_student.runtime.errors import UserError
from support import ROOT, with_values


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


@pytest.mark.parametrize("name", ["data.root", "data.unlabelled_from", "teacher.weights", "eval.extra_tests.sketches"])
def test_images_that_a_copy_cannot_reach(name, digits, tmp_path, monkeypatch):
    """Another one, at an absolute path, is within reach."""
    monkeypatch.chdir(tmp_path)
    others = {"data.root": "/images", "data.unlabelled_from": "/pool", "eval.extra_tests": {"photos": "/photos"}}
    if name.startswith("eval."):
        others["eval.extra_tests"] = {"photos": "/photos", "sketches": "../images"}
    else:
        others[name] = "../images"
    YAML().dump(with_values(digits, others), tmp_path / "params.yaml")
    deps = [tmp_path.parent / "images", Path("/images"), Path("/pool"), Path("/photos"), Path("data/raw/weights")]
    monkeypatch.setattr(verify, "stage_files", lambda stage: (deps, []))
    with pytest.raises(UserError, match=rf"^{re.escape(name)}=\.\./images leads out of this folder"):
        verify.verify("prepare")


def test_images_inside_beside_a_pool_outside_are_within_reach(digits, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    values = with_values(digits, {"data.root": "data/raw/cifar10", "data.unlabelled_from": "/images/pool"})
    YAML().dump(values, tmp_path / "params.yaml")
    verify._check_reachable([Path("data/raw/cifar10"), Path("/images/pool")])


def test_labels_of_the_best_classes_are_compared_field_by_field(folders):
    dtype = np.dtype([("confidence", np.float32), ("classes", np.int16, (2,))])
    first = np.zeros(3, dtype)
    second = first.copy()
    second["classes"][1] = [0, 7]
    for folder, array in zip(folders, (first, second), strict=True):
        np.save(folder / "out/shard-00000.npy", array)
    said = compared(folders)["shard-00000.npy"]
    assert said.startswith("array's classes differs in 1 of 6 values, first at (1, 1)")
    assert said.endswith("largest difference 7")


def test_how_work_is_shared_out_goes_along(tmp_path, monkeypatch):
    """Git ignores the file, and a training that two processes share needs it in the copy, too."""
    monkeypatch.chdir(tmp_path)
    subprocess.run(["git", "init", "-q"], check=True)
    Path(".gitignore").write_text("/launch.yaml\n")
    Path("launch.yaml").write_text("workers: 2\n")
    shutil.copy(ROOT / "params.yaml", ".")
    seen = []

    def run_stage(stage, folder):
        seen.extend(path.name for path in folder.glob("*.yaml"))
        return 1

    monkeypatch.setattr(verify, "stage_files", lambda stage: ([], []))
    monkeypatch.setattr(verify, "run_stage", run_stage)
    with pytest.raises(UserError, match="teacher failed"):
        verify.verify("teacher")
    assert sorted(seen) == ["launch.yaml", "params.yaml"]

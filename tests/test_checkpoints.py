"""Checkpoints: whole or ignored, the last two, apart by what they were made of."""

import contextlib
import importlib.metadata
import json
import os
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from dvc.repo import Repo
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from ruamel.yaml import YAML

import noisy_student
from commands.checkpoints import main as list_or_remove
from commands.deps import imported_names
from noisy_student.runtime import checkpoints, declared_code, environment
from noisy_student.runtime.checkpoints import Checkpoints, opened
from noisy_student.runtime.errors import UserError
from support import ROOT

ARRAYS = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.array([1, 2**63], np.uint64)}


@pytest.fixture(autouse=True)
def _root(tmp_path, monkeypatch):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.chdir(tmp_path)


@settings(max_examples=30, deadline=None)
@given(
    array=arrays.arrays(
        st.sampled_from([np.float32, np.float64, np.uint8, np.int64, np.uint64]),
        arrays.array_shapes(min_dims=0, max_dims=3, min_side=0),
    ),
    meta=st.dictionaries(st.text(), st.floats() | st.integers() | st.none() | st.text()),
)
def test_what_is_saved_comes_back_bit_for_bit(tmp_path_factory, array, meta):
    kept = Checkpoints(tmp_path_factory.mktemp("kept"))
    assert kept.save(7, {"x": array}, meta)
    number, found, rest = kept.newest()
    assert number == 7
    assert found["x"].dtype == array.dtype
    assert found["x"].tobytes() == array.tobytes()
    assert json.dumps(rest) == json.dumps(meta)  # NaN is not equal to itself


def test_the_newest_one_says_how_much_is_saved(tmp_path):
    """A shard's number is that of its first row, so it is not the number that is meant; a part is within the whole."""
    shards = Checkpoints(checkpoints.root() / "pseudolabel@gen1/abc", keep=None)
    for first, end in ((0, 59), (59, 100)):
        shards.save(first, ARRAYS, {}, done=f"{end} of 120 rows")
        assert [entry["done"] for entry in checkpoints.present()] == [f"{end} of 120 rows"]
    shards.within("finetune").save(3, ARRAYS, {}, done="3 of 9 steps of teacher finetune")
    assert [entry["done"] for entry in checkpoints.present()] == ["3 of 9 steps of teacher finetune"]
    newest = max((shards.folder / "finetune").iterdir())
    newest.write_bytes(newest.read_bytes()[:-1])
    assert [entry["done"] for entry in checkpoints.present()] == ["unreadable"]
    assert shards.newest()[2] == {}


def test_a_stage_that_has_saved_nothing_yet_is_listed_so():
    (checkpoints.root() / "teacher/abc").mkdir(parents=True)
    assert [entry["done"] for entry in checkpoints.present()] == ["nothing"]


def test_the_last_two_are_kept_and_no_temporary_file(tmp_path):
    kept = Checkpoints(tmp_path / "kept")
    for number in (1, 20, 300):
        kept.save(number, ARRAYS, {})
    assert kept.numbers() == [20, 300]
    assert len(list(kept.folder.iterdir())) == 2
    shards = Checkpoints(tmp_path / "shards", keep=None)
    for number in (0, 5, 9):
        shards.save(number, ARRAYS, {"n": number})
    assert [(number, meta["n"]) for number, _, meta in shards.in_order()] == [(0, 0), (5, 5), (9, 9)]


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "pickle"])
def test_a_damaged_one_is_named_removed_and_the_one_before_taken(tmp_path, damage, capsys):
    kept = Checkpoints(tmp_path / "kept")
    kept.save(1, ARRAYS, {})
    kept.save(2, ARRAYS, {})
    path = max(kept.folder.iterdir())
    data = bytearray(path.read_bytes())
    if damage == "pickle":
        np.savez(path, array_a=np.array([object()], dtype=object), allow_pickle=True)
    else:
        flipped = bytes(byte ^ (place == 200) for place, byte in enumerate(data))
        path.write_bytes({"cut": data[:-1], "flipped": flipped, "empty": b""}[damage])
    assert kept.newest()[0] == 1
    assert f"{path} is damaged" in capsys.readouterr().err
    assert not path.exists()


def test_a_pickle_with_the_right_checksum_is_refused_too(tmp_path, capsys):
    """Whoever can write the folder can compute a checksum: the loader itself must refuse."""
    kept = Checkpoints(tmp_path / "kept")
    kept.save(1, ARRAYS, {})
    path = max(kept.folder.iterdir())
    path.unlink()
    np.savez(path, array_a=np.array([{"a": 1}], dtype=object), meta=np.zeros(2, np.uint8), allow_pickle=True)
    with path.open("rb") as file:
        found = checkpoints._checksum(file)
    path.rename(path.with_name(f"{path.name[:12]}-{found}.npz"))
    assert kept.newest() is None
    assert "allow_pickle=False" in capsys.readouterr().err


def test_success_removes_everything_failure_keeps_it(tmp_path):
    with pytest.raises(RuntimeError):
        _fail_after_saving()
    assert Checkpoints(tmp_path / "checkpoints/teacher/abc").numbers() == [1]
    with opened("teacher", "abc", every_minutes=0) as kept:
        assert kept.newest()[0] == 1
    assert checkpoints.present() == []
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["locks"]  # which lie there for good


def _fail_after_saving():
    with opened("teacher", "abc", every_minutes=0) as kept:
        kept.save(1, ARRAYS, {})
        raise RuntimeError


def test_a_half_written_one_of_a_killed_process_is_removed(tmp_path):
    folder = tmp_path / "checkpoints/teacher/abc"
    folder.mkdir(parents=True)
    (folder / ".tmp-1-000000000001.npz").write_bytes(b"half")
    with opened("teacher", "abc", every_minutes=0) as kept:
        assert kept.newest() is None
        assert not list(folder.iterdir())


def test_the_version_of_every_package_that_the_library_imports_counts():
    # what is done with finished models writes no checkpoint and no record
    deployment = ROOT / "noisy_student/deployment"
    files = [path for path in (ROOT / "noisy_student").rglob("*.py") if deployment not in path.parents]
    imported = {name.split(".")[0] for path in files for name in imported_names(path)}
    foreign = imported - set(sys.stdlib_module_names) - {"noisy_student", "stages"}
    owners = importlib.metadata.packages_distributions()
    packages = {package for name in foreign for package in owners.get(name, [name])}
    assert {"numpy", "keras", "opencv-python-headless", "numba"} <= packages
    compute_nothing = {"pydantic", "ruamel.yaml", "ruamel.yaml.clib", "tqdm", "psutil", "ray", "fsspec", "aiohttp"}
    assert packages - compute_nothing <= set(environment.PACKAGES)


def test_the_digest_is_that_of_all_that_counts(tmp_path, monkeypatch):
    file = tmp_path / "a.npy"
    file.write_bytes(b"1")

    def now():
        return checkpoints.digest("teacher", {"rate": 0.1}, [file])

    first = now()
    assert now() == first
    assert checkpoints.digest("teacher", {"rate": 0.2}, [file]) != first
    file.write_bytes(b"2")
    assert now() != first
    file.write_bytes(b"1")
    os.utime(file, (0, 0))  # a date is not content
    assert now() == first
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    assert now() != first


STAGES = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]
WITH_CHECKPOINTS = ("prepare", "teacher", "pseudolabel@gen1", "student@gen1", "robustness-teacher", "robustness@gen1")


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A copy of the code, from which the library believes to be loaded."""
    for name in ("noisy_student", "stages"):
        shutil.copytree(ROOT / name, tmp_path / "project" / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("dvc.yaml", ".dvcignore"):
        shutil.copy(ROOT / name, tmp_path / "project")
    monkeypatch.setattr(noisy_student, "__file__", str(tmp_path / "project/noisy_student/__init__.py"))
    monkeypatch.setattr(environment, "fingerprint", dict)  # asking for it takes most of the time
    return tmp_path / "project"


def _code_deps(stage):
    entry = STAGES[stage.partition("@")[0]]
    return [dep for dep in entry.get("do", entry)["deps"] if dep.split("/")[0] in ("noisy_student", "stages")]


@contextlib.contextmanager
def _changed(path):
    before = path.read_bytes()
    path.write_bytes(before + b"# changed\n")
    yield
    path.write_bytes(before)


@pytest.mark.parametrize("stage", WITH_CHECKPOINTS)
def test_the_digest_covers_the_declared_code_and_no_other(project, stage):
    """One file of each declared folder, and each declared file; then all that is not declared, at once."""
    deps, first = [project / dep for dep in _code_deps(stage)], checkpoints.digest(stage, {}, [])
    assert len(deps) >= 6
    for dep in deps:
        path = max(dep.rglob("*.py")) if dep.is_dir() else dep
        with _changed(path):
            assert checkpoints.digest(stage, {}, []) != first, path
    assert checkpoints.digest(stage, {}, []) == first
    others = [path for path in project.rglob("*.py") if not any(path.is_relative_to(dep) for dep in deps)]
    assert any(path.name == "charts.py" for path in others) or stage.startswith("robustness")
    for path in others:
        path.write_text("changed")
    assert checkpoints.digest(stage, {}, []) == first


def test_a_new_file_and_another_name_count_and_the_key_of_a_stage_does_not(project):
    first = checkpoints.digest("student@gen1", {}, [])
    assert checkpoints.digest("student@gen2", {}, []) == first
    (project / "noisy_student/noise/table.csv").touch()
    second = checkpoints.digest("student@gen1", {}, [])
    (project / "noisy_student/noise/table.csv").rename(project / "noisy_student/noise/list.csv")
    assert len({first, second, checkpoints.digest("student@gen1", {}, [])}) == 3


LEFT_OVER = ("__pycache__/a.cpython-312.pyc", "a.pyc", "a.py~", ".a.py.swp", ".ipynb_checkpoints/a.py", ".tmp-1-a.py")


def test_what_dvc_ignores_does_not_count(project):
    first = checkpoints.digest("teacher", {}, [])
    for name in LEFT_OVER:
        (project / "noisy_student/noise" / name).parent.mkdir(exist_ok=True)
        (project / "noisy_student/noise" / name).write_text("changed")
    assert checkpoints.digest("teacher", {}, []) == first
    folder, repo = project / "noisy_student/noise", Repo.init(project, no_scm=True)
    seen_by_dvc = {Path(path) for path in repo.dvcignore.find(repo.fs, str(folder))}
    repo.close()
    assert {path for path in declared_code.files_of("teacher").values() if path.is_relative_to(folder)} == seen_by_dvc


@pytest.mark.parametrize("mistake", ["gone", "empty"])
def test_declared_code_that_is_not_there_is_an_error(project, mistake):
    shutil.rmtree(project / "noisy_student/noise")
    if mistake == "empty":
        (project / "noisy_student/noise").mkdir()
    with pytest.raises(UserError, match=r"noisy_student/noise: no code there.*stage teacher"):
        checkpoints.digest("teacher", {}, [])


@pytest.mark.parametrize("beside", ["no dvc.yaml", "another project's"])
def test_a_library_without_its_pipeline_counts_as_a_whole(project, beside):
    (project / "dvc.yaml").unlink()
    if beside != "no dvc.yaml":
        (project / "dvc.yaml").write_text("stages: {clean: {cmd: make, deps: [noisy_student/noise]}}")
    first = checkpoints.digest("teacher", {}, [])
    with _changed(project / "noisy_student/drawing/charts.py"):
        assert checkpoints.digest("teacher", {}, []) != first
    with _changed(project / "stages/teacher.py"):
        assert checkpoints.digest("teacher", {}, []) == first


def test_listing_and_removal_leave_what_is_in_use(tmp_path, monkeypatch, capsys):
    for stage in ("teacher", "student@gen1"):
        Checkpoints(checkpoints.root() / stage / "abc").save(1200, ARRAYS, {}, done="1,200 of 1,600 steps")
    with opened("student@gen1", "abc", every_minutes=0) as kept:
        monkeypatch.setattr(sys, "argv", ["checkpoints"])
        list_or_remove()
        shown = capsys.readouterr().out
        assert "teacher" in shown
        assert re.search(r"^teacher .* old  1,200 of 1,600 steps$", shown, re.MULTILINE), shown
        assert "in use" in shown
        monkeypatch.setattr(sys, "argv", ["checkpoints", "--remove"])
        list_or_remove()
        assert kept.numbers() == [1200]
        assert not (tmp_path / "checkpoints/teacher").exists()
        assert [entry["stage"] for entry in checkpoints.present()] == ["student@gen1"]


def test_a_file_that_cannot_be_read_now_is_not_removed(tmp_path, monkeypatch, capsys):
    kept = Checkpoints(tmp_path / "kept")
    kept.save(1, ARRAYS, {})
    kept.save(2, ARRAYS, {})
    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "_checksum", lambda file: os.read(-1, 1))  # EBADF
        assert kept.newest() is None
    assert "cannot be read" in capsys.readouterr().err
    assert kept.newest()[0] == 2


def test_what_keeps_a_checkpoint_from_being_written_is_not_always_room(tmp_path, monkeypatch, capsys):
    def forbidden(descriptor):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "fsync", forbidden)
    kept = Checkpoints(tmp_path / "kept", every_minutes=0)
    assert not kept.save(1, {"a": np.zeros(3)}, {})
    said = capsys.readouterr().err
    assert "no checkpoint could be written ([Errno 13] Permission denied); the work goes on without it. Mend " in said
    assert "room" not in said
    assert list(kept.folder.iterdir()) == []

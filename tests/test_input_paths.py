"""What the parameters name: there, of the right kind, and such that DVC sees every change in it."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from noisy_student.runtime.errors import DataError, ParamsError
from noisy_student.settings import params
from noisy_student.settings.inputs import check_input_path
from noisy_student.settings.schema import POOLS
from noisy_student.sources.listed import read_list
from support import ROOT

NAMES = ("data.root", "data.unlabelled_from", "eval.extra_tests.mine")


@pytest.fixture
def check(changed, tmp_path):
    """A function: check the parameters with this path for one of the three names."""
    (tmp_path / "whole").mkdir()

    def run(name, path):
        values = {"data__root": str(tmp_path / "whole"), "data__unlabelled_from": str(tmp_path / "whole")}
        key = "eval__extra_tests" if "extra" in name else name.replace(".", "__")
        params.check_paths(changed(**values | {key: {"mine": str(path)} if "extra" in name else str(path)}))

    return run


@pytest.fixture
def images(tmp_path):
    """train/cat with an image, and images elsewhere."""
    for folder in ("images/train/cat", "elsewhere/deep"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "images/train/cat/0.png").write_bytes(b"x")
    (tmp_path / "elsewhere/deep/1.png").write_bytes(b"y")
    return tmp_path / "images"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("place", ["dog", "train/dog", "train/cat/more"])
@pytest.mark.parametrize("kind", ["absolute", "relative", "to itself"])
def test_linked_folders_are_refused_with_the_mend(check, images, name, place, kind):
    target = {"absolute": images.parent / "elsewhere", "to itself": images}.get(kind)
    link = images / place
    link.symlink_to(target or os.path.relpath(images.parent / "elsewhere", link.parent))
    with pytest.raises(ParamsError, match=rf"{name}: {link} is a link to the folder.*rm {link} && cp -rs") as error:
        check(name, images)
    if kind != "to itself":
        subprocess.run(str(error.value).rpartition(": ")[2], shell=True, check=True)
        check(name, images)
        assert (link / "deep/1.png").read_bytes() == b"y"


@pytest.mark.parametrize("name", NAMES)
def test_linked_files_and_a_linked_root_are_followed(check, images, name):
    (images / "train/cat/1.png").symlink_to(images.parent / "elsewhere/deep/1.png")
    (images / ".cache").symlink_to(images.parent / "elsewhere")  # hidden: nobody reads it
    (images / ".git/env").mkdir(parents=True)
    (images / ".git/env/lib64").symlink_to(images.parent / "elsewhere")
    (images.parent / "root").symlink_to(images)
    check(name, images)
    check(name, images.parent / "root")


@pytest.mark.parametrize("name", NAMES)
def test_a_path_that_is_not_there_is_named_with_what_is_meant(check, images, name):
    for wrong in ("imagse", "Images", "images "):
        path = images.parent / wrong
        with pytest.raises(ParamsError, match=rf"^{name}={path}: no such file or folder.*Did you mean {images}\?"):
            check(name, path)
    with pytest.raises(ParamsError, match=rf"^{name}=/.*Did you mean {images / 'train'}\?"):
        check(name, images / "trian" / "cat")
    with pytest.raises(ParamsError, match=r"no such file or folder\. Put") as error:
        check(name, images.parent / "quite another")
    assert "Did you mean" not in str(error.value)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("wrong", ["~/images", "\0", "x" * 5000, "nowhere/images"])
def test_paths_that_cannot_be(check, name, wrong):
    with pytest.raises(ParamsError, match=rf"{name}.*(no such file or folder|should match)"):
        check(name, wrong)


@pytest.mark.parametrize("name", NAMES)
def test_a_link_that_leads_nowhere(check, images, name):
    (images.parent / "root").symlink_to("nowhere")
    with pytest.raises(ParamsError, match=rf"^{name}=.*root: a link that leads nowhere"):
        check(name, images.parent / "root")
    (images / "train/cat/1.png").symlink_to("nowhere")
    with pytest.raises(ParamsError, match=rf"^{name}: the link .*1\.png leads nowhere"):
        check(name, images)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "data.unlabelled_from"])
def test_a_file_where_a_folder_is_needed(check, images, name):
    with pytest.raises(ParamsError, match=rf"^{name}=.*expected a folder of images there, found a file"):
        check(name, images / "train/cat/0.png")


def test_a_pool_may_be_a_file_that_is_a_list(check, images):
    check("data.unlabelled_from", images / "train/cat/0.png")
    with pytest.raises(DataError, match=r"0\.png, line 1: x: no such file \(paths are relative"):
        read_list(images / "train/cat/0.png")


def test_every_pool_of_the_repository_is_there_and_its_misspelling_is_suggested(monkeypatch):
    monkeypatch.chdir(ROOT)
    for pool in POOLS:
        check_input_path("data.unlabelled_from", pool)
    with pytest.raises(ParamsError, match=r"Did you mean data/pools/own-split\?"):
        check_input_path("data.unlabelled_from", "data/pools/own_split")


def test_a_folder_that_may_not_be_read(check, images, monkeypatch):
    scandir = os.scandir

    def refuse(path):
        if Path(path).name == "cat":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(ParamsError, match=r"data\.root=.*train/cat cannot be read \(Permission denied\)"):
        check("data.root", images)


def test_dvc_does_not_look_behind_linked_folders_but_behind_linked_files(tmp_path):
    """Why they are refused: shown by DVC itself, in a process of its own."""
    script = """
from dvc.repo import Repo
from pathlib import Path
repo = Repo.init(no_scm=True)
Path("dvc.yaml").write_text("stages: {a: {cmd: 'true', deps: [root, images]}}")
repo.reproduce()
def stale(): return bool(repo.status())
assert not stale()
Path("elsewhere/folder/1.png").unlink()
print("folder", stale())
Path("elsewhere/file.png").write_text("another")
print("file", stale())
repo.reproduce()
Path("behind/0.png").write_text("another")
print("root", stale())
"""
    for folder in ("images", "elsewhere/folder", "behind"):
        (tmp_path / folder).mkdir(parents=True)
    for file in ("elsewhere/folder/1.png", "elsewhere/file.png", "behind/0.png"):
        (tmp_path / file).write_text("one")
    (tmp_path / "images/folder").symlink_to(tmp_path / "elsewhere/folder")
    (tmp_path / "images/file.png").symlink_to(tmp_path / "elsewhere/file.png")
    (tmp_path / "root").symlink_to(tmp_path / "behind")
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert re.findall(r"^(?:folder|file|root) .*$", done.stdout, re.MULTILINE) == [
        "folder False",
        "file True",
        "root True",
    ], done.stderr
    shutil.rmtree(tmp_path / ".dvc")

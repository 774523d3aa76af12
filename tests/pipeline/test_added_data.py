"""What a user adds by `dvc add` below data/ is seen by DVC, which removes it else at the next experiment."""

import shutil
import subprocess

import pytest
from dvc.repo import Repo

from support import ROOT

ADDED = ("data/raw/mine", "data/raw/mine-2/train", "data/extra/more", "data/photos")
IGNORED = (
    "data/prepared/classes.json",
    "data/raw/mine/1.jpg",
    "data/extra/more/1.jpg",
    "data/notes.txt",
    "models/a.keras",
)
KEPT = ("data/raw/cifar10/README.md", "data/extra/README.md", "data/pools/auto", "data/raw/.gitignore")


@pytest.fixture
def project(tmp_path):
    """An empty project with our .gitignore, in which folders were added."""
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    for name in (".gitignore", ".dvcignore"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc/config").touch()
    for path in ADDED:
        file = tmp_path / f"{path}.dvc"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"outs:\n- md5: {'0' * 32}.dir\n  hash: md5\n  path: {file.stem}\n")
    return tmp_path


def test_dvc_sees_what_was_added(project):
    with Repo(project) as repo:
        assert sorted(out.fs_path for out in repo.index.outs) == sorted(str(project / path) for path in ADDED)


@pytest.mark.parametrize("path", [*IGNORED, *KEPT, *(f"{path}.dvc" for path in ADDED)])
def test_git_keeps_the_small_files_alone(project, path):
    ignored = subprocess.run(["git", "check-ignore", "-q", path], cwd=project, check=False).returncode == 0
    assert ignored == (path in IGNORED)
    with Repo(project) as repo:
        assert repo.scm.is_ignored(str(project / path)) == ignored

"""Git gives every clone the bytes that DVC has hashed, whatever its user's configuration says of line endings."""

import subprocess

import pytest
from ruamel.yaml import YAML

from support import ROOT


def _git(folder, *arguments):
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """This working tree, committed."""
    folder = tmp_path_factory.mktemp("repository")
    names = _git(ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")
    for name in filter(None, names):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes((ROOT / name).read_bytes())
    _git(folder, "init", "-q")
    _git(folder, "add", "-A")
    _git(folder, "-c", "user.name=Test", "-c", "user.email=test@example.org", "commit", "-qm", "all")
    return folder


def test_a_clone_has_the_same_bytes_and_no_changes(repository, tmp_path):
    clone = tmp_path / "clone"
    _git(tmp_path, "clone", "-q", "-c", "core.autocrlf=true", str(repository), str(clone))
    names = [name for name in _git(repository, "ls-files", "-z").split("\0") if name]
    different = [name for name in names if (clone / name).read_bytes() != (repository / name).read_bytes()]
    assert different == []
    stages = YAML(typ="safe").load(repository / "dvc.yaml")["stages"].values()
    code = [dep for stage in stages for dep in stage.get("do", stage)["deps"] if dep.startswith(("noisy_", "stages"))]
    assert {name.split("/")[0] for name in names} >= {dep.split("/")[0] for dep in code} == {"noisy_student", "stages"}
    (clone / "params.yaml").touch()  # so that git compares the content
    assert _git(clone, "status", "--porcelain") == ""


def test_what_is_committed_keeps_its_bytes(repository, tmp_path):
    """As DVC commits metrics: with `input` git would take the CRLF away that Python's csv writes."""
    clone = tmp_path / "clone"
    _git(tmp_path, "clone", "-q", "-c", "core.autocrlf=input", str(repository), str(clone))
    (clone / "metrics/table.csv").write_bytes(b"a,b\r\n1,2\r\n")
    _git(clone, "add", "-A")
    _git(clone, "-c", "user.name=Test", "-c", "user.email=test@example.org", "commit", "-qm", "more")
    (clone / "metrics/table.csv").unlink()
    _git(clone, "checkout", "-q", ".")
    assert (clone / "metrics/table.csv").read_bytes() == b"a,b\r\n1,2\r\n"

"""Copies of the project in which something is tried out."""

import copy
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from dvc.repo import Repo

from commands.preset import Tree
from noisy_student.executors import settings as executor
from noisy_student.launching import settings as launching
from noisy_student.runtime.errors import UserError
from noisy_student.settings.schema import POOLS

KERNELS = "noisy_student/noise/kernels/__pycache__"
SHARED_OUT = Path(executor.FILE), Path(launching.FILE)  # which git ignores: how work is shared out here


def stage_files(name: str) -> tuple[list[Path], list[Path]]:
    """The dependencies and outputs of one stage of dvc.yaml, such as student@gen1.

    Returns:
        (deps, outs), relative to the repository's root; absolute ones outside of it.

    Raises:
        UserError: there is no such stage, or the address names several.
    """
    with Repo() as repo:
        stages = {stage.addressing: stage for stage in repo.index.stages}
        if name not in stages:
            raise UserError(f"there is no stage {name!r}. The stages are: {', '.join(sorted(stages))}.")
        stage, root = stages[name], Path(repo.root_dir)
        outs = [_relative(out.fs_path, root) for out in stage.outs]
        deps = [_relative(dep.fs_path, root) for dep in stage.deps if not hasattr(dep, "params")]
        return deps, outs


def _relative(path, root):
    path = Path(path)
    return path.relative_to(root) if path.is_relative_to(root) else path


def with_absolute_folders(parameters: Tree) -> Tree:
    """The same parameters for runs in a clone, which has none of the images that git does not know."""
    parameters = copy.deepcopy(parameters)
    data, teacher, tests = parameters["data"], parameters["teacher"], parameters["eval"]["extra_tests"]
    if data["source"] != "digits":
        data["root"] = _absolute(data["root"])
    if data["unlabelled_from"] not in POOLS:
        data["unlabelled_from"] = _absolute(data["unlabelled_from"])
    teacher["weights"] = _absolute(teacher["weights"])
    tests |= {name: _absolute(path) for name, path in tests.items()}
    return parameters


def _absolute(path):
    return str(Path(path).resolve()) if Path(path).exists() else path


def copy_project(target: Path, extra: Iterable[Path] = (), without: Iterable[str] = ()) -> set[str]:
    """Copy the files that git knows, and further ones, into an empty folder.

    Args:
        target: the empty folder.
        extra: files or folders, relative to the repository's root.
        without: beginnings of names that are left out.

    Returns:
        The names that git knows, and that were copied.
    """
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, capture_output=True, encoding="utf-8", errors="surrogateescape", check=True).stdout
    names = {name for name in listed.split("\0") if name and Path(name).is_file()}
    without = tuple(without)
    names = {name for name in names if not name.startswith(without)}
    for name in names:
        _copy(Path(name), target / name)
    if Path(KERNELS).is_dir():  # compiled already: spares seconds
        _copy(Path(KERNELS), target / KERNELS)
    for path in extra:
        if not path.is_absolute() and (path.is_dir() or (path.exists() and not (target / path).exists())):
            _copy(path, target / path)  # a folder may hold files that git does not know
    return names


def _copy(source, target):
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True)
    else:
        shutil.copy2(source, target)


def run_stage(name: str, folder: Path) -> int:
    """Run one stage of a copy as DVC would, without DVC; return its exit status."""
    script = name.partition("@")[0].replace("-", "_")
    environment = {**os.environ, "DVC_STAGE": name, "DVC_ROOT": str(folder)}
    return subprocess.run(
        [sys.executable, "-m", f"stages.{script}"], cwd=folder, env=environment, check=False
    ).returncode

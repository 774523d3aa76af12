"""The code that dvc.yaml declares for a stage: one list says what DVC runs again and what a checkpoint is of."""

import fnmatch
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

import noisy_student
from noisy_student.runtime.errors import UserError

PACKAGES = ("noisy_student", "stages", "experiments", "commands")


def definition(entry: dict[str, Any]) -> dict[str, Any]:
    """A stage of a parsed dvc.yaml, without its foreach."""
    return entry.get("do", entry)


def code_deps(stage: dict[str, Any]) -> list[str]:
    """The dependencies of a stage's `definition` that are code: files and folders of this repository."""
    return [dep for dep in stage["deps"] if dep.partition("/")[0] in PACKAGES]


def known(names: Iterable[str]) -> list[str]:
    """Those names of stages, e.g. "student@gen1", that the dvc.yaml beside the package has; all where there is none."""
    stages = _stages(_project() / "dvc.yaml")
    if not stages:
        return list(names)
    repeated = {name for name, entry in stages.items() if {"foreach", "matrix"} & set(entry)}
    parted = [(name, *name.partition("@")[:2]) for name in names]
    return [whole for whole, name, keyed in parted if name in stages and bool(keyed) == (name in repeated)]


def files_of(stage: str) -> dict[str, Path]:
    """The files of the code deps of a stage, in the dvc.yaml beside the package `noisy_student`.

    A library that is used without the pipeline has none that lists the stage: then it is the whole package, which
    holds more than is needed, never less. What .dvcignore names is left out, as DVC does.

    Args:
        stage: e.g. "student@gen1".

    Returns:
        {path relative to the project: file}, in the order of the paths.

    Raises:
        UserError: a code dep is missing or empty.
    """
    project = _project()
    files: dict[str, Path] = {}
    for dep in _declared(project / "dvc.yaml", stage.partition("@")[0]) or ["noisy_student"]:
        held = _files(project / dep, project)
        if not held:
            raise UserError(
                f"{project / dep}: no code there, though dvc.yaml lists it for the stage {stage}. "
                "Restore it (git checkout), or mend the stage's deps."
            )
        files |= held
    return dict(sorted(files.items()))


def _project() -> Path:
    return Path(noisy_student.__file__).parents[1]


def _stages(dvc_yaml: Path) -> dict[str, Any]:
    if not dvc_yaml.is_file():
        return {}
    return YAML(typ="safe", pure=True).load(dvc_yaml.read_text(encoding="utf-8")).get("stages", {})


def _declared(dvc_yaml: Path, name: str) -> list[str]:
    stages = _stages(dvc_yaml)
    return code_deps(definition(stages[name])) if name in stages else []


def _files(top: Path, project: Path) -> dict[str, Path]:
    """The files of a dep, without the names in .dvcignore; what more that may hold leaves nothing out here."""
    listed = project / ".dvcignore"
    lines = listed.read_text(encoding="utf-8").splitlines() if listed.is_file() else []
    ignored = ["__pycache__", *(line for line in lines if line and not line.startswith("#") and "/" not in line)]
    paths = {path.relative_to(project): path for path in (top.rglob("*") if top.is_dir() else [top]) if path.is_file()}
    return {
        relative.as_posix(): path
        for relative, path in paths.items()
        if not any(fnmatch.fnmatch(part, pattern) for part in relative.parts for pattern in ignored)
    }

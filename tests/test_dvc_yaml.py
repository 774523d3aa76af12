"""dvc.yaml is true: whatever a stage imports or reads is a dependency of it."""

import functools
import hashlib
import json
import shutil
import subprocess

import pytest
from dvc.repo import Repo
from ruamel.yaml import YAML

from accesses import OUTS
from commands import preset as presets
from commands.deps import code_deps, compare, differences, imported_names, local_imports, script_of, stage_scripts
from noisy_student.runtime import layout
from support import ROOT, set_params

DVC_YAML = YAML(typ="safe").load(ROOT / "dvc.yaml")
STAGES = stage_scripts(DVC_YAML)


def test_stages_are_the_pipeline():
    pipeline = ["check", "prepare", "teacher", "pseudolabel", "balance", "student"]
    measured = ["eval-teacher", "eval", "extra-test", "eval-extra-teacher", "eval-extra"]
    assert list(STAGES) == [*pipeline, *measured, "robustness-teacher", "robustness", "card", "results"]


def test_every_imported_file_is_a_dep():
    assert differences(DVC_YAML, ROOT) == {}


def _digest(path):
    """(MD5, bytes, files) of what Git tracks at a path, as dvc.lock writes them of a file or a folder."""
    listed = subprocess.run(["git", "ls-files", "-z", path], cwd=ROOT, capture_output=True, text=True, check=True)
    names = sorted(name for name in listed.stdout.split("\0") if name)
    contents = {name: (ROOT / name).read_bytes() for name in names}
    sums = {name: hashlib.md5(content).hexdigest() for name, content in contents.items()}
    size = sum(map(len, contents.values()))
    if names == [path]:
        return sums[path], size, None
    below = [{"md5": sums[name], "relpath": name.removeprefix(f"{path}/")} for name in names]
    return f"{hashlib.md5(json.dumps(below).encode()).hexdigest()}.dir", size, len(names)


def test_the_committed_run_is_of_the_committed_files():
    """If not: run `make repro` and commit dvc.lock with metrics/."""
    locked, fresh = YAML(typ="safe").load(ROOT / "dvc.lock")["stages"], functools.cache(_digest)
    tracked = ("noisy_student/", "stages/", "presets", "metrics/")
    entries = [
        (name, entry)
        for name, stage in locked.items()
        for entry in stage["deps"] + stage["outs"]
        if entry["path"].startswith(tracked) and not entry["path"].startswith(("metrics/plots/", "metrics/tables/"))
    ]
    assert {entry["path"].split("/")[0] for _, entry in entries} == {"noisy_student", "stages", "presets", "metrics"}
    seen = {(name, entry["path"]): (entry["md5"], entry["size"], entry.get("nfiles")) for name, entry in entries}
    stale = {key for key, value in seen.items() if value != fresh(key[1])}
    assert stale == set()
    values = YAML(typ="safe").load(ROOT / "params.yaml")
    used = {key: value for stage in locked.values() for key, value in stage["params"]["params.yaml"].items()}
    assert used
    for key, value in used.items():
        assert functools.reduce(lambda node, name: node[name], key.split("."), values) == value, key


def test_import_walk_by_hand(tmp_path):
    files = {
        "stages/go.py": "import os\nfrom noisy_student import a\ndef f():\n    import noisy_student.sub.b\n",
        "noisy_student/__init__.py": '"""Only a docstring."""',
        "noisy_student/a.py": "import noisy_student.c",
        "noisy_student/c.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import noisy_student.unused\n"
        "else:\n    import noisy_student.d\n",
        "noisy_student/d.py": "import typing\nif typing.TYPE_CHECKING:\n    from noisy_student import unused\n"
        "if DEBUG:\n    from noisy_student import e\n",
        "noisy_student/e.py": "import noisy_student.lazy.f\nimport noisy_student.eager.g",
        "noisy_student/unused.py": "",
        "noisy_student/lazy/__init__.py": '"""Text."""\nfrom typing import TYPE_CHECKING\n__all__ = ["x"]\n'
        "if TYPE_CHECKING:\n    from noisy_student.unused import x\nelse:\n    def __getattr__(name):\n        pass\n"
        "def __dir__():\n    return __all__\n",
        "noisy_student/lazy/f.py": "",
        "noisy_student/eager/__init__.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    pass\n"
        "else:\n    import os\n",
        "noisy_student/eager/g.py": "",
        "noisy_student/sub/__init__.py": "VALUE = 1",
        "noisy_student/sub/b.py": "x = 1",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    expected = {
        "stages/go.py",
        *(f"noisy_student/{f}" for f in ("a.py", "c.py", "d.py", "e.py", "sub/__init__.py", "sub/b.py")),
        *(f"noisy_student/{f}" for f in ("lazy/f.py", "eager/__init__.py", "eager/g.py")),
    }
    assert local_imports("stages/go.py", tmp_path) == expected


@pytest.mark.parametrize("stage", STAGES)
def test_no_parameter_goes_through_a_shell(stage):
    assert STAGES[stage]["cmd"] == f"python -m stages.{stage.replace('-', '_')}"


def _readers(path):
    return {name for name, stage in STAGES.items() if str(path) in stage["deps"]}


@pytest.mark.parametrize("stage", [stage for stage in STAGES if stage not in ("prepare", "card")])
def test_dvc_can_restore_a_stage_from_its_run_cache(stage):
    """It does so only if all outputs that it does not cache are metrics or plots.

    Nobody misses it of prepare, and card takes no time.
    """
    uncached = [entry for entry in STAGES[stage].get("outs", []) if isinstance(entry, dict)]
    assert not [entry for entry in uncached if not entry[_path(entry)].get("cache", True)]


def test_only_stages_that_measure_read_the_test_split_and_only_eval_the_truth():
    assert _readers(layout.TEST) == {"eval-teacher", "eval", "robustness-teacher", "robustness"}
    assert _readers("data/prepared/truth") == {"eval"}


def test_all_outputs_lie_in_the_folders_of_generated_files():
    outs = [_path(entry) for stage in STAGES.values() for kind in OUTS for entry in stage.get(kind, [])]
    assert len(outs) > 20
    assert not [out for out in outs if layout.generated_folder_at(out) is None]
    inputs = ["data/raw/digits", "data/pools/held-back", "data/extra/mine", "/images", "data/train"]
    assert not [path for path in inputs if layout.generated_folder_at(path)]


DRAWING = ("matplotlib.", "vl_convert.", "altair.", "PIL.ImageDraw.", "PIL.ImageFont.")


@pytest.mark.parametrize("stage", ["prepare", "teacher", "pseudolabel", "balance", "student"])
def test_no_file_that_only_draws_is_a_dependency_of_training(stage):
    """A changed colour must not train anything anew."""
    assert not [dep for dep in STAGES[stage]["deps"] if dep.startswith("noisy_student/drawing")]
    files = local_imports(script_of(stage), ROOT)
    assert len(files) > 10
    assert not [path for path in files if "draw" in path or "picture" in path]
    names = {path: imported_names(path, ROOT) for path in files}
    assert not {path for path in files if any(f"{name}.".startswith(DRAWING) for name in names[path])}


CODE = [(stage, dep) for stage in STAGES for dep in code_deps(STAGES[stage])]


@functools.cache
def _needed(stage):
    return local_imports(script_of(stage), ROOT)


@pytest.mark.parametrize(("stage", "dep"), CODE)
def test_a_deleted_or_superfluous_code_dep_is_found(stage, dep):
    others = [other for other in code_deps(STAGES[stage]) if other != dep]
    missing, surplus = compare(others, _needed(stage))
    assert missing and all(f"{path}/".startswith(f"{dep}/") for path in missing)  # noqa: PT018, one thing
    assert not surplus
    assert compare([*others, dep, "noisy_student/other"], _needed(stage)) == ([], ["noisy_student/other"])


def test_network_free_stages_never_import_keras():
    for stage in ("check", "prepare", "balance", "extra_test", "card", "results"):
        files = local_imports(f"stages/{stage}.py", ROOT)
        imported = {name.partition(".")[0] for path in files for name in imported_names(path, ROOT)}
        assert imported.isdisjoint({"keras", "tensorflow", "jax", "torch"})


def _path(entry):
    return next(iter(entry)) if isinstance(entry, dict) else entry


def test_dvc_makes_the_students_of_every_preset(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    shutil.copy("dvc.yaml", tmp_path)
    Repo.init(tmp_path, no_scm=True).close()
    for name in presets.names():
        (tmp_path / "params.yaml").write_text(presets.fresh(presets.parameters(name)))
        with Repo(tmp_path) as repo:
            students = [stage.name for stage in repo.index.stages if stage.name.startswith("student@")]
        assert sorted(students) == sorted(f"student@{key}" for key in presets.parameters(name)["generations"]), name


@pytest.mark.parametrize("release", ["student-gen1", "teacher"])
def test_dvc_gets_the_released_model(tmp_path, monkeypatch, release):
    """From a project with these artifacts, one of whose commits is tagged, as `dvc artifacts get` does."""
    project = tmp_path / "project"
    (project / "models").mkdir(parents=True)
    monkeypatch.chdir(project)
    for name in ("student-gen1", "teacher"):
        (project / f"models/{name}.keras").write_text(f"weights of {name}")
    with (project / "dvc.yaml").open("w") as file:
        YAML().dump({"artifacts": DVC_YAML["artifacts"]}, file)
    shutil.copy(ROOT / "params.yaml", project)
    set_params({"release": release}, project)
    git = ("git", "-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "init.defaultBranch=main")
    subprocess.run([*git, "init", "-q"], check=True)
    with Repo.init() as repo:
        repo.add([f"models/{name}.keras" for name in ("student-gen1", "teacher")])
        for command in (["add", "."], ["commit", "-qm", "first"], ["tag", "-am", "one", "student@v1.0.0"]):
            subprocess.run([*git, *command], check=True)
        repo.artifacts.download("student", out=str(tmp_path / "got.keras"))
    assert (tmp_path / "got.keras").read_text() == f"weights of {release}"

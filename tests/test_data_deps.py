"""Whatever a stage reads lies in its deps, whatever it writes in its outs, and nothing is declared that is not opened.

Two small workspaces take every branch in which a stage opens other files. The prepare of each source, with each pool,
is in `tests/data/test_prepare_deps.py`.
"""

import contextlib
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from dvc.dependency import ParamsDependency
from dvc.repo import Repo
from PIL import Image
from ruamel.yaml import YAML

from accesses import EXEMPT, OUTS, faults, path_of, recorded, resolve, within
from commands import preset as presets
from commands.deps import code_deps, stage_scripts
from noisy_student.inference.saving import save
from noisy_student.models.build import build
from noisy_student.robustness import severities
from noisy_student.robustness.frosting import OFFICIAL
from noisy_student.steps import robustness as steps_robustness
from small import SMALL, stage
from support import ROOT, sized, with_values

DVC_YAML = YAML(typ="safe").load(ROOT / "dvc.yaml")
STAGES = stage_scripts(DVC_YAML)
KINDS = ("deps", *OUTS)
FEW = {"FAST_IMAGES": 10, "FAST_SEQUENCES": 4, "FAST_ATTACKED": 4, "FAST_SEVERITIES": (3,)}

# folders of images with frost beside them, a pretrained teacher, two generations of which one starts from its teacher
# and one needs no pseudo-labels, an extra test set, robustness
FOLDERS = {
    "data.source": "folder",
    "data.root": "data/raw/mine",
    "data.unlabelled_from": "data/raw/pool",
    "data.labelled": 24,
    "data.validation": 12,
    "generations": {
        "gen1": {"teacher": "teacher", "student": {"init": "teacher"}},
        "gen2": {"teacher": "student-gen1", "student": {"mix": "none"}},
        "gen3": {"teacher": "student-gen1", "pseudolabel": {"reassign": True}},
    },
    "eval.robustness": "fast",
    "eval.extra_tests": {"mine": "data/raw/extra"},
    "teacher.init": "pretrained",
    "teacher.model.small_images": True,  # a preset's value that this network does not take: `check` looks there
}
FOLDERS_RUN = (
    *(
        "check",
        "prepare",
        "teacher",
        "eval-teacher",
        "extra-test mine",
        "eval-extra-teacher mine",
        "robustness-teacher",
    ),
    *(
        "pseudolabel gen1",
        "balance gen1",
        "student gen1",
        "eval gen1",
        "eval-extra gen1-mine",
        "robustness gen1",
        "card gen1",
    ),
    *("pseudolabel gen2", "balance gen2", "student gen2", "eval gen2", "eval-extra gen2-mine", "card gen2"),
    *("pseudolabel gen3", "balance gen3", "student gen3", "eval gen3", "eval-extra gen3-mine", "results"),
)
# then shards in the same folder, and robustness off
SHARDS = FOLDERS | {"data.store": "shards", "eval.robustness": "off"}
SHARDS_RUN = ("prepare", "pseudolabel gen1", "balance gen1", "robustness-teacher", "robustness gen1")


def _write_images(folder):
    rng = np.random.default_rng(0)
    for split, count in (("mine/train", 16), ("mine/test", 4), ("pool", 8), ("extra", 4)):
        for name in ("ant", "bee", "cat"):
            (folder / split / name).mkdir(parents=True)
            for row, image in enumerate(rng.integers(0, 256, (count, 8, 8, 3), np.uint8)):
                Image.fromarray(image).save(folder / split / name / f"{row}.png")
    (folder / "mine/frost").mkdir()
    for name in OFFICIAL:
        Image.fromarray(rng.integers(0, 256, (80, 80, 3), np.uint8)).save(folder / "mine/frost" / name)


def _run(folder, values, calls):
    (folder / "params.yaml").write_text(presets.fresh(values))
    runs = []
    with contextlib.chdir(folder):
        for call in calls:
            name, *key = call.split()
            with recorded("@".join([name, *key]), values) as accesses:
                assert stage(name.replace("-", "_"), *key) is None, call
            if name == "check":  # it looks at them early; that each is a dep, `extra-test` sees to
                tests = values["eval"]["extra_tests"].values()
                accesses.listed = {path for path in accesses.listed if not within(path, tests)}
            runs.append(accesses)
    return runs


@pytest.fixture(scope="module")
def runs(tmp_path_factory, digits, one_block):
    """What each stage opened in a small workspace, made twice in the same folder."""
    folder, small = tmp_path_factory.mktemp("project"), with_values(digits, SMALL)
    _write_images(folder / "data/raw")
    (folder / "data/raw/weights").mkdir()
    own = build(sized("resnet", 8, 4), classes=3, image_size=8, mode="inference")
    save(own, folder / "data/raw/weights/own.keras")
    for name in ("presets", "data/pools"):  # which `check` compares with, and looks for
        shutil.copytree(ROOT / name, folder / name)
    with pytest.MonkeyPatch.context() as patch:
        for variable in ("DVC_ROOT", "DVC_STAGE"):
            patch.delenv(variable, raising=False)
        for name, number in FEW.items():
            patch.setattr(steps_robustness, name, number)
        patch.setattr(severities, "EPSILONS", (0, 4))
        first = _run(folder, with_values(small, FOLDERS), FOLDERS_RUN)
        return first + _run(folder, with_values(small, SHARDS), SHARDS_RUN)


# makes `check` come before `prepare`, which does not open it
ORDER = "data/prepared/checked.json"


def _data(definition):
    others = {*code_deps(definition), ORDER}
    return definition | {"deps": [dep for dep in definition["deps"] if dep not in others]}


# which templates of other stages mean nothing in a stage: its `item` has no such part
UNKNOWN = {"extra-test": r"\$\{item\.", "eval-extra-teacher": r"\$\{item\.", "eval-extra": r"\$\{item\.teacher"}
DATA = {name: _data(definition) for name, definition in STAGES.items()}
DECLARED = [
    (name, kind, path_of(entry))
    for name, definition in DATA.items()
    for kind in KINDS
    for entry in definition.get(kind, [])
]


def test_what_stages_open_is_what_they_declare(runs):
    assert faults(DATA, runs) == []


def test_every_file_that_is_there_was_seen_being_written(runs):
    """What libraries in C wrote past the hook would be there too."""
    folder = Path(runs[0].folder)
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    written = {path for run in runs for path in run.written}
    assert {
        path for path in there - written if not within(path, ("data/raw", "data/pools", "presets", *EXEMPT))
    } == set()
    assert len(there & written) > 50


@pytest.mark.parametrize(("name", "kind", "path"), DECLARED, ids=lambda text: str(text))
def test_a_deleted_dep_or_out_is_found(runs, name, kind, path):
    definition = DATA[name]
    others = definition | {kind: [entry for entry in definition[kind] if path_of(entry) != path]}
    access = "read" if kind == "deps" else "written"
    resolved = {resolve(path, run.params, run.stage) for run in runs if run.stage.partition("@")[0] == name}
    found = faults(DATA | {name: others}, runs)
    assert [fault for fault in found if fault[:3] == (name, "undeclared", access) and within(fault[3], resolved)]


@pytest.mark.parametrize("name", DATA)
def test_a_superfluous_dep_or_out_is_found(runs, name):
    """An own one is added, then every dep and out of the other stages."""
    fitting = [run for run in runs if run.stage.partition("@")[0] == name]
    for kind in KINDS:
        added = DATA[name] | {kind: [*DATA[name].get(kind, []), "data/other"]}
        assert faults(DATA | {name: added}, runs) == [(name, "unused", kind, "data/other")]
    own = {resolve(path, run.params, run.stage) for run in fitting for stage, _, path in DECLARED if stage == name}
    unknown = UNKNOWN.get(name, r"\$\{item\.(generation|test)" if "@" in fitting[0].stage else r"\$\{(item|key)")
    others = {path for _, _, path in DECLARED if not re.search(unknown, path)}
    assert len(others) > 15
    for path in others:
        places = {resolve(path, run.params, run.stage) for run in fitting}
        if not any(within(place, own) for place in places) and not any(within(place, places) for place in own):
            added = DATA[name] | {"deps": [*DATA[name]["deps"], path]}
            assert faults(DATA | {name: added}, runs) == [(name, "unused", "deps", path)]


def test_templates_are_resolved_as_by_dvc(runs, tmp_path):
    """What is compared with the accesses is what DVC makes of dvc.yaml."""
    values = runs[0].params
    (tmp_path / "dvc.yaml").write_text((ROOT / "dvc.yaml").read_text())
    (tmp_path / "params.yaml").write_text(presets.fresh(values))
    repo = Repo.init(tmp_path, no_scm=True)
    by_dvc = {
        stage.name: (
            {dep.def_path for dep in stage.deps if not isinstance(dep, ParamsDependency)},
            {out.def_path for out in stage.outs},
        )
        for stage in repo.index.stages
    }
    repo.close()
    here = {run.stage: STAGES[run.stage.partition("@")[0]] for run in runs}
    assert {stage.partition("@")[0] for stage in by_dvc} == set(STAGES)
    assert by_dvc["student@gen2"][0] >= {"models/student-gen1.keras", "noisy_student/noise"}
    for name, definition in here.items():
        deps = {resolve(dep, values, name) for dep in definition["deps"]}
        outs = {resolve(path_of(out), values, name) for kind in OUTS for out in definition.get(kind, [])}
        assert by_dvc[name] == (deps, outs)

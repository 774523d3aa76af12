"""dvc.yaml is true: whatever a stage imports or reads is a dependency of it."""

import re

import pytest
from ruamel.yaml import YAML

from commands.deps import differences, local_imports, script_of, stage_scripts
from noisy_student.runtime import layout
from support import ROOT

DVC_YAML = YAML(typ="safe").load(ROOT / "dvc.yaml")
STAGES = stage_scripts(DVC_YAML)


def test_stages_are_the_pipeline():
    pipeline = ["prepare", "teacher", "pseudolabel", "balance", "student", "eval"]
    assert list(STAGES) == [*pipeline, "extra-test", "robustness-teacher", "robustness"]


def test_every_imported_file_is_a_dep():
    assert differences(DVC_YAML, ROOT) == {}


def test_import_walk_by_hand(tmp_path):
    files = {
        "stages/go.py": "import os\nfrom noisy_student import a\ndef f():\n    import noisy_student.sub.b\n",
        "noisy_student/__init__.py": '"""Only a docstring."""',
        "noisy_student/a.py": "import noisy_student.c",
        "noisy_student/c.py": "",
        "noisy_student/unused.py": "",
        "noisy_student/sub/__init__.py": "VALUE = 1",
        "noisy_student/sub/b.py": "x = 1",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    expected = {
        "stages/go.py",
        *(f"noisy_student/{f}" for f in ("a.py", "c.py", "sub/__init__.py", "sub/b.py")),
    }
    assert local_imports("stages/go.py", tmp_path) == expected


@pytest.mark.parametrize("stage", STAGES)
def test_no_parameter_goes_through_a_shell(stage):
    assert STAGES[stage]["cmd"] == f"python -m stages.{stage.replace('-', '_')}"


def _readers(path):
    return {name for name, stage in STAGES.items() if str(path) in stage["deps"]}


@pytest.mark.parametrize("stage", [stage for stage in STAGES if stage != "prepare"])
def test_dvc_can_restore_a_stage_from_its_run_cache(stage):
    """It does so only if all outputs that it does not cache are metrics or plots."""
    uncached = [entry for entry in STAGES[stage].get("outs", []) if isinstance(entry, dict)]
    assert not [entry for entry in uncached if not entry[_path(entry)].get("cache", True)]


def test_only_eval_and_robustness_read_the_test_split_and_only_eval_the_truth():
    assert _readers(layout.TEST) == {"eval", "robustness-teacher", "robustness"}
    assert _readers("data/truth") == {"eval"}


def test_network_free_stages_never_import_keras():
    for stage in ("prepare", "balance", "extra_test"):
        sources = [(ROOT / path).read_text() for path in local_imports(f"stages/{stage}.py", ROOT)]
        assert not [text for text in sources if re.search(r"^\s*(import|from) (keras|tensorflow)", text, re.M)]


CONSTANTS = {"LABELLED", "VALIDATION", "UNLABELLED", "TEST", "TRUTH", "CLASSES"}


@pytest.mark.parametrize("stage", STAGES)
def test_every_path_that_a_script_reads_is_a_dep(stage):
    """A script names its inputs by layout's constants and functions; their paths are in deps or outs."""
    text = (ROOT / script_of(stage)).read_text()
    named = {str(getattr(layout, name)) for name in CONSTANTS if f"layout.{name}" in text}
    given = {_path(entry) for kind in ("deps", "outs", "metrics", "plots") for entry in STAGES[stage].get(kind, [])}
    missing = {path for path in named if not any(path == g or path.startswith(f"{g}/") for g in given)}
    assert not missing


def _path(entry):
    return next(iter(entry)) if isinstance(entry, dict) else entry


def test_outputs_are_where_layout_says():
    outs = {
        _path(entry)
        for stage in STAGES.values()
        for kind in ("outs", "metrics", "plots")
        for entry in stage.get(kind, [])
    }
    key = "${key}"
    expected = {
        layout.LABELLED,
        layout.VALIDATION,
        layout.UNLABELLED,
        layout.TEST,
        layout.TRUTH.parent,
        layout.CLASSES,
        layout.DATA_METRICS,
        layout.pseudo_labels(key),
        layout.balanced(key),
        layout.balance_tables(key),
        layout.EVAL_METRICS,
        layout.EVAL_PLOTS,
        layout.EVAL_TABLES,
        layout.extra_test(key),
    }
    for model in (layout.TEACHER, layout.Model(key)):
        expected |= {model.robustness, model.robustness_tables, model.robustness_plots, model.robustness_outcomes}
        expected |= {model.path, model.summary, model.curves}
    assert outs == {str(path) for path in expected}

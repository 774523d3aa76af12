"""Presets: written without losing comments or leaking values, or printed as overrides for DVC."""

import re
import subprocess
import sys

import pytest
from ruamel.yaml import YAML

from commands import presets
from noisy_student.runtime.errors import ParamsError
from noisy_student.settings import params
from support import ROOT, with_values

NAMES = presets.names()


@pytest.fixture(autouse=True)
def _at_root(monkeypatch):
    monkeypatch.chdir(ROOT)


def test_the_readme_lists_all_presets():
    section = (ROOT / "README.md").read_text().partition("\n## Presets\n")[2].partition("\n## ")[0]
    first_cells = re.findall(r"^\| (`.*?) \|", section, re.MULTILINE)
    assert sorted(re.findall(r"`(\S+?)`", " ".join(first_cells))) == sorted(NAMES)
    assert NAMES[0] == "digits"


@pytest.mark.parametrize("name", NAMES)
def test_rewriting_keeps_comments_and_gives_the_presets_values(name):
    text = (ROOT / "params.yaml").read_text()
    written = presets.rewrite(text, presets.values(name))
    assert YAML(typ="safe").load(written) == presets.values(name)
    assert written.count("#") == text.count("#")


@pytest.mark.parametrize("name", NAMES)
def test_nothing_of_an_earlier_preset_stays(name):
    text = (ROOT / "params.yaml").read_text()
    detour = presets.rewrite(text, presets.values(name))
    assert presets.rewrite(detour, presets.values("digits")) == text


def test_differences_tell_null_from_missing():
    found = presets.differences({"a": None, "b": {"c": 1}}, {"b": {"c": 2}, "d": None})
    assert found == {"a": ((None,), ()), "b.c": ((1,), (2,)), "d": ((), (None,))}


def test_overrides_by_hand():
    old = {"a": 1, "gone": True, "b": {"c": "x"}}
    new = {"a": None, "b": {"c": "data/raw"}, "new": {"deep": False}, "rate": 1e-05}
    expected = "-S ~gone -S a=null -S b.c=data/raw -S +new.deep=false -S +rate=1e-05"
    assert " ".join(presets.overrides(old, new)) == expected


def test_a_value_that_needs_quoting_is_refused():
    with pytest.raises(ParamsError, match=r"data\.root=.*need quoting"):
        presets.overrides({"data": {"root": "a"}}, {"data": {"root": "my images"}})


def test_the_papers_chains():
    """arXiv:1911.04252, its first version and the later ones: sizes, test resolutions, ratios."""
    chains = {
        "paper-v2": [("l2", 800, 14.0), ("l2", 800, 14.0), ("l2", 800, 28.0)],
        "paper-v1": [
            ("b7", 600, 14.0),
            ("l0", 600, 14.0),
            ("l1", 600, 14.0),
            ("l2", 800, 14.0),
            ("l2", 800, 14.0),
        ],
    }
    for name, chain in chains.items():
        settings = params.check(presets.values(name))
        assert (settings.teacher.model.size, settings.teacher.image_size) == ("b7", 600)
        students = [settings.generation(key).student for key in settings.generations]
        tuned = [s.finetune.image_size if s.finetune.epochs else s.image_size for s in students]
        assert [(s.model.size, size, s.unlabelled_ratio) for s, size in zip(students, tuned, strict=True)] == chain


def test_a_preset_extends_another(tmp_path, monkeypatch):
    text = (ROOT / "presets/digits.yaml").read_text()
    monkeypatch.setattr(presets, "FOLDER", tmp_path)
    for name, content in {
        "digits": text,
        "one": "seed: 1\nteacher: {steps: 400}\n",
        "two": "extends: one\nteacher: {batch_size: 8}\n",
        "ring": "extends: ring\n",
    }.items():
        (tmp_path / f"{name}.yaml").write_text(content)
    expected = with_values(YAML(typ="safe").load(text), {"seed": 1, "teacher.steps": 400, "teacher.batch_size": 8})
    assert presets.values("two") == expected
    with pytest.raises(ParamsError, match=r"presets/ring.yaml extends itself: ring -> ring"):
        presets.values("ring")


def test_unknown_preset():
    with pytest.raises(ParamsError, match=r"no preset 'imagenet'; choose one of digits, cifar10"):
        presets.values("imagenet")


def test_an_overlay_with_a_typo_is_named(tmp_path, monkeypatch, digits):
    monkeypatch.setattr(presets, "FOLDER", tmp_path)
    YAML().dump(digits, tmp_path / "digits.yaml")
    (tmp_path / "mine.yaml").write_text("# mine\nteacher: {stpes: 3}\n")
    with pytest.raises(ParamsError, match=r"presets/mine\.yaml:\n  teacher\.stpes: unknown parameter"):
        presets.values("mine")


def test_command_writes_and_says_what_changed(tmp_path):
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    (tmp_path / "presets").symlink_to(ROOT / "presets")
    done = _run(tmp_path, "cifar10-cpu")
    assert done.returncode == 0
    assert "data.source: digits -> cifar10\n" in done.stdout
    assert params.load(tmp_path / "params.yaml").data.labelled == 4000
    assert "Before that: data.root=data/raw/cifar10: no such file or folder" in done.stdout  # not in tmp_path


def test_command_refuses_an_unknown_preset_without_a_traceback(tmp_path):
    text = (ROOT / "params.yaml").read_text()
    (tmp_path / "params.yaml").write_text(text)
    (tmp_path / "presets").symlink_to(ROOT / "presets")
    done = _run(tmp_path, "nothing")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert done.stderr.startswith("error: there is no preset 'nothing'")
    assert (tmp_path / "params.yaml").read_text() == text


def _run(folder, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "commands.preset", *arguments],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("before", NAMES)
def test_overrides_are_what_hydra_makes_of_them(before, tmp_path):
    """The arguments, applied by the grammar that DVC uses, turn any preset into any other."""
    from dvc.utils.hydra import apply_overrides

    for after in NAMES:
        old, new = presets.values(before), presets.values(after)
        assert _applied(apply_overrides, old, new, tmp_path) == new


def test_overrides_between_a_mapping_and_a_scalar(tmp_path):
    from dvc.utils.hydra import apply_overrides

    trees = [
        {"a": {"b": 1, "c": {"d": 2}}},
        {"a": None},
        {"a": {"b": None, "c": 3}},
        {"a": 1, "e": {"f": {"g": 0}}},
    ]
    for old in trees:
        for new in trees:
            assert _applied(apply_overrides, old, new, tmp_path) == new


def _applied(apply_overrides, old, new, folder):
    arguments = presets.overrides(old, new)
    assert arguments[::2] == ["-S"] * (len(arguments) // 2)
    path = folder / "params.yaml"
    YAML().dump(with_values(old, {}), path)
    if arguments:
        apply_overrides(path, arguments[1::2])
    return YAML(typ="safe").load(path)

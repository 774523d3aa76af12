"""Presets: written without losing comments or leaking values, or printed as overrides for DVC."""

import json
import re
import shutil
import subprocess
import sys

import pytest
from ruamel.yaml import YAML

from commands import preset as presets
from noisy_student.runtime.errors import ParamsError
from noisy_student.settings import params
from support import ROOT, with_values

NAMES = sorted(path.stem for path in (ROOT / "presets").iterdir())


@pytest.fixture(autouse=True)
def _at_root(monkeypatch):
    monkeypatch.chdir(ROOT)


def test_the_readme_lists_all_presets():
    section = (ROOT / "README.md").read_text().partition("\n## Presets\n")[2].partition("\n## ")[0]
    first_cells = re.findall(r"^\| (`.*?) \|", section, re.MULTILINE)
    assert sorted(re.findall(r"`(\S+?)`", " ".join(first_cells))) == sorted(NAMES)
    assert presets.names()[0] == "digits"


@pytest.mark.parametrize("name", NAMES)
def test_rewriting_keeps_comments_and_gives_the_presets_values(name):
    text = presets.fresh(presets.defaults()) + "# a note of the user's own\n"
    written = presets.rewrite(text, presets.parameters(name))
    assert YAML(typ="safe").load(written) == presets.parameters(name)
    comments = [[line.partition("#")[2] for line in t.splitlines() if "#" in line] for t in (text, written)]
    assert comments[0] == comments[1]


@pytest.mark.parametrize("name", NAMES)
def test_nothing_of_an_earlier_preset_stays(name):
    text = presets.fresh(presets.defaults())
    detour = presets.rewrite(text, presets.parameters(name))
    assert presets.rewrite(detour, presets.parameters("digits")) == text


def test_every_parameter_has_its_comment_once():
    """Spot checks by hand: beside, above, of a section, of the networks, of the student only."""
    written = presets.fresh(presets.defaults())
    for lines in (
        "\nseed: 0 # of the trainings: weights, order of images, noise\n",
        "\n\naugmentation: # of every training, noise or not\n  flip: false # left to right\n",
        "\n  # or of a text file with paths and URLs of .tar files and images, one a line: docs/data.md"
        "\n  unlabelled_from: data/pools/auto\n",
        "\n    name: resnet # article_resnet50 (of fixed size) | efficientnet | resnet | whitened_convnet | "
        "wide_resnet\n",
        "\n    width: 16 # resnet: filters of the first stage\n",
        "\n  batch_size: 32 # labelled images a step (mix: concat: all images a step)\n",
        "\n# Each generation names its teacher",
        "\n    student: {mix: none, steps: 2000, batch_size: 128}\n\neval:\n",
        "\nrelease: student-gen3 # the model that `dvc artifacts get` gives",
        "\n  # other labelled images, name: folder of classes, or of a pair of .npy files\n  extra_tests: {}\n",
    ):
        assert written.count(lines) == 1, lines
    assert max(map(len, written.splitlines())) <= 120


def test_a_file_in_its_folder_is_a_network_or_a_source(tmp_path):
    """Nothing else has to be edited: names, parameters, comments and rules come from the file."""
    for name in ("noisy_student", "commands", "stages", "presets"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    library = tmp_path / "noisy_student"
    (library / "models/networks/linear.py").write_text(NETWORK)
    (library / "sources/adapters/nothing.py").write_text(SOURCE)
    done = _run(tmp_path, "digits", root=tmp_path)
    assert done.returncode == 0, done.stderr
    written = (tmp_path / "params.yaml").read_text()
    assert "    bias: # linear: of all classes\n" in written
    assert "  source: digits # cifar10 | digits | folder | nothing | svhn\n" in written
    values = {"teacher.model": {"name": "linear", "bias": 4}, "data.source": "nothing", "data.test": None}
    (tmp_path / "params.yaml").write_text(presets.fresh(with_values(presets.defaults(), values)))
    done = _run(tmp_path, root=tmp_path, command="check")
    said = "error: params.yaml:\n  data.test: nothing has no test split of its own; give the number of images to cut\n"
    assert done.stderr.startswith(f"{said}  teacher.model: no bias above 3\nMend"), done.stderr


NETWORK = """
from pydantic import Field, model_validator
from noisy_student.models.network import Network

class Linear(Network):
    bias: int = Field(description="of all classes")

    @model_validator(mode="after")
    def _check(self):
        if self.bias > 3:
            raise ValueError("no bias above 3")
        return self
"""
SOURCE = """
from noisy_student.sources.interface import Rules

RULES = Rules(test=False)
"""


def test_the_settings_import_neither_networks_nor_sources():
    """So a changed network does not make the images anew, nor a changed source the teacher."""
    code = "import sys, noisy_student.settings.params; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    own = {name for name in done.stdout.split() if name.startswith("noisy_student.")}
    assert own == {
        f"noisy_student.{name}" for name in ("settings", "settings.inputs", "settings.params", "settings.schema")
    } | {
        "noisy_student.runtime",
        "noisy_student.runtime.errors",
        "noisy_student.runtime.layout",
    }


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
        settings = params.check(presets.parameters(name))
        assert (settings.teacher.model.size, settings.teacher.image_size) == ("b7", 600)
        students = [settings.generation(key).student for key in settings.generations]
        tuned = [s.finetune.image_size if s.finetune.epochs else s.image_size for s in students]
        assert [(s.model.size, size, s.unlabelled_ratio) for s, size in zip(students, tuned, strict=True)] == chain


def test_a_preset_extends_another(tmp_path, monkeypatch):
    monkeypatch.setattr(presets, "FOLDER", tmp_path)
    for name, content in {
        "digits": "{}\n",
        "one": "seed: 1\nteacher: {steps: 400}\n",
        "two": "extends: one\nteacher: {batch_size: 8}\n",
        "ring": "extends: ring\n",
    }.items():
        (tmp_path / f"{name}.yaml").write_text(content)
    expected = with_values(presets.defaults(), {"seed": 1, "teacher.steps": 400, "teacher.batch_size": 8})
    assert presets.parameters("two") == expected
    with pytest.raises(ParamsError, match=r"presets/ring.yaml extends itself: ring -> ring"):
        presets.parameters("ring")


def test_generations_are_replaced_as_a_whole(tmp_path, monkeypatch):
    """And nothing else: of `eval.extra_tests`, which users name too, both are there."""
    monkeypatch.setattr(presets, "FOLDER", tmp_path)
    one = "release: teacher\ngenerations: {a: {teacher: teacher}, b: {teacher: student-a}}\n"
    for name, content in {
        "digits": "{}\n",
        "one": f"{one}eval: {{extra_tests: {{x: /x}}}}\n",
        "two": "extends: one\ngenerations: {b: {teacher: teacher}}\neval: {extra_tests: {y: /y}}\n",
        "three": "extends: two\nseed: 3\n",
        "bad": "extends: one\nrelease: student-a\ngenerations: {b: {teacher: teacher}}\n",
    }.items():
        (tmp_path / f"{name}.yaml").write_text(content)
    assert presets.parameters("one")["generations"] == {"a": {"teacher": "teacher"}, "b": {"teacher": "student-a"}}
    for name in ("two", "three"):
        found = presets.parameters(name)
        assert found["generations"] == {"b": {"teacher": "teacher"}}
        assert found["eval"]["extra_tests"] == {"x": "/x", "y": "/y"}
    with pytest.raises(ParamsError, match=r"presets/bad\.yaml:\n  release=student-a: no such model; choose one of s"):
        presets.parameters("bad")


def test_overrides_that_would_put_a_generation_before_its_teacher_are_refused():
    """DVC leaves old keys where they are: `gen1` would come before `first`."""
    old = {"generations": {"gen1": {"teacher": "teacher"}}}
    new = {"generations": {"first": {"teacher": "teacher"}, "gen1": {"teacher": "student-first"}}}
    with pytest.raises(ParamsError, match=r"generations\.gen1: -S would put it before first.*into params\.yaml"):
        presets.overrides(old, new)
    assert presets.overrides(new, old)


def test_dvc_replaces_all_generations_by_two_overrides(tmp_path):
    """As docs/comparing.md has it: the mapping alone would be merged with the one there."""
    path = tmp_path / "params.yaml"
    one = "generations={gen1: {teacher: teacher}}"
    found = {}
    for overrides in ([f"++{one}"], ["~generations", f"++{one}", "release=student-gen1"]):
        path.write_text(presets.fresh(presets.defaults()))
        given = json.dumps([(str(path), overrides)])
        subprocess.run([sys.executable, "-c", DVC_WRITES], input=given, text=True, check=True)
        found[len(overrides)] = params.load(path) if len(overrides) == 3 else params.read_yaml(path)
    assert list(found[1]["generations"]) == ["gen1", "gen2", "gen3", "noise-only"]
    assert list(found[3].generations) == ["gen1"]


def test_unknown_preset():
    with pytest.raises(ParamsError, match=r"no preset 'imagenet'; choose one of digits, cifar10"):
        presets.parameters("imagenet")


def test_an_overlay_with_a_typo_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(presets, "FOLDER", tmp_path)
    (tmp_path / "mine.yaml").write_text("# mine\nteacher: {stpes: 3}\n")
    with pytest.raises(ParamsError, match=r"presets/mine\.yaml:\n  teacher\.stpes: unknown parameter"):
        presets.parameters("mine")


def test_command_writes_and_says_what_changed(tmp_path):
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    (tmp_path / "presets").symlink_to(ROOT / "presets")
    done = _run(tmp_path, "cifar10-cpu")
    assert done.returncode == 0
    assert "data.source: digits -> cifar10\n" in done.stdout
    assert params.load(tmp_path / "params.yaml").data.labelled == 4000
    assert "Before that: data.root=data/raw/cifar10: no such file or folder" in done.stdout  # not in tmp_path


def test_a_date_in_the_file_before_is_shown_as_it_is(tmp_path):
    text = (ROOT / "params.yaml").read_text()
    (tmp_path / "params.yaml").write_text(text.replace("  root: data/raw/digits", "  root: 2024-01-01", 1))
    (tmp_path / "presets").symlink_to(ROOT / "presets")
    done = _run(tmp_path, "digits")
    assert (done.returncode, done.stderr) == (0, "")
    assert "data.root: 2024-01-01 -> data/raw/digits\n" in done.stdout


def test_command_writes_a_whole_file_where_there_is_none_and_on_request(tmp_path):
    (tmp_path / "presets").symlink_to(ROOT / "presets")
    assert _run(tmp_path, "paper-digits").returncode == 0
    whole = (tmp_path / "params.yaml").read_text()
    assert whole == presets.fresh(presets.parameters("paper-digits"))
    (tmp_path / "params.yaml").write_text(whole.replace("# of the splits", "# mine"))
    assert _run(tmp_path, "paper-digits").returncode == 0
    assert "# mine" in (tmp_path / "params.yaml").read_text()
    assert _run(tmp_path, "paper-digits", "--new").returncode == 0
    assert (tmp_path / "params.yaml").read_text() == whole


def test_command_prints_the_overrides_and_writes_nothing(tmp_path):
    text = (ROOT / "params.yaml").read_text()
    (tmp_path / "params.yaml").write_text(text)
    (tmp_path / "presets").symlink_to(ROOT / "presets")
    done = _run(tmp_path, "paper-digits", "--args")
    expected = presets.overrides(params.read_yaml(ROOT / "params.yaml"), presets.parameters("paper-digits"))
    assert len(expected) > 20
    assert done.stdout == f"{' '.join(expected)}\n"
    assert (tmp_path / "params.yaml").read_text() == text


def test_command_refuses_an_unknown_preset_without_a_traceback(tmp_path):
    text = (ROOT / "params.yaml").read_text()
    (tmp_path / "params.yaml").write_text(text)
    (tmp_path / "presets").symlink_to(ROOT / "presets")
    done = _run(tmp_path, "nothing")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert done.stderr.startswith("error: there is no preset 'nothing'")
    assert (tmp_path / "params.yaml").read_text() == text


def _run(folder, *arguments, command="preset", root=ROOT):
    return subprocess.run(
        [sys.executable, "-m", f"commands.{command}", *arguments],
        cwd=folder,
        env={"PYTHONPATH": str(root), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )


RING = list(zip(NAMES, [*NAMES[1:], NAMES[0]], strict=True))
PAIRS = {*RING, *((after, before) for before, after in RING)}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(before, after, marks=() if (before, after) in PAIRS else pytest.mark.slow)
        for before in NAMES
        for after in NAMES
    ],
)
def test_overrides_are_what_hydra_makes_of_them(before, after, tmp_path):
    """The arguments, applied by the grammar that DVC uses, turn any preset into any other."""
    from dvc.utils.hydra import apply_overrides

    old, new = presets.parameters(before), presets.parameters(after)
    assert _applied(apply_overrides, old, new, tmp_path) == new


def test_one_mapping_for_two_sections_holds_a_preset_too():
    text = "teacher: {model: &network {name: efficientnet, size: b0}}\nstudent: {model: *network}\n"
    new = {"teacher": {"model": {"name": "efficientnet", "size": "b7"}}, "student": {"model": {"name": "mine"}}}
    defaults = presets.parameters("digits")
    whole = defaults | {key: defaults[key] | {"model": new[key]["model"]} for key in new}
    written = presets.rewrite(presets.fresh(defaults).partition("teacher:")[0] + text, whole)
    assert YAML(typ="safe", pure=True).load(written) == whole


def test_overrides_of_a_file_without_generations(tmp_path):
    """`generations:` and nothing behind it is null."""
    from dvc.utils.hydra import apply_overrides

    new = presets.parameters("digits")
    assert _applied(apply_overrides, new | {"generations": None}, new, tmp_path) == new


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


# What `dvc exp run -S` and `--queue -S` do to params.yaml, in a process of its own: in this one a representer for nulls
# that anybody registers with ruamel holds for DVC, too.
DVC_WRITES = """
import json, sys
from dvc.utils.hydra import apply_overrides
for name, overrides in json.load(sys.stdin):
    apply_overrides(name, overrides)
"""


def _change_as_dvc(changes):
    """Apply [(path, overrides)]; return the lines that differ of each, [(before, after)]."""
    before = [path.read_text() for path, _ in changes]
    given = json.dumps([(str(path), overrides) for path, overrides in changes])
    subprocess.run([sys.executable, "-c", DVC_WRITES], input=given, text=True, check=True)
    after = [path.read_text() for path, _ in changes]
    pairs = [zip(old.split("\n"), new.split("\n"), strict=True) for old, new in zip(before, after, strict=True)]
    return [[pair for pair in lines if pair[0] != pair[1]] for lines in pairs]


def test_a_change_by_dvc_is_one_line_in_params_yaml_and_after_each_preset(tmp_path):
    """Of every kind: flag, number, null to value, value to null, text, an inner value of a generation."""
    paths = {name: tmp_path / f"{name}.yaml" for name in NAMES}
    committed = (ROOT / "params.yaml").read_text()
    for name, path in paths.items():
        path.write_text(presets.rewrite(committed, presets.parameters(name)))
    paths["committed"] = tmp_path / "committed.yaml"
    paths["committed"].write_text(committed)
    for override in (
        "teacher.noise=neither",
        "seed=77",
        "data.unlabelled=123",
        "data.unlabelled=null",
        "data.root=/somewhere/else",
        "generations.gen1.teacher=another",
        "eval.robustness=none",
    ):
        changed = _change_as_dvc([(path, [override]) for path in paths.values()])
        key, value = override.rpartition(".")[2].split("=")
        for name, lines in zip(paths, changed, strict=True):
            assert len(lines) == 1, (name, override, lines)
            assert key in lines[0][1], (name, lines)
            assert value in lines[0][1] or value == "null", (name, lines)


def test_a_change_inside_a_long_generation_is_one_line(tmp_path):
    """In one line of its own each; on a folded line a longer value would move others."""
    path = tmp_path / "params.yaml"
    path.write_text(presets.fresh(presets.parameters("paper-v1")))
    for override in ("generations.gen2.student.image_size=12345", "generations.gen2.student.model.size=b0"):
        assert len(_change_as_dvc([(path, [override])])[0]) == 1


def test_overrides_of_generations_can_be_given_twice(tmp_path):
    """After an interrupted run they stand in params.yaml already, where DVC refuses a single value with `+`."""
    text = (ROOT / "docs/comparing.md").read_text()
    overrides = [value for pair in re.findall(r"-S (?:'(\+.*?)'|(\+\S+))", text) for value in pair if value]
    assert len(overrides) >= 2
    path = tmp_path / "params.yaml"
    for override in [*overrides, "++eval.extra_tests.mine=/a"]:
        path.write_text((ROOT / "params.yaml").read_text())
        command = [sys.executable, "-c", DVC_WRITES]
        given = json.dumps([[str(path), [override]]] * 2)
        done = subprocess.run(command, input=given, text=True, capture_output=True, check=False)
        assert done.returncode == 0, (override, done.stderr)
        assert override.startswith("++")


def test_a_null_is_left_blank_and_comments_say_so():
    written = presets.fresh(presets.defaults())
    assert "\n  unlabelled: # at most so many unlabelled images; empty: all\n" in written
    values = [line.partition("#")[0] for line in written.splitlines()]
    assert not [line for line in values if "null" in line]
    comments = [line.partition("#")[2] for line in written.splitlines()]
    assert [line for line in comments if "null" in line] == [presets.HEADER.splitlines()[-1][1:]]


def _applied(apply_overrides, old, new, folder):
    arguments = presets.overrides(old, new)
    assert arguments[::2] == ["-S"] * (len(arguments) // 2)
    path = folder / "params.yaml"
    YAML().dump(with_values(old, {}), path)
    if arguments:
        apply_overrides(path, arguments[1::2])
    return YAML(typ="safe").load(path)

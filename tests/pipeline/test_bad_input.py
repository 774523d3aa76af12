"""Every user mistake: one clear message, exit status 1 from the stage, no traceback, nothing half-written."""

import json
import re
import shutil
import sys

import numpy as np
import pytest
from dvc.utils.hydra import apply_overrides
from PIL import Image

from commands import preset as presets
from noisy_student.settings import params
from support import ROOT


@pytest.fixture
def fresh(clone, tmp_path):
    """A copy of the finished tiny clone, to be damaged."""
    from clones import Clone

    folder = tmp_path / "project"
    shutil.copytree(clone.folder, folder, symlinks=True)
    return Clone(folder)


def _one_message(output, *words):
    assert "Traceback" not in output, output
    assert len(re.findall(r"^error: ", output, re.MULTILINE)) == 1, output
    for word in words:
        assert word in output, output


def test_a_typo_in_student_fails_in_prepare(fresh):
    before = fresh.read("data/prepared/labelled/images.npy")
    text = (fresh.folder / "params.yaml").read_text().replace("  mix: ratio", "  mxi: ratio")
    (fresh.folder / "params.yaml").write_text(text)
    _one_message(fresh.stage("prepare", fails=True), "student.mxi: unknown parameter", "student.mix: missing")
    assert fresh.read("data/prepared/labelled/images.npy") == before


def test_dvc_ends_with_an_error_and_names_the_stage(fresh):
    fresh.set(data__labelled=5)
    output = fresh.run("dvc", "repro", fails=True)
    assert "error: " in output
    assert "Traceback" not in output
    assert "failed to reproduce 'check'" in output


def test_a_number_as_generation_is_refused_by_every_stage(fresh):
    path = fresh.folder / "params.yaml"
    path.write_text(path.read_text().replace("gen1: {teacher: teacher}", "1: {teacher: teacher}"))
    checked = fresh.run(sys.executable, "-m", "commands.check", fails=True)
    _one_message(checked, "the key 1 is of type int", "gen1")
    for name in ("check", "prepare", "teacher", "eval_teacher", "results"):
        _one_message(fresh.stage(name, fails=True), "the key 1 is of type int", "gen1")
    for name in ("pseudolabel", "balance", "student", "eval"):
        _one_message(fresh.stage(name, "1", fails=True), "the key 1 is of type int")


def test_no_pseudo_label_above_the_threshold(fresh):
    np.save(fresh.folder / "data/prepared/pseudo_labels/gen1/shard-00000.npy", np.full((120, 10), 0.1, np.float32))
    fresh.set(pseudolabel__threshold=0.9)
    before = fresh.read("data/prepared/balanced/gen1.npy")
    output = fresh.stage("balance", "gen1", fails=True)
    _one_message(output, "threshold=0.9", "Lower pseudolabel.threshold")
    assert fresh.read("data/prepared/balanced/gen1.npy") == before


def test_a_class_without_pseudo_labels(fresh):
    probs = np.full((120, 10), 0.01, np.float32)
    probs[np.arange(120), np.arange(120) % 9] = 0.91
    np.save(fresh.folder / "data/prepared/pseudo_labels/gen1/shard-00000.npy", probs)
    fresh.set(balance__on_empty="error")
    _one_message(fresh.stage("balance", "gen1", fails=True), "class 9", "balance.on_empty")


def test_divergence_saves_no_model(fresh):
    (fresh.folder / "models/teacher.keras").unlink()
    fresh.set(teacher__optimizer__learning_rate=1e30, teacher__schedule={"name": "constant"})
    _one_message(fresh.stage("teacher", fails=True), "teacher: the loss became", "learning_rate")
    assert not list((fresh.folder / "models").glob("*teacher*"))


def test_damaged_model(fresh):
    path = fresh.folder / "models/teacher.keras"
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(data[: len(data) // 2])
    _one_message(fresh.stage("pseudolabel", "gen1", fails=True), "models/teacher.keras")


def test_damaged_array(fresh):
    path = fresh.folder / "data/prepared/pseudo_labels/gen1/shard-00000.npy"
    path.unlink()
    np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    _one_message(fresh.stage("balance", "gen1", fails=True), "data/prepared/pseudo_labels/gen1/shard-00000.npy")


def test_another_backend_in_the_environment(fresh):
    output = fresh.run("python", "-m", "stages.teacher", fails=True, KERAS_BACKEND="jax")
    _one_message(output, "backend: tensorflow", "KERAS_BACKEND is jax")


def test_unknown_generation(fresh):
    _one_message(fresh.stage("student", "gen9", fails=True), "there is no 'gen9'", "gen1")


def test_missing_folder_of_images_is_named_before_dvc_looks_for_it(fresh):
    fresh.set(data__unlabelled_from="/nonexistent/images")
    _one_message(
        fresh.run(sys.executable, "-m", "commands.check", fails=True),
        "data.unlabelled_from=/nonexistent/images",
        "no such file",
    )


@pytest.mark.parametrize("name", ["root", "unlabelled_from"])
def test_a_misspelt_folder_is_named_by_dvc_repro_too(fresh, name):
    """DVC's own message, "[Errno 2]", names no parameter: so the stage check does not depend on the inputs."""
    fresh.set(**{f"data__{name}": "data/raw/digts"})
    output = fresh.run("dvc", "repro", fails=True)
    assert f"error: data.{name}=data/raw/digts: no such file or folder. Did you mean data/raw/digits?" in output
    assert "[Errno 2]" not in output


def test_empty_folder_of_images(fresh):
    fresh.set(data__source="folder", data__root="data/raw/mine", data__test=None)
    (fresh.folder / "data/raw/mine").mkdir()
    _one_message(fresh.stage("prepare", fails=True), "data/raw/mine")


def _make_images(folder):
    rng = np.random.default_rng(0)
    for split, number in (("train", 30), ("test", 10)):
        for label, name in enumerate(("dark", "light")):
            (folder / split / name).mkdir(parents=True)
            for index in range(number):
                pixels = rng.integers(120 * label, 120 * label + 100, (20, 24, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / split / name / f"{index}.png")


@pytest.mark.slow
@pytest.mark.parametrize("way", ["absolute path, --temp", "dvc add, queue"])
def test_own_images(fresh, tmp_path, way):
    """A user's own folder of images is found by experiments that run in a folder of their own."""
    root = tmp_path / "images" if "absolute" in way else fresh.folder / "data/raw/mine"
    _make_images(root)
    if "add" in way:
        fresh.run("dvc", "add", "data/raw/mine")
        fresh.commit("my images")
        root = "data/raw/mine"
    values = f"data.source=folder data.root={root} data.labelled=10 data.validation=10 data.test=null"
    overrides = [part for value in [*values.split(), "data.unlabelled=null"] for part in ("-S", value)]
    if "temp" in way:
        assert "Ran experiment(s)" in fresh.run("dvc", "exp", "run", "--temp", "-n", "mine", *overrides)
    else:
        fresh.run("dvc", "exp", "run", "--queue", "-n", "mine", *overrides)
        fresh.run("dvc", "exp", "run", "--run-all")
    fresh.run("dvc", "exp", "apply", "mine")
    counts = json.loads(fresh.read("metrics/data.json"))
    assert counts["images"] == {"labelled": 10, "validation": 10, "unlabelled": 40, "test": 20}
    assert json.loads(fresh.read("metrics/eval.json"))["teacher"]["accuracy"] > 0.9  # dark against light


def test_a_path_of_any_characters_goes_through_dvc_in_the_readmes_form(fresh, tmp_path):
    """Within double quotes: space, parentheses, comma, =, #, a leading dash, brackets, other scripts; a quote as \"."""
    root, pool = tmp_path / 'my (1), it\'s "new"/-a=b', tmp_path / "-p [2] {3} #4 猫; !"
    _make_images(root)
    shutil.copytree(root / "train", pool)
    readme = (ROOT / "README.md").read_text()
    form = """-S 'data.root="/my photos (1)"'"""
    assert form in readme
    command = form.replace("/my photos (1)", str(root).replace('"', '\\"').replace("'", "'\\''"))
    command += form.replace("data.root", "data.unlabelled_from").replace("/my photos (1)", str(pool)).join("  ")
    values = "data.source=folder data.labelled=10 data.validation=10 data.test=null data.unlabelled=null"
    command += " ".join(f"-S {value}" for value in values.split())
    assert "Ran experiment(s)" in fresh.run("sh", "-c", f"dvc exp run --temp -n odd {command} prepare")
    fresh.run("dvc", "exp", "apply", "odd")
    assert params.load(fresh.folder / "params.yaml").data.root == str(root)
    counts = json.loads(fresh.read("metrics/data.json"))["images"]
    assert (counts["labelled"], counts["test"]) == (10, 20)


def test_every_preset_is_accepted_by_dvc_exp_run(clone):
    """DVC's own parser makes the preset's values of what `--args` prints, and then lists a student a generation."""
    path = clone.folder / "params.yaml"
    before = path.read_text()
    for name in presets.names():
        printed = clone.run("python", "-m", "commands.preset", name, "--args").split()
        apply_overrides(path, [part for part in printed if part != "-S"])
        assert params.read_yaml(path) == presets.parameters(name)
        listed = clone.run("dvc", "stage", "list", "--name-only").split()
        students = [stage for stage in listed if stage.startswith("student@")]
        assert students == [f"student@{key}" for key in presets.parameters(name)["generations"]]
        path.write_text(before)

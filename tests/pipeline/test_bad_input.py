"""What users do wrong, with real DVC: one clear message, no traceback. tests/test_mistakes.py has more, without it."""

import json
import re
import shutil

import numpy as np
import pytest
from PIL import Image

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


@pytest.mark.parametrize("name", ["root", pytest.param("unlabelled_from", marks=pytest.mark.slow)])
def test_a_misspelt_folder_is_named_by_dvc_repro_too(fresh, name):
    """DVC's own message, "[Errno 2]", names no parameter: so the stage check does not depend on the inputs."""
    fresh.set(**{f"data__{name}": "data/raw/digts"})
    output = fresh.run("dvc", "repro", fails=True)
    assert f"error: data.{name}=data/raw/digts: no such file or folder. Did you mean data/raw/digits?" in output
    assert "[Errno 2]" not in output


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


def test_a_path_of_any_characters_goes_through_dvc_in_the_form_of_the_docs(fresh, tmp_path):
    """Within double quotes: space, parentheses, comma, =, #, a leading dash, brackets, other scripts; a quote as \"."""
    root, pool = tmp_path / 'my (1), it\'s "new"/-a=b', tmp_path / "-p [2] {3} #4 猫; !"
    _make_images(root)
    shutil.copytree(root / "train", pool)
    page = (ROOT / "docs/own-images.md").read_text()
    form = """-S 'data.root="/my photos (1)"'"""
    assert form in page
    command = form.replace("/my photos (1)", str(root).replace('"', '\\"').replace("'", "'\\''"))
    command += form.replace("data.root", "data.unlabelled_from").replace("/my photos (1)", str(pool)).join("  ")
    values = "data.source=folder data.labelled=10 data.validation=10 data.test=null data.unlabelled=null"
    command += " ".join(f"-S {value}" for value in values.split())
    assert "Ran experiment(s)" in fresh.run("sh", "-c", f"dvc exp run --temp -n odd {command} prepare")
    fresh.run("dvc", "exp", "apply", "odd")
    assert params.load(fresh.folder / "params.yaml").data.root == str(root)
    counts = json.loads(fresh.read("metrics/data.json"))["images"]
    assert (counts["labelled"], counts["test"]) == (10, 20)

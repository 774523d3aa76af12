"""Pseudo-labels of a folder: the same numbers as by hand, laid out as the pipeline reads data sets."""

import csv
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deployed import CLASSES
from noisy_student.deployment.labelling import PseudoLabels, lay_out
from noisy_student.inference.description import Description
from noisy_student.inference.saving import save
from noisy_student.settings.params import check
from noisy_student.sources.loading import load_source
from support import with_values

PLAIN = ("cat", "dog", "Käfer", "d-e", "eel")


@pytest.fixture
def threshold(expected):
    """Above which three of the seven images are."""
    return float(np.sort([probs.max() for probs in expected.values()])[-4:-2].mean())


@pytest.fixture
def plain(network, tmp_path):
    """A model whose classes can be folders."""
    path = tmp_path / "plain.keras"
    save(network, path, Description(name="student-gen1", classes=PLAIN, image_size=12, resize="crop"))
    return path


def test_the_table_begins_with_the_least_sure_image(model, expected, threshold, call):
    done = call("label", "photos", model, "--threshold", threshold)
    assert done.status == 0, done.err
    with open("labels/labels.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["file"] for row in rows] == sorted(expected, key=lambda name: expected[name].max())
    for row in rows:
        probs = expected[row["file"]]
        assert row["class"] == CLASSES[probs.argmax()]
        assert float(row["confidence"]) == pytest.approx(probs.max(), abs=2e-5)
    assert [row["accepted"] for row in rows] == ["0"] * 4 + ["1"] * 3
    assert "7 images: 3 accepted" in done.out
    assert "4 uncertain" in done.out
    with Image.open("labels/uncertain.png") as uncertain, Image.open("labels/accepted.png") as accepted:
        for sheet, kept in ((uncertain, False), (accepted, True)):  # a row a class that has images
            classes = {probs.argmax() for probs in expected.values() if (probs.max() > threshold) == kept}
            assert sheet.height // 130 == len(classes)
    assert sorted(path.name for path in Path("labels").iterdir()) == ["accepted.png", "labels.csv", "uncertain.png"]


def test_the_links_are_a_data_set_that_the_pipeline_reads(plain, expected, threshold, call, digits):
    done = call("label", "photos", plain, "--threshold", threshold, "--into", "mine")
    assert done.status == 0, done.err
    links = {os.path.realpath(path): path for path in Path("mine").rglob("*.*")}
    for name, probs in expected.items():
        link = links.pop(os.path.realpath(name))
        folder = f"train/{PLAIN[probs.argmax()]}" if probs.max() > threshold else "unlabelled"
        assert link == Path("mine", folder, name.removeprefix("photos/").replace("/", "__"))
    assert not links
    lacking = [name for name in PLAIN if not list(Path("mine/train", name).iterdir())]
    assert f"no image was accepted as {', '.join(lacking)}" in done.out
    for name in lacking:  # a person does that
        shutil.copy("photos/0.png", f"mine/train/{name}")
    shutil.copytree("mine/train", "mine/test")
    changes = {"source": "folder", "root": "mine", "image_size": 12, "labelled": None, "validation": 2, "test": None}
    source = load_source(check(with_values(digits, {f"data.{key}": value for key, value in changes.items()})).data)
    assert source.classes == tuple(sorted(PLAIN))
    assert len(source.train.labels) == 3 + len(lacking)
    assert len(source.unlabelled) == 4


def test_equal_names_in_different_folders_do_not_meet(tmp_path):
    names = ["in/a__b.png", "in/a/b.png", "in/a/b__c.png", f"in/{'x' * 200}.png"]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    found = PseudoLabels.of([str(tmp_path / name) for name in names], [0, 0, 0, 0], [0.9] * 4, threshold=0.5)
    lay_out(tmp_path / "out", tmp_path / "in", found, ["cat"])
    links = list((tmp_path / "out/train/cat").iterdir())
    assert sorted(link.read_text() for link in links) == sorted(names)
    assert {link.name for link in links} >= {"a__b.png", "a__b-2.png"}


MISTAKES = {
    "no folder": (lambda: [], "nowhere", ["nowhere: no such folder"]),
    "a file": (lambda: [], "photos/0.png", ["photos/0.png: no such folder"]),
    "an empty folder": (lambda: (Path("empty").mkdir(), [])[1], "empty", ["empty: no image file there"]),
    "labels that are there": (
        lambda: (Path("labels").mkdir(), Path("labels/labels.csv").touch(), [])[2],
        "photos",
        ["labels: exists already"],
    ),
    "a data set that is there": (
        lambda: (Path("mine/train").mkdir(parents=True), ["--into", "mine"])[1],
        "photos",
        ["mine: exists already"],
    ),
    "a class that is no folder": (lambda: ["--into", "mine"], "photos", ["'d/e' cannot be", "--classes"]),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_mistakes(model, photos, call, case):
    prepare, folder, words = MISTAKES[case]
    arguments = prepare()
    before = sorted(Path().rglob("*"))
    done = call("label", folder, model, *arguments)
    assert done.status == 1
    assert done.err.count("error: ") == 1
    for word in words:
        assert word in done.err
    assert sorted(Path().rglob("*")) == before


def test_the_other_order_of_arguments_is_told(model, photos, call):
    done = call("label", model, "photos")
    assert done.status == 1
    assert f"label takes the folder of images first, then the model. Type: label photos {model}" in done.err


def test_unreadable_files_are_named_and_the_rest_is_labelled(model, photos, call):
    Path("photos/bad.png").write_text("x")
    done = call("label", "photos", model)
    assert done.status == 3
    assert "unreadable: photos/bad.png: not an image" in done.err
    assert "1 unreadable" in done.out
    assert len(Path("labels/labels.csv").read_text().splitlines()) == 8


@pytest.mark.parametrize(
    ("out", "into"), [("labels", "labels/data"), ("mine/labels", "mine"), ("labels", "./labels"), ("a/../b", "b/c")]
)
def test_folders_that_lie_in_each_other_are_refused_at_once(plain, expected, call, out, into):
    before = sorted(Path().rglob("*"))
    done = call("label", "photos", plain, "--out", out, "--into", into)
    assert done.status == 1
    said = f"--out {Path(out)} and --into {Path(into)}: one is the other, or lies in it. Give two folders."
    assert done.err == f"error: {said}\n"
    assert sorted(Path().rglob("*")) == before


def test_a_folder_without_a_name_is_refused(plain, expected, call, tmp_path, monkeypatch):
    photos = Path("photos").resolve()
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    done = call("label", photos, plain, "--out", ".")
    assert (done.status, done.err) == (1, "error: .: no name of a new folder. Give one, such as labels.\n")


def test_links_have_names_that_file_systems_take(tmp_path):
    """Three bytes a character; what is left of a name must not hide the link."""
    names = [f"{'猫' * 60}/{'犬' * 60}.jpg", f"{'a' * 120}.{'b' * 119}.jpg", f"x/{'c' * 100}.{'d' * 100}"]
    files = [f"photos/{name}" for name in names]
    found = PseudoLabels.of(files, [0, 0, 0], [0.9, 0.9, 0.9], threshold=0.5)
    lay_out(tmp_path / "mine", Path("photos"), found, ["cat"])
    links = sorted((tmp_path / "mine/train/cat").iterdir())
    assert sorted(os.readlink(link) for link in links) == sorted(map(os.path.abspath, files))
    assert all(len(os.fsencode(link.name)) <= 150 and not link.name.startswith(".") for link in links)
    assert f"{'犬' * 40}.jpg" in [link.name for link in links]

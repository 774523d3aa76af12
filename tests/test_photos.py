"""`python -m commands.preset photos --root DIR`: concrete numbers, by what is in the folder."""

import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from commands import photos
from commands import preset as presets
from noisy_student.runtime.errors import DataError
from noisy_student.settings import params
from support import ROOT, digits_100


def _folder(root, split, classes, number, size=(40, 30)):
    for name in classes:
        folder = root / split / name
        folder.mkdir(parents=True)
        for index in range(number):
            Image.fromarray(np.full((size[1], size[0], 3), index, np.uint8)).save(folder / f"{index}.png")


@pytest.fixture
def root(tmp_path):
    """3 classes, 50 images each to train with, 40x30 pixels; 500 without labels."""
    _folder(tmp_path, "train", ("cat", "dog", "eel"), 50)
    _folder(tmp_path, "test", ("cat", "dog", "eel"), 4)
    _folder(tmp_path, "unlabelled", ("a", "b"), 250)
    return tmp_path


def run(folder, *arguments):
    command = [sys.executable, "-m", "commands.preset", "photos", *arguments]
    environment = {"PYTHONPATH": str(ROOT), "PATH": ""}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_writes_what_fits_the_images(root, tmp_path_factory):
    work = tmp_path_factory.mktemp("work")
    done = run(work, "--root", str(root))
    assert done.returncode == 0, done.stderr
    written = params.load(work / "params.yaml")
    data, teacher, student = written.data, written.teacher, written.student
    assert (data.source, data.root, data.image_size, data.resize) == ("folder", str(root), 32, "crop")
    # 150 images: a fifth for validation, the rest keep their labels, those of unlabelled/ are the pool
    assert (data.validation, data.labelled, data.unlabelled_from, data.test) == (30, None, "data/pools/auto", None)
    # 40 passes over 120 images in batches of 64 are 75 steps, fewer than the least
    assert (teacher.steps, teacher.validate_every, teacher.batch_size) == (320, 20, 64)
    assert (student.steps, student.batch_size, student.unlabelled_ratio) == (640, 32, 3.0)
    # 320 * 64 + 640 * 4 * 32 images, of which a core and another one take 275 a second
    assert "102,400 images of 32x32 pixels: about 6 minutes on two CPU cores" in done.stderr
    assert written.eval.robustness == "off"
    assert (written.augmentation.flip, written.augmentation.crop) == (True, 4)
    assert "augmentation.flip=true is a guess" in done.stderr
    assert "150 images of 3 classes in train/, 500 without labels; the shorter side is 30 pixels" in done.stderr


def test_new_and_args_as_of_other_presets(root, tmp_path_factory):
    work = tmp_path_factory.mktemp("work")
    assert run(work, "--root", str(root)).returncode == 0
    fresh = (work / "params.yaml").read_text()
    (work / "params.yaml").write_text(fresh.replace("# of the splits", "# mine"))
    assert run(work, "--root", str(root)).returncode == 0
    assert "# mine" in (work / "params.yaml").read_text()
    assert run(work, "--root", str(root), "--new").returncode == 0
    assert (work / "params.yaml").read_text() == fresh
    (work / "params.yaml").write_text(presets.fresh(presets.defaults()))
    assert "-S data.image_size=32" in run(work, "--root", str(root), "--args").stdout


@pytest.mark.parametrize(
    ("sides", "expected"),
    [
        ([(28, 28)] * 3, (32, False)),
        ([(100, 90), (64, 64), (500, 480)], (64, False)),
        ([(640, 480)] * 5, (96, True)),
        ([(32, 32), (32, 32), (4000, 3000)], (32, False)),  # the median: one large image is no reason
    ],
)
def test_the_image_size_is_by_the_images(sides, expected):
    assert photos._image_size(sides) == expected


def test_the_numbers_grow_with_the_images(tmp_path):
    seen = photos.Seen({str(k): 1000 for k in range(10)}, frozenset({"train", "test", "val"}), [(256, 256)], 0)
    tree, said = photos.overlay(tmp_path, seen)
    # val/ beside test/: its own validation images; no unlabelled/: half the labels are put aside
    assert (tree["data"]["validation"], tree["data"]["labelled"]) == (None, 5000)
    assert tree["teacher"]["steps"] == 16 * round(40 * 5000 / 64 / 16) == 3120
    assert not tree["augmentation"]["flip"]  # classes "0" to "9"
    assert any("there is no unlabelled/: 5,000 images keep their labels" in line for line in said)
    assert tree["teacher"]["model"]["depth"] == 20
    # 3,120 * 64 + 6,240 * 2 * 32 images, of 9 times as many pixels, in 18 layers where ResNet-14 has 12: / 275 / 3600
    assert any("about 8 hours on two CPU cores" in line for line in said)


def test_a_path_outside_the_project_is_written_absolute(tmp_path, monkeypatch):
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    written = [photos._written(photos.Path(path)) for path in ("../images", "data/raw/mine", "/a/b")]
    assert written == [str(tmp_path / "images"), "data/raw/mine", "/a/b"]


def test_what_it_does_not_choose_is_as_with_the_digits_100(tmp_path):
    """One generation and validation images, whatever the default is."""
    tree, _ = photos.overlay(tmp_path, photos.Seen({"a": 99, "b": 99}, frozenset({"train", "test"}), [(64, 64)], 9))
    assert presets._overlay(presets.defaults(), tree) == presets._overlay(digits_100(), tree)


def test_few_images(tmp_path):
    """A batch is no larger than the labelled images, validation leaves most of them."""
    tree, _ = photos.overlay(tmp_path, photos.Seen({"a": 12, "b": 12}, frozenset({"train", "test"}), [(64, 64)], 9))
    assert (tree["data"]["validation"], tree["teacher"]["batch_size"]) == (8, 16)


@pytest.mark.parametrize(
    ("splits", "unlabelled", "least", "cut"),
    [
        ({"test"}, 0, 3, "labelled, validation, unlabelled"),
        ({"test"}, 9, 2, "labelled, validation"),
        ({"test", "val"}, 0, 2, "labelled, unlabelled"),
        ({"test", "val"}, 9, 1, "labelled"),
    ],
)
def test_the_fewest_images_that_can_be_split(tmp_path, splits, unlabelled, least, cut):
    def data(number):
        seen = photos.Seen({"a": number, "b": least}, frozenset({"train", *splits}), [(64, 64)], unlabelled)
        return photos.overlay(tmp_path, seen)[0]["data"]

    with pytest.raises(DataError, match=rf"of a \({least - 1}\)\. Every class needs {least} .* each of: {cut}\."):
        data(least - 1)
    parts = data(least)
    assert all(parts[name] in (None, 2) for name in ("labelled", "validation"))  # 2 classes, an image of each


def test_damaged_files_count_for_no_size_and_links_are_followed(root):
    (root / "train/cat/broken.png").write_bytes(b"no image")
    (root / "train/fox").symlink_to(root / "train/dog")
    seen = photos.look(root)
    assert (seen.train["cat"], seen.train["fox"]) == (51, 50)
    assert set(seen.sides) == {(40, 30)}


def test_names_of_two_unicode_forms_are_one_class_as_in_prepare(tmp_path):
    _folder(tmp_path, "train", ("cafe\u0301", "caf\u00e9", "tea"), 1)
    (tmp_path / "test").mkdir()
    with pytest.raises(DataError, match=r"differ only in Unicode form: 'cafe\\u0301' and 'caf\\xe9'"):
        photos.look(tmp_path)


@pytest.mark.parametrize("fault", ["no root", "misspelt", "no folder", "nested", "no test/", "one class", "no image"])
def test_mistakes_are_one_message(tmp_path, fault):
    if fault == "one class":
        _folder(tmp_path, "train", ("cat",), 2)
    if fault == "no test/":
        _folder(tmp_path, "train", ("cat", "dog"), 9)
        _folder(tmp_path, "tests", ("cat", "dog"), 9)
    if fault == "nested":
        _folder(tmp_path, "train", ("cat", "dog"), 0)
        _folder(tmp_path, "train/cat", ("tabby",), 9)
        os.mkfifo(tmp_path / "train/dog/.pipe.png")
    if fault in ("one class", "nested", "no image"):
        (tmp_path / "val").mkdir()
    if fault == "no image":
        _folder(tmp_path, "train", ("cat", "dog"), 1)
        for path in tmp_path.glob("train/*/*"):
            path.write_bytes(b"hello")
    (tmp_path.parent / "holidays").mkdir(exist_ok=True)
    given = tmp_path.parent / "holliday" if fault == "misspelt" else tmp_path
    done = run(tmp_path, *([] if fault == "no root" else ["--root", str(given)]))
    words = {
        "no root": "--root DIR",
        "misspelt": f"found nothing. Did you mean {tmp_path.parent / 'holidays'}?",
        "no folder": "no folder train/",
        "nested": "no file lies directly in a folder of train/",
        "no test/": "there is no folder test/ in it (there is tests/)",
        "one class": "only the class cat",
        "no image": "none of 2 files",
    }
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert words[fault] in done.stderr
    assert not (tmp_path / "params.yaml").exists()

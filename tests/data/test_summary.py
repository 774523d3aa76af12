"""What `prepare` prints: all counts are compared with what it writes."""

import re

import numpy as np
import pytest
from PIL import Image

from noisy_student.settings.schema import AUTO, HELD_BACK, LABELLED_POOL
from noisy_student.sources.prepare import prepare

CLASSES = ("bee", "cat", "dog")


@pytest.fixture
def printed(tmp_path, data_params, capsys):
    """A function: write a tree of {split: images a class}, prepare it; what is printed, and the report."""

    def make(counts, classes=CLASSES, **values):
        rng = np.random.default_rng(0)
        for split, number in counts.items():
            for name in classes if split != "unlabelled" else ("x",):
                (tmp_path / "set" / split / name).mkdir(parents=True)
                for row in range(number + (name == classes[0])):  # the first class has one more
                    pixels = rng.integers(0, 256, (8, 8, 3), np.uint8)
                    Image.fromarray(pixels).save(tmp_path / "set" / split / name / f"{row}.png")
        data = data_params(source="folder", root=str(tmp_path / "set"), **{"test": None, "labelled": 6, **values})
        report = prepare(data, tmp_path / "out")
        return capsys.readouterr().out, report

    return make


def test_counts_and_origins(printed, tmp_path):
    out, report = printed({"train": 20, "test": 5, "unlabelled": 9}, validation=12, unlabelled_from=AUTO, unlabelled=7)
    lines = out.splitlines()
    assert lines[0] == f"prepare: folder ({tmp_path / 'set'}), 3 classes, 8 x 8 pixels"
    origins = {"labelled": "train/", "validation": "train/", "unlabelled": "unlabelled/", "test": "test/"}
    for split, origin in origins.items():
        assert re.search(rf"^  {split} +{report['images'][split]}  from {origin}$", out, re.MULTILINE), out
    assert lines[5].split() == ["labelled", "validation", "test"]
    for name, line in zip(CLASSES, lines[6:], strict=False):
        assert line.split() == [name, *(str(report["classes"][name][split]) for split in lines[5].split())]


def test_every_label_that_is_not_used_is_said(printed):
    """61 training images, of which 12 validate and 6 keep their labels."""
    more = {"train": 20, "test": 5, "val": 2, "unlabelled": 9}
    out, _ = printed(more, validation=12, unlabelled_from=AUTO, unlabelled=7, test=10)
    unused = [line.removeprefix("  not used: ") for line in out.splitlines() if "not used" in line]
    assert unused[0] == "43 labelled images of train/ (data.labelled=6; empty: all)"
    assert unused[1] == "2 images of unlabelled/ (data.unlabelled=7)"
    assert unused[2] == "6 images of test/ (data.test=10; empty: all)"
    assert unused[3].startswith("val/, 7 files (data.validation=12")
    assert unused[4] == "the names of the 1 folders in unlabelled/ (x), as labels"
    assert len(unused) == 5


@pytest.mark.parametrize("pool", [AUTO, HELD_BACK])
def test_labels_that_are_held_back(printed, pool):
    out, _ = printed({"train": 20, "test": 5}, validation=12, unlabelled_from=pool)
    assert "  unlabelled         43  from train/, held back\n" in out
    assert "  not used: the labels of the 43 images held back (data.labelled=6)\n" in out
    assert out.count("not used") == 1


def test_a_folder_as_pool(printed, tmp_path):
    (tmp_path / "pool").mkdir()
    Image.fromarray(np.full((8, 8, 3), 7, np.uint8)).save(tmp_path / "pool/0.png")
    out, _ = printed({"train": 4, "test": 2}, validation=3, unlabelled_from=str(tmp_path / "pool"))
    assert f"  unlabelled          1  from {tmp_path / 'pool'}\n" in out
    assert "  not used: 4 labelled images of train/ (data.labelled=6; empty: all)\n" in out


def test_the_labelled_images_as_pool(printed):
    out, _ = printed({"train": 4, "test": 2}, validation=3, unlabelled_from=LABELLED_POOL)
    assert "  unlabelled          6  from the labelled images\n" in out
    assert "4 labelled images of train/" in out


def test_own_validation_images(printed):
    out, _ = printed({"train": 4, "test": 2, "val": 2}, validation=None)
    assert "  validation          7  from val/\n" in out
    assert "val/," not in out


def test_of_many_classes_the_rarest_are_named(printed):
    names = [f"kind {number:02}" for number in range(25)]
    out, _ = printed({"train": 4, "test": 2}, classes=names, validation=25, labelled=50)
    assert "  test        a class 2 to 3, median 2; fewest: kind 01 2, kind 02 2, kind 03 2\n" in out
    assert len(out.splitlines()) < 15


def test_duplicates_and_unreadable_files_are_counted(printed, tmp_path):
    (tmp_path / "set/train").mkdir(parents=True)
    (tmp_path / "set/train/stray.txt").write_text("no image")
    out, _ = printed({"train": 10, "test": 2})
    assert "  skipped: 1 files that cannot be read\n" in out
    assert "dropped" not in out


def test_long_class_names_that_begin_alike_are_told_apart_and_wide_ones_aligned(printed):
    out, _ = printed({"train": 10, "test": 2}, classes=("a" * 60, "a" * 61, "猫"), validation=4)
    assert f"  0 {'a' * 21}…  " in out
    assert f"  1 {'a' * 21}…  " in out
    assert f"  猫{' ' * 22}  " in out


def test_a_long_class_name_is_shortened(printed):
    out, _ = printed({"train": 10, "test": 2}, classes=("a" * 60, "b"), validation=4)
    assert f"  {'a' * 23}…  " in out
    assert max(map(len, out.splitlines())) < 120 + 60


def test_digits_come_from_scikit_learn(data_params, tmp_path, capsys):
    prepare(data_params(unlabelled_from=AUTO, unlabelled=100), tmp_path)
    out = capsys.readouterr().out
    assert "from scikit-learn, held back\n" in out
    assert "  not used: the labels of the 100 images held back (data.labelled=20)\n" in out
    assert "  not used: 1,637 images of scikit-learn, held back (data.unlabelled=100)\n" in out

"""ImageNet as it lies on disks: val/ by class, or flat beside each of the files that say what it shows."""

import shutil

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from noisy_student.runtime.errors import DataError
from noisy_student.sources import ground_truth
from noisy_student.sources.loading import load_source

WNIDS = ("n01440764", "n01443537", "n02484322")  # sorted; their ILSVRC2012_IDs are not in this order
IDS = {"n01440764": 2, "n01443537": 3, "n02484322": 1}
VAL = (
    ("ILSVRC2012_val_00000001.JPEG", 2),
    ("ILSVRC2012_val_00000002.JPEG", 0),
    ("ILSVRC2012_val_00000003.JPEG", 2),
)


@pytest.fixture
def root(tmp_path):
    """train/ by class and a flat val/, whose images are grey levels 100, 110, 120."""
    for place, name in enumerate(WNIDS):
        _write(tmp_path / "train" / name / f"{name}_1.JPEG", place)
    for number, (name, _) in enumerate(VAL):
        _write(tmp_path / "val" / name, 100 + 10 * number)
    return tmp_path


def _write(path, grey):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (10, 12), grey).save(path, "JPEG")


def _kaggle(root):
    lines = [
        f"{name.partition('.')[0]},{WNIDS[label]} 85 1 499 272 {WNIDS[label]} 0 0 9 9" for name, label in VAL[::-1]
    ]
    (root / "LOC_val_solution.csv").write_text("\n".join(["ImageId,PredictionString", *lines]) + "\n")


def _devkit(folder):
    folder.mkdir(parents=True, exist_ok=True)
    entries = [(IDS[name], name) for name in WNIDS]
    synsets = np.array(entries, dtype=[("ILSVRC2012_ID", "O"), ("WNID", "O")])
    savemat(folder / "meta.mat", {"synsets": synsets.reshape(-1, 1)})
    numbers = [IDS[WNIDS[label]] for _, label in VAL]
    (folder / "ILSVRC2012_validation_ground_truth.txt").write_text("\n".join(map(str, numbers)) + "\n")


def _by_name(root):
    (root / "val.txt").write_text("".join(f"{name} {WNIDS[label]}\n" for name, label in VAL))


def _by_place(root):
    (root / "val.txt").write_text("".join(f"val/{name} {label}\n" for name, label in VAL))


def _by_folder(root):
    for name, label in VAL:
        (root / "val" / WNIDS[label]).mkdir(exist_ok=True)
        shutil.move(root / "val" / name, root / "val" / WNIDS[label] / name)
    (root / "val" / WNIDS[1]).mkdir()
    _write(root / "val" / WNIDS[1] / "x.JPEG", 130)


TRUTHS = {
    "Kaggle": _kaggle,
    "devkit": _devkit,
    "devkit in its folder": lambda root: _devkit(root / "ILSVRC2012_devkit_t12/data"),
    "list of names": _by_name,
    "list of places": _by_place,
}


@pytest.mark.parametrize("truth", TRUTHS)
def test_a_flat_val_is_the_test_split(root, data_params, truth):
    TRUTHS[truth](root)
    source = load_source(data_params(source="folder", root=str(root)))
    assert source.classes == WNIDS
    np.testing.assert_allclose(source.test.images[:, 0, 0, 0], [100, 110, 120], atol=1)
    assert source.test.labels.tolist() == [2, 0, 2]
    assert source.validation is None


def test_an_unreadable_image_keeps_the_others_labels(root, data_params):
    _devkit(root)
    (root / "val" / VAL[0][0]).write_bytes(b"no image")
    source = load_source(data_params(source="folder", root=str(root)))
    assert source.test.labels.tolist() == [0, 2]
    assert source.unreadable == (f"val/{VAL[0][0]}: not an image that Pillow can read",)


def test_stray_files_are_skipped(root, data_params):
    _devkit(root)
    (root / "val/Thumbs.db").write_bytes(b"x")
    (root / f"val/._{VAL[0][0]}").write_bytes(b"of a Mac")
    (root / "val/notes: old.txt").write_bytes(b"x")
    source = load_source(data_params(source="folder", root=str(root)))
    assert source.test.labels.tolist() == [2, 0, 2]
    assert len(source.unreadable) == 2


def test_lists_of_folders_that_are_numbers(root, data_params):
    """Names or places is decided for the whole file: here "1" is a name, not the second place."""
    for number, name in enumerate(WNIDS):
        (root / "train" / name).rename(root / "train" / str(number + 1))
    (root / "val.txt").write_text("".join(f"{name} {label + 1}\n" for name, label in VAL))
    assert load_source(data_params(source="folder", root=str(root))).test.labels.tolist() == [2, 0, 2]
    (root / "val.txt").write_text("".join(f"{name} {label}\n" for name, label in VAL))  # 2, 0, 2: places
    assert load_source(data_params(source="folder", root=str(root))).test.labels.tolist() == [2, 0, 2]


def test_a_byte_order_mark_does_no_harm(root, data_params):
    _kaggle(root)
    path = root / "LOC_val_solution.csv"
    path.write_text(path.read_text(), encoding="utf-8-sig")
    assert load_source(data_params(source="folder", root=str(root))).test.labels.tolist() == [2, 0, 2]


def test_val_by_class_is_the_test_split_too(root, data_params):
    _by_folder(root)
    source = load_source(data_params(source="folder", root=str(root)))
    assert source.test.labels.tolist() == [0, 1, 2, 2]
    np.testing.assert_allclose(source.test.images[:, 0, 0, 0], [110, 130, 100, 120], atol=1)


def _devkit_with(root, name, content):
    _devkit(root)
    (root / name).write_bytes(content)


WRONG = {
    "nothing": (lambda root: None, ["val: images that lie in no folder", "LOC_val_solution.csv", "val.txt"]),
    "an unknown class": (
        lambda root: (root / "val.txt").write_text(f"{VAL[0][0]} n99999999\n"),
        ["'n99999999'", "3 classes from n01440764 to n02484322"],
    ),
    "an image that is not named": (
        lambda root: (root / "val.txt").write_text(f"{VAL[0][0]} {WNIDS[1]}\n"),
        ["nothing about", VAL[1][0]],
    ),
    "a line without a class": (lambda root: (root / "val.txt").write_text("x.JPEG\n"), ["line 1: 'x.JPEG'"]),
    "too few lines": (
        lambda root: _devkit_with(root, "ILSVRC2012_validation_ground_truth.txt", b"1\n2\n"),
        ["2 lines for 3 images"],
    ),
    "a number of no class": (
        lambda root: _devkit_with(root, "ILSVRC2012_validation_ground_truth.txt", b"1\n2\n1001\n"),
        ["'1001' is no ILSVRC2012_ID"],
    ),
    "a damaged meta.mat": (
        lambda root: _devkit_with(root, "meta.mat", b"x" * 300),
        ["meta.mat: cannot be read"],
    ),
    "no meta.mat": (
        lambda root: (_devkit(root), (root / "meta.mat").unlink()),
        ["meta.mat is missing", "devkit"],
    ),
    "other columns": (
        lambda root: (root / "LOC_val_solution.csv").write_text("id,label\n1,2\n"),
        ["expected the columns ImageId"],
    ),
    "a list in UTF-16": (
        lambda root: (root / "val.txt").write_text("ä.JPEG 1\n", encoding="utf-16"),
        ["val.txt: not text in UTF-8"],
    ),
    "no decimal": (lambda root: (root / "val.txt").write_text(f"{VAL[0][0]} ²\n"), ["'²'"]),
    "a CSV that is cut off": (
        lambda root: (root / "LOC_val_solution.csv").write_text("ImageId,PredictionString\na,n1 2\nb"),
        ["line 3: no PredictionString"],
    ),
    "no image": (
        lambda root: [path.write_bytes(b"") for path in (root / "val").iterdir()],
        ["val: no readable image (3 unreadable)"],
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_one_clear_message(root, data_params, case):
    change, words = WRONG[case]
    change(root)
    with pytest.raises(DataError) as error:
        load_source(data_params(source="folder", root=str(root)))
    assert all(word in str(error.value) for word in words), str(error.value)


def test_val_cannot_be_test_and_validation(root, data_params):
    _kaggle(root)
    with pytest.raises(DataError, match=r"data\.validation: empty, but without .*test the images of val/ are the test"):
        load_source(data_params(source="folder", root=str(root), validation=None))


def _named(root, *names):
    """Other classes, in the order of their places."""
    for old, new in zip(WNIDS, names, strict=True):
        (root / "train" / old).rename(root / "train" / new)


def _labels(root, data_params):
    return load_source(data_params(source="folder", root=str(root))).test.labels.tolist()


@pytest.mark.parametrize("gap", [" ", "\t", "   "])
def test_classes_with_spaces(root, data_params, gap):
    _named(root, "golden retriever", "lab 2", "retriever")
    classes = ("golden retriever", "lab 2", "retriever")
    (root / "val.txt").write_text("".join(f"{name}{gap}{classes[label]}\n" for name, label in VAL))
    assert _labels(root, data_params) == [2, 0, 2]


def test_files_with_spaces(root, data_params):
    _named(root, "golden retriever", "lab 2", "retriever")
    (root / "val" / VAL[0][0]).rename(root / "val/a 1.JPEG")
    (root / "val" / VAL[1][0]).rename(root / "val/a 1.JPEG golden.JPEG")
    lines = ["val/a 1.JPEG retriever", "a 1.JPEG golden.JPEG lab 2", f"{VAL[2][0]} golden retriever", "c d.JPEG no dog"]
    (root / "val.txt").write_text("\n".join(lines))
    assert _labels(root, data_params) == [0, 2, 1]


def test_kaggles_classes_with_spaces(root, data_params):
    _named(root, "golden retriever", "lab 2", "retriever")
    rows = [f"{VAL[0][0][:-5]},golden retriever 85 1 499 272", f"{VAL[1][0][:-5]},lab 2 0 0 9 9 lab 2 1 1 2 2"]
    text = "\n".join(["ImageId,PredictionString", *rows, f"{VAL[2][0][:-5]},retriever"])
    (root / "LOC_val_solution.csv").write_text(text)
    assert _labels(root, data_params) == [0, 1, 2]


def _write_numbers(root, *numbers):
    (root / "val.txt").write_text("".join(f"{name} {n}\n" for (name, _), n in zip(VAL, numbers, strict=True)))


def test_places_are_counted_from_0_or_1_as_both_ends_say(root, data_params):
    _write_numbers(root, 2, 0, 1)
    assert _labels(root, data_params) == [2, 0, 1]
    _write_numbers(root, 3, 1, 2)
    assert _labels(root, data_params) == [2, 0, 1]


@pytest.mark.parametrize("numbers", [(1, 2, 1), (0, 1, 1), (2, 3, 2), (0, 3, 1), (1, 4, 2)])
def test_places_without_an_end_are_refused(root, data_params, numbers):
    """From 1 without the last class, they would be shifted by one."""
    _write_numbers(root, *numbers)
    with pytest.raises(DataError, match=rf"from {min(numbers)} to {max(numbers)}, for the 3 folders.*classes\.txt"):
        _labels(root, data_params)


def test_a_file_of_classes_says_what_numbers_mean(root, data_params):
    _named(root, "golden retriever", "lab 2", "retriever")
    _write_numbers(root, 1, 2, 1)
    (root / "classes.txt").write_text("1 lab 2\n2\tgolden retriever\n7  retriever\n")
    assert _labels(root, data_params) == [1, 0, 1]
    for text, words in (("1 lab 2\n", "number 2"), ("lab 2\n", "`number class`"), ("1 a\n1 b\n", "once")):
        (root / "classes.txt").write_text(text)
        with pytest.raises(DataError, match=words):
            _labels(root, data_params)


def test_lists_in_another_unicode_form(root, data_params):
    _named(root, "cafe\u0301", "dog", "emu")
    (root / "val" / VAL[0][0]).rename(root / "val/u\u0308.JPEG")
    names = ("caf\u00e9", "dog", "emu")
    lines = ["\u00fc.JPEG emu", *(f"{name} {names[label]}" for name, label in VAL[1:])]
    (root / "val.txt").write_text("\n".join(lines))
    assert _labels(root, data_params) == [0, 2, 2]


def test_a_list_that_contradicts_itself_is_refused_with_the_line(tmp_path):
    (tmp_path / "val").mkdir()
    (tmp_path / "val.txt").write_text("a.JPEG cat\nb.JPEG cat\na.JPEG dog\n")
    with pytest.raises(DataError, match=r"line 3: a\.JPEG is cat above, and dog here"):
        ground_truth._read_list(tmp_path, ("cat", "dog"))

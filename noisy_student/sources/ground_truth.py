"""The labels of ImageNet's validation images, which lie in one folder, from the files that come with them."""

import csv
import os
import re
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np

from noisy_student.runtime.errors import DataError
from noisy_student.runtime.types import Labels
from noisy_student.sources.names import normal, unknown_classes

KAGGLE = "LOC_val_solution.csv"  # ImageId,PredictionString: "ILSVRC2012_val_00048981,n03995372 85 1 499 272"
DEVKIT = Path("ILSVRC2012_devkit_t12/data")
TRUTH = "ILSVRC2012_validation_ground_truth.txt"  # a line an image: ILSVRC2012_ID, 1 to 1000
META = "meta.mat"  # synsets: ILSVRC2012_ID and WNID
LIST = "val.txt"  # "ILSVRC2012_val_00000001.JPEG 65" or "... n01751748" or "a.JPEG golden retriever"
NUMBERS = "classes.txt"  # what the numbers of val.txt mean, if not the places of folders: "65 n01751748"
IMAGES = (".jpeg", ".jpg", ".png")
_FILES = f"{KAGGLE}, {TRUTH} with {META} (there or under {DEVKIT}), or {LIST} with lines `file class`"


def labels_of(root: Path, names: Sequence[str], classes: Sequence[str]) -> Labels:
    """Labels of files in `root/val`.

    Args:
        root: `data.root`, where one of the files lies: Kaggle's LOC_val_solution.csv; the official
            ILSVRC2012_validation_ground_truth.txt and meta.mat, whose lines belong to the images in val/ in the
            order of their names; or a val.txt, whose classes are all the names of folders of train/, or all
            their places in sorted order, counted from 0 or 1 (both the first and the last place must occur,
            which tells the two apart), or all numbers of a classes.txt.
        classes: names of the folders of train/, sorted: ImageNet's WNIDs.

    Raises:
        DataError: there is no such file, it cannot be read, lacks an image, or names a class that is not in train/.
    """
    path, truth = _read(root, classes)
    truth = {normal(name): normal(given) for name, given in truth.items()}
    places = {name: place for place, name in enumerate(classes)}
    labels = np.empty(len(names), np.int64)
    for row, name in enumerate(names):
        given = truth.get(normal(name), truth.get(normal(Path(name).stem)))
        if given is None:
            raise DataError(f"{path}: nothing about {root / 'val' / name}. Use the file that belongs to the images.")
        if given not in places:
            raise DataError(
                f"{path}: {name} is of class {given!r}, which is not in {root / 'train'}, where there are "
                f"{len(classes):,} classes from {classes[0]} to {classes[-1]}.{_meant(given, classes)} Add its "
                "training images."
            )
        labels[row] = places[given]
    return labels


def _read(root, classes):
    """(the file, {name or stem: class})."""
    if (root / KAGGLE).exists():
        return root / KAGGLE, _read_kaggle(root / KAGGLE, classes)
    for folder in (root, root / DEVKIT):
        if (folder / TRUTH).exists():
            return folder / TRUTH, _read_official(folder, root / "val")
    if (root / LIST).exists():
        return root / LIST, _read_list(root, classes)
    raise DataError(
        f"{root / 'val'}: images that lie in no folder of a class, and no file that says what they show. "
        f"Put into {root} one of: {_FILES}."
    )


def _read_kaggle(path, classes):
    rows = csv.DictReader(_lines(path))
    if not {"ImageId", "PredictionString"} <= set(rows.fieldnames or ()):
        raise DataError(
            f"{path}: expected the columns ImageId and PredictionString, found {rows.fieldnames}. Use Kaggle's file."
        )
    truth, known, longest = {}, set(classes), max(len(name.split()) for name in classes)
    for row in rows:
        if not (row["PredictionString"] or "").strip():
            raise DataError(f"{path}, line {rows.line_num}: no PredictionString. Get the file again.")
        words = normal(row["PredictionString"]).split()  # a class, and where in the image it is, once or more
        begins = (" ".join(words[:count]) for count in range(longest, 0, -1))
        truth[row["ImageId"]] = next((begin for begin in begins if begin in known), words[0])
    return truth


def _read_official(folder, val):
    from scipy.io import loadmat  # here, because nothing else needs it

    path, meta = folder / TRUTH, folder / META
    if not meta.exists():
        raise DataError(f"{path}: {meta} is missing, which says what its numbers mean. Both are in the devkit.")
    try:
        synsets = loadmat(meta, squeeze_me=True)["synsets"]
        wnids = {int(entry["ILSVRC2012_ID"]): str(entry["WNID"]) for entry in synsets}
    except Exception as error:  # a damaged file makes the parser raise almost anything
        raise DataError(f"{meta}: cannot be read as the devkit's synsets ({error!r}). Get it again.") from error
    numbers = _lines(path)
    entries = (entry for entry in val.iterdir() if not entry.name.startswith("."))
    names = sorted(entry.name for entry in entries if entry.suffix.lower() in IMAGES)
    if len(numbers) != len(names):
        raise DataError(
            f"{path}: {len(numbers):,} lines for {len(names):,} images in val/, expected one for each, in the order of "
            "their names. Use the file that belongs to the images."
        )
    wrong = next((line for line in numbers if not line.isdecimal() or int(line) not in wnids), None)
    if wrong is not None:
        raise DataError(f"{path}: {wrong!r} is no ILSVRC2012_ID of {meta}. Get both from the same devkit.")
    return {name: wnids[int(line)] for name, line in zip(names, numbers, strict=True)}


def _read_list(root, classes):
    path = root / LIST
    present = {normal(form) for name in os.listdir(root / "val") for form in (name, Path(name).stem)}
    truth: dict[str, str] = {}
    for number, line in enumerate(_lines(path), start=1):
        parts = _split_line(normal(line), present, classes)
        if parts is None:
            raise DataError(f"{path}, line {number}: {line!r}, expected `file class`.")
        if truth.setdefault(parts[0], parts[1]) != parts[1]:
            raise DataError(f"{path}, line {number}: {parts[0]} is {truth[parts[0]]} above, and {parts[1]} here.")
    values = set(truth.values())
    if values <= set(classes) or not all(value.isdecimal() for value in values):
        return truth
    names = _names_of_numbers(root, sorted(map(int, values)), classes)
    return {name: names[int(value)] for name, value in truth.items()}


def _split_line(line: str, present: Collection[str], classes: Collection[str]) -> tuple[str, str] | None:
    """(file, class) of a line of val.txt, each of which may have spaces; None: there is no space in it."""
    places = [space.span() for space in re.finditer(r"\s+", line)]
    parts = [(line[:begin].replace("\\", "/").rpartition("/")[2], line[end:]) for begin, end in places]
    known = [(name, given) for name, given in parts if name in present]
    sure = [(name, given) for name, given in known if given in classes or given.isdecimal()]
    another = [(name, given) for name, given in parts if Path(name).suffix.lower() in IMAGES]  # not in val/
    for found in (sure, known, another, parts):
        if found:
            return found[-1]
    return None


def _names_of_numbers(root: Path, numbers: Sequence[int], classes: Sequence[str]) -> dict[int, str]:
    """{number: class} for the numbers of val.txt, ascending."""
    if (root / NUMBERS).exists():
        return _read_numbers(root / NUMBERS, numbers)
    last = len(classes) - 1
    for first in (0, 1):
        if (numbers[0], numbers[-1]) == (first, first + last):
            return dict(enumerate(classes, start=first))
    raise DataError(
        f"{root / LIST}: classes by number, from {numbers[0]} to {numbers[-1]}, for the {len(classes):,} folders of "
        f"train/. Counted from 0 they would be 0 to {last}, from 1 they would be 1 to {last + 1}; where an end is "
        f"missing nobody can tell. Put a {NUMBERS} with lines `number class` beside it, or name the classes in {LIST}."
    )


def _read_numbers(path, numbers):
    names = {}
    for row, line in enumerate(_lines(path), start=1):
        number, name = (*line.split(maxsplit=1), "")[:2]
        if not number.isdecimal() or not name or int(number) in names:
            raise DataError(f"{path}, line {row}: {line!r}, expected `number class`, every number once.")
        names[int(number)] = normal(name)
    missing = [number for number in numbers if number not in names]
    if missing:
        raise DataError(f"{path}: nothing about the number {missing[0]} of {LIST}. Add a line `{missing[0]} class`.")
    return names


def _meant(given, classes):
    shown = unknown_classes([given], classes)
    return "" if shown == given else f" Is it meant for a folder: {shown}?"


def _lines(path):
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not text in UTF-8 ({error.reason}). Save it as UTF-8.") from error
    return [line.strip() for line in text.splitlines() if line.strip()]

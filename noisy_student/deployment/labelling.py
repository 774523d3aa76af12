"""Pseudo-labels for a folder of images outside the pipeline, laid out so that a person corrects them."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from noisy_student.data.images import try_image
from noisy_student.deployment.sheets import class_sheet
from noisy_student.inference.description import Description
from noisy_student.pseudo_labels.confidence import is_kept
from noisy_student.runtime.errors import DataError
from noisy_student.runtime.files import write_csv
from noisy_student.runtime.types import Floats, Labels, Mask

TABLE, SHEETS = "labels.csv", {True: "accepted.png", False: "uncertain.png"}
_EACH, _SIDE = 8, 96  # images of a class on a sheet, and their pixels
_LONGEST_NAME, _LONGEST_STEM = 140, 120  # bytes of a link's name; file systems allow 255


class PseudoLabels(NamedTuple):
    """What a model says of image files: names (N), the most probable class, its probability, whether it is accepted."""

    files: Sequence[str]
    labels: Labels
    confidence: Floats
    accepted: Mask

    @classmethod
    def of(
        cls, files: Sequence[str], labels: Sequence[int], confidence: Sequence[float], *, threshold: float
    ) -> "PseudoLabels":
        """By the rule of the pipeline, `confidence.is_kept`; the least sure ones first."""
        sure = np.asarray(confidence, np.float32)
        order = np.argsort(sure, kind="stable")
        kept = is_kept(sure, threshold)
        return cls([files[row] for row in order], np.asarray(labels, np.int64)[order], sure[order], kept[order])


def check_new(folder: Path) -> None:
    """Raise DataError unless a folder is not there yet, or is empty: a person's corrections may lie in it."""
    if not folder.name:
        raise DataError(f"{folder}: no name of a new folder. Give one, such as labels.")
    if os.path.lexists(folder) and (not folder.is_dir() or any(folder.iterdir())):
        raise DataError(f"{folder}: exists already. Name another folder, or move it away.")


def check_apart(first: Path, second: Path) -> None:
    """Raise DataError if one folder is the other, or lies in it."""
    one, other = first.resolve(), second.resolve()
    if one == other or one in other.parents or other in one.parents:
        raise DataError(f"--out {first} and --into {second}: one is the other, or lies in it. Give two folders.")


def check_class_names(classes: Sequence[str]) -> None:
    """Raise DataError if a class cannot be a folder: its name comes from a file, perhaps of somebody else."""
    for name in classes:
        if "/" in name or name.startswith(".") or len(os.fsencode(name)) > 255:
            raise DataError(
                f"the class {name!r} cannot be the name of a folder. Give other names in a file, one a line, in the "
                "order of the model's outputs: --classes names.txt"
            )


def write_labels(folder: Path, found: PseudoLabels, described: Description, *, threshold: float) -> None:
    """Write the table, the least sure images first, and a sheet each of accepted and of uncertain images by class."""
    rows = zip(found.files, found.labels, found.confidence, found.accepted, strict=True)
    write_csv(
        folder / TABLE,
        [
            {
                "file": file.encode("utf-8", "backslashreplace").decode(),
                "class": described.classes[label],
                "confidence": f"{sure:.6g}",
                "accepted": int(kept),
            }
            for file, label, sure, kept in rows
        ],
    )
    for kept, name in SHEETS.items():
        members = [
            np.flatnonzero((found.accepted == kept) & (found.labels == k)) for k in range(len(described.classes))
        ]
        groups = [
            (described.classes[k], len(rows), _shown(found, rows[:_EACH], described)) for k, rows in enumerate(members)
        ]
        what = "Accepted" if kept else "Not accepted"
        title = f"{what} pseudo-labels of {described.name}, by class"
        below = f"{'above' if kept else 'not above'} {threshold:g}; in every row the least sure ones first"
        class_sheet(folder / name, title, groups, below=below)


def _shown(found, rows, described):
    """Only these images are read once more, larger than the model sees them."""
    for row in rows:
        path = Path(found.files[row])
        image = try_image(path, size=_SIDE, resize=described.resize, levels=described.levels).image
        yield path.name, np.full((_SIDE, _SIDE, 3), 255, np.uint8) if image is None else image, found.confidence[row]


def lay_out(folder: Path, root: Path, found: PseudoLabels, classes: Sequence[str]) -> None:
    """Make a data set of links: accepted images in train/<class>/, all others in unlabelled/.

    The link to `root`/a/b.jpg is called a__b.jpg.
    """
    for name in (*(f"train/{each}" for each in classes), "unlabelled"):
        (folder / name).mkdir(parents=True)
    taken: set[Path] = set()
    for file, label, kept in sorted(zip(found.files, found.labels, found.accepted, strict=True)):
        target = folder / (f"train/{classes[label]}" if kept else "unlabelled")
        link = _free(target, os.path.relpath(file, root).replace(os.sep, "__"), taken)
        link.symlink_to(os.path.abspath(file))


def _free(folder, name, taken):
    """A path of that name, shortened where file systems allow no longer ones, which no other link has."""
    stem, suffix = os.path.splitext(name)
    if len(os.fsencode(name)) > _LONGEST_NAME:
        stem = os.fsencode(stem)[-_LONGEST_STEM:].decode(errors="ignore").lstrip(".") or "image"
        suffix = os.fsencode(suffix)[: _LONGEST_NAME - _LONGEST_STEM].decode(errors="ignore")
    number, path = 1, folder / f"{stem}{suffix}"
    while path in taken:
        number += 1
        path = folder / f"{stem}-{number}{suffix}"
    taken.add(path)
    return path

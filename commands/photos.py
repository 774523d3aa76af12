"""Parameters for a folder of images, by what is in it: what `python -m commands.preset photos --root DIR` writes."""

import os
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from noisy_student.runtime.errors import DataError
from noisy_student.settings.inputs import did_you_mean
from noisy_student.settings.schema import AUTO
from noisy_student.sources.adapters.folder import LAYOUT, layout
from noisy_student.sources.names import files, folders
from noisy_student.sources.reader import count

SAMPLE = 200  # files whose size is looked at
SIZES = {64: 32, 160: 64}  # {shorter side below, pixels to train at}; larger ones at LARGEST
LARGEST = 96
MEMORY = 4 * 2**30  # bytes of pixels, more are kept as shards
EPOCHS, FEWEST, MOST = 40, 320, 4000  # passes of the teacher over the labels; its steps, at least and at most
VALIDATIONS = 16  # in a training
STUDENT_BATCH = 32  # labelled images a step, beside three times as many of the pool, as in the other presets for CPUs
# seconds that ResNet-14, width 16, takes to train on a pixel: 275 images of 32x32 a second in float32 on two cores
# (AMD EPYC, AVX2)
A_PIXEL = 1 / (275 * 32**2)

Tree = dict[str, Any]


@dataclass(frozen=True)
class Seen:
    """What is in the folder; files are counted, not read.

    Attributes:
        train: {class: images}.
        splits: folders beside train/.
        sides: (width, height) of some of the images.
        unlabelled: images below unlabelled/.
    """

    train: dict[str, int]
    splits: frozenset[str]
    sides: list[tuple[int, int]]
    unlabelled: int


def look(root: Path) -> Seen:
    """Look at a folder of images, as the source `folder` wants it.

    Raises:
        DataError: see `folder.layout`, or none of the files that were looked at is an image.
    """
    if not root.is_dir():
        found = "a file" if root.exists() else "nothing"
        raise DataError(f"--root={root}: expected a folder of images there, found {found}.{did_you_mean(root)}")
    train = {name: files(folder) for name, folder in layout(root, "--root")[0].items()}
    total = [path for own in train.values() for path in own]
    sides = [side for path in total[:: max(1, len(total) // SAMPLE)] if (side := _side(path))]
    if not total:
        raise DataError(f"--root={root}: no file lies directly in a folder of train/. {LAYOUT}")
    if not sides:
        raise DataError(f"--root={root}: none of {len(total):,} files in train/ is an image that Pillow can read.")
    splits = frozenset(folder.name for folder in folders(root))
    return Seen({name: len(own) for name, own in train.items()}, splits, sides, count(root / "unlabelled"))


def _side(path):
    if not path.is_file():  # a pipe would wait for ever
        return None
    try:
        with Image.open(path) as image:
            return image.size
    except Exception:  # a damaged file raises almost anything; `prepare` names it
        return None


def overlay(root: Path, seen: Seen) -> tuple[Tree, list[str]]:
    """Parameters over the defaults, and what there is to say of them, a line each.

    Raises:
        DataError: a class has fewer images than there are splits to cut from train/.
    """
    images, classes = sum(seen.train.values()), len(seen.train)
    own = "val" in seen.splits and "test" in seen.splits  # without test/, val/ is the test split
    _check_enough(root, seen, ["labelled", *["validation"] * (not own), *["unlabelled"] * (not seen.unlabelled)])
    validation = None if own else min(max(30, images // 5, classes), max(classes, images // 3))
    rest = images - (validation or 0)
    labelled = None if seen.unlabelled else max(classes, rest // 2)
    size, crops = _image_size(seen.sides)
    flip, why = _flip(seen.train)
    batch = min(64, 2 ** ((labelled or rest).bit_length() - 1))
    every = round(min(max(EPOCHS * (labelled or rest) / batch, FEWEST), MOST) / VALIDATIONS)
    training = {"select_by": "accuracy", "batch_size": batch, "model": {"name": "resnet", **_network(size)}}
    pixels = 3 * size**2 * (images + seen.unlabelled)
    ratio, own_batch = 3.0 if seen.unlabelled > 3 * rest else 1.0, min(batch, STUDENT_BATCH)
    trained = VALIDATIONS * every * (batch + 2 * own_batch * (1 + ratio))  # images, of both
    tree = {
        "release": "student-gen1",
        "generations": {"gen1": {"teacher": "teacher"}},
        "data": {
            **{"source": "folder", "root": _written(root), "image_size": size, "resize": "crop" if crops else "squash"},
            **{"labelled": labelled, "validation": validation, "unlabelled_from": AUTO, "test": None},
            "store": "shards" if pixels > MEMORY else "arrays",
        },
        "augmentation": {"flip": flip, "crop": size // 8},
        "teacher": training | {"steps": VALIDATIONS * every, "validate_every": every},
        "student": training
        | {
            **{"steps": 2 * VALIDATIONS * every, "validate_every": 2 * every},
            **{"batch_size": own_batch, "unlabelled_ratio": ratio},
        },
        "noise": {"randaugment": {"magnitude": 10, "levels": 30}, "dropout": 0.2},
        "pseudolabel": {"threshold": 0.5},
        "balance": {"on_empty": "skip"},
        "eval": {"robustness": "off"},  # as long as the teacher's training
    }
    short = statistics.median(map(min, seen.sides))
    said = [
        f"{images:,} images of {classes} classes in train/, {seen.unlabelled:,} without labels; the shorter side is "
        f"{short:.0f} pixels (median of {len(seen.sides)}): trained at {size}",
        f"augmentation.flip={str(flip).lower()} is a guess: {why}",
        f"teacher and student train on {trained:,.0f} images of {size}x{size} pixels: about {_minutes(trained, size)} "
        "on two CPU cores without bfloat16; less with a GPU, a smaller data.image_size, or fewer steps",
        "one generation: `make repro` gives models/student-gen1.keras; the control, noise alone, is in `make verdict`",
    ]
    if not seen.unlabelled:
        said.append(
            f"there is no unlabelled/: {labelled:,} images keep their labels, the others are taken as unlabelled, "
            "which shows the method but wastes labels. Put images there, or name a folder in data.unlabelled_from"
        )
    return tree, said


def _check_enough(root, seen, cut):
    few = [f"{name} ({number})" for name, number in seen.train.items() if number < len(cut)]
    if few:
        more = ", ..." if len(few) > 5 else ""
        raise DataError(
            f"--root={root}: too few images in train/ of {', '.join(few[:5])}{more}. Every class needs {len(cut)} at "
            f"least, one for each of: {', '.join(cut)}. Add images, or remove the class everywhere."
        )


def _written(root):
    """A path in the project as it is, any other absolute: experiments run in folders of their own."""
    full = Path(os.path.abspath(root))
    return str(root) if not root.is_absolute() and full.is_relative_to(Path.cwd()) else str(full)


def _image_size(sides):
    """(pixels to train at, whether the centre is cut out)."""
    short = statistics.median(map(min, sides))
    size = next((size for below, size in SIZES.items() if short < below), LARGEST)
    return size, statistics.median(max(side) / min(side) for side in sides) > 1.1


def _flip(train):
    if all(len(name) == 1 or name.isdigit() for name in train):
        return False, "the classes are called as digits or letters, and mirrored they would be others"
    return True, "most things look the same when mirrored; set it to false for text, signs, or if left and right count"


def _minutes(images, size):
    minutes = images * size**2 * (_network(size)["depth"] - 2) / 12 * A_PIXEL / 60
    return f"{minutes:.0f} minutes" if minutes < 90 else f"{minutes / 60:.0f} hours"


def _network(size):
    return {"depth": 14, "width": 16} if size <= SIZES[64] else {"depth": 20, "width": 16}

"""Any images in folders: train/<class>/*, test/<class>/*, optional val/<class>/* and unlabelled/**.

ImageNet is read as it lies on disks: without a test/, val/ is the test split, by class or as one folder of
images beside a file with their labels.
"""

from pathlib import Path

import numpy as np

from noisy_student.data.labelled import LabelledImages
from noisy_student.runtime.errors import DataError
from noisy_student.settings.schema import OWN_SPLIT, DataParams
from noisy_student.sources.ground_truth import labels_of
from noisy_student.sources.interface import Rules, Source
from noisy_student.sources.reader import Reader, read_folder

RULES = Rules()

LAYOUT = (
    "Expected train/<class>/* and test/<class>/*, optionally val/<class>/* and unlabelled/**; without test/, "
    "val/ is the test split."
)


def load(data: DataParams, read: Reader) -> Source:
    """Load the image folders under `data.root`; classes are the folders of train/, sorted by name.

    Without need val/ (`data.validation`) and unlabelled/ (`data.unlabelled_from`) are not read. Unreadable files are
    skipped, and listed relative to `data.root`.

    Raises:
        DataError: a folder is missing or empty, or the classes of the splits do not agree.
    """
    root = Path(data.root)
    tested = "test" if (root / "test").is_dir() or not (root / "val").is_dir() else "val"
    for name in ("train", tested):
        if not (root / name).is_dir():
            raise DataError(f"data.root={root}: there is no folder {name}/ in it. {LAYOUT}")
    if tested == "val" and data.validation is None:
        raise DataError(
            f"data.validation=null: without {root / 'test'} the images of val/ are the test split. Give the "
            "number of images to cut from the training images."
        )
    classes = _class_folders(root / "train")
    if len(classes) < 2:
        fault = f"only the class {classes[0]}" if classes else "empty, no class folder in it"
        raise DataError(f"{root / 'train'}: {fault}; at least two classes are needed. {LAYOUT}")
    unreadable: list[str] = []
    train = _read_split(root, "train", classes, unreadable, read)
    if tested == "val" and not _class_folders(root / tested):
        test = _read_flat(root, classes, unreadable, read)
    else:
        test = _read_split(root, tested, classes, unreadable, read)
    validation = None
    if data.validation is None and (root / "val").is_dir():
        validation = _read_split(root, "val", classes, unreadable, read)
    return Source(
        classes=classes,
        train=train,
        validation=validation,
        test=test,
        unlabelled=_read_unlabelled(root, data, unreadable, read),
        unreadable=tuple(unreadable),
    )


def _class_folders(split):
    names = sorted(p.name for p in split.iterdir() if p.is_dir() and not p.name.startswith("."))
    for name in names:
        if not name.isprintable():  # nor encodable as UTF-8
            raise DataError(f"{split}: the folder name {name!a} cannot be printed. Rename it.")
    return tuple(names)


def _read_split(root, split, classes, unreadable, read):
    surplus = sorted(set(_class_folders(root / split)) - set(classes))
    if surplus:
        raise DataError(
            f"{root / split}: the class {', '.join(surplus)} is not in train/, which has "
            f"{', '.join(classes)}. Rename or remove the folder, or add training images."
        )
    stray = sorted(p.name for p in (root / split).iterdir() if not p.is_dir() and not p.name.startswith("."))
    unreadable += [f"{split}/{name}: not in the folder of a class" for name in stray]
    images = [_read_class(root, f"{split}/{name}", unreadable, read) for name in classes]
    return LabelledImages(read.join(images), np.repeat(np.arange(len(classes)), [len(own) for own in images]))


def _read_flat(root, classes, unreadable, read):
    """The images of val/ that lie in no folders."""
    images, names, skipped = read_folder(root / "val", read, recursive=False)
    unreadable += [f"val/{line}" for line in skipped]
    if not names:
        raise DataError(f"{root / 'val'}: no readable image ({len(skipped)} unreadable). {LAYOUT}")
    return LabelledImages(images, labels_of(root, names, classes))


def _read_class(root, folder, unreadable, read):
    skipped: list[str] = []
    if (root / folder).is_dir():
        images, names, skipped = read_folder(root / folder, read, recursive=False)
        unreadable += [f"{folder}/{line}" for line in skipped]
        if names:
            return images
    others = f"{len(skipped)} unreadable, e.g. {skipped[0]}" if skipped else "none"
    raise DataError(
        f"{root / folder}: no readable image (found {others}). Every class needs at least one in "
        f"{folder.partition('/')[0]}/: add images, or remove the class everywhere."
    )


def _read_unlabelled(root, data, unreadable, read):
    if data.unlabelled_from != OWN_SPLIT or not (root / "unlabelled").is_dir():
        return None
    images, _, skipped = read_folder(root / "unlabelled", read, recursive=True)
    unreadable += [f"unlabelled/{line}" for line in skipped]
    return images

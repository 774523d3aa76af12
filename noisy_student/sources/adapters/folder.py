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

SPLITS = "train/<class>/* and test/<class>/*, optionally val/<class>/* and unlabelled/**"
LAYOUT = f"Expected {SPLITS}; without test/, val/ is the test split."


def load(data: DataParams, read: Reader) -> Source:
    """Load the image folders under `data.root`; classes are the folders of train/, sorted by name.

    val/ and unlabelled/ are read only if the parameters ask for them. Files that cannot be read are skipped and listed.
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
    tree = _Tree(root, classes, read)
    train = tree.split("train")
    test = tree.flat("val") if tested == "val" and not _class_folders(root / "val") else tree.split(tested)
    validation = tree.split("val") if data.validation is None and (root / "val").is_dir() else None
    unlabelled = None
    if data.unlabelled_from == OWN_SPLIT and (root / "unlabelled").is_dir():
        unlabelled, *_ = tree.folder("unlabelled", recursive=True)
    return Source(classes, train, validation, test, unlabelled, unreadable=tuple(tree.unreadable))


def _class_folders(split):
    names = sorted(p.name for p in split.iterdir() if p.is_dir() and not p.name.startswith("."))
    for name in names:
        if not name.isprintable():  # nor encodable as UTF-8
            raise DataError(f"{split}: the folder name {name!a} cannot be printed. Rename it.")
    return tuple(names)


class _Tree:
    """What reads the folders, and notes the files that cannot be read."""

    def __init__(self, root: Path, classes: tuple[str, ...], read: Reader) -> None:
        self.root, self.classes, self.read, self.unreadable = root, classes, read, list[str]()

    def split(self, name):
        """A split with a folder a class."""
        folder = self.root / name
        surplus = sorted(set(_class_folders(folder)) - set(self.classes))
        if surplus:
            raise DataError(
                f"{folder}: the class {', '.join(surplus)} is not in train/, which has {', '.join(self.classes)}. "
                "Rename or remove the folder, or add training images."
            )
        stray = sorted(p.name for p in folder.iterdir() if not p.is_dir() and not p.name.startswith("."))
        self.unreadable += [f"{name}/{file}: not in the folder of a class" for file in stray]
        images = [self._class(name, label) for label in self.classes]
        labels = np.repeat(np.arange(len(self.classes)), [len(own) for own in images])
        return LabelledImages(self.read.join(images), labels)

    def flat(self, name):
        """A split of images that lie in no folders, beside a file with their labels."""
        images, names, skipped = self.folder(name)
        if not names:
            raise DataError(f"{self.root / name}: no readable image ({len(skipped)} unreadable). {LAYOUT}")
        return LabelledImages(images, labels_of(self.root, names, self.classes))

    def folder(self, name, *, recursive=False):
        """See `read_folder`."""
        images, names, skipped = read_folder(self.root / name, self.read, recursive=recursive)
        self.unreadable += [f"{name}/{line}" for line in skipped]
        return images, names, skipped

    def _class(self, split, label):
        folder, skipped = self.root / split / label, []
        if folder.is_dir():
            images, names, skipped = self.folder(f"{split}/{label}")
            if names:
                return images
        others = f"{len(skipped)} unreadable, e.g. {skipped[0]}" if skipped else "none"
        raise DataError(
            f"{folder}: no readable image (found {others}). Every class needs at least one in {split}/: "
            "add images, or remove the class everywhere."
        )

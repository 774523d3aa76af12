"""Any images in folders: train/<class>/*, test/<class>/*, optional val/<class>/* and unlabelled/**.

ImageNet is read as it lies on disks: without a test/, val/ is the test split, by class or as one folder of
images beside a file with their labels.
"""

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from noisy_student.data.labelled import LabelledImages
from noisy_student.runtime.errors import DataError
from noisy_student.settings.inputs import nearest
from noisy_student.settings.schema import AUTO, HELD_BACK, DataParams
from noisy_student.sources.ground_truth import labels_of
from noisy_student.sources.interface import Rules, Source, pool_faults, wants_own_split
from noisy_student.sources.names import class_folders, files, folders, unknown_classes
from noisy_student.sources.reader import Reader, count, read_ahead, read_folder

RULES = Rules()

SPLITS = "train/<class>/* and test/<class>/*, optionally val/<class>/* and unlabelled/**"
LAYOUT = f"Expected {SPLITS}; without test/, val/ is the test split."
OTHER = ("frost", "CIFAR-10-C", "ILSVRC2012_devkit_t12")  # folders that other stages, or labels of val/, are read from


def load(data: DataParams, read: Reader) -> Source:
    """Load the image folders under `data.root`; classes are the folders of train/, sorted by name.

    val/ and unlabelled/ are read only if the parameters ask for them; data/pools/auto asks for an unlabelled/ that is
    there. Files that cannot be read are skipped and listed.
    """
    root = Path(data.root)
    classes, tested = check_layout(data)
    tree = _Tree(root, tuple(classes), read)
    test_folders = class_folders(root / tested)
    flat = tested == "val" and not test_folders
    own_validation = data.validation is None and (root / "val").is_dir()
    validation_folders = class_folders(root / "val") if own_validation else {}
    own_pool = wants_own_split(data) and (root / "unlabelled").is_dir()
    by_class = [*classes.values(), *test_folders.values(), *validation_folders.values()]
    pools = [(root / "val", False)] * flat + [(root / "unlabelled", True)] * own_pool
    read_ahead([(folder, False) for folder in by_class] + pools, read)
    train = tree.split("train", classes)
    test = tree.flat("val") if flat else tree.split(tested, test_folders)
    validation = tree.split("val", validation_folders) if own_validation else None
    unlabelled = tree.pool("unlabelled") if own_pool else None
    read_in = {"train", tested, *(["val"] if own_validation else []), *(["unlabelled"] if own_pool else [])}
    return Source(
        tuple(classes),
        train,
        validation,
        test,
        unlabelled,
        unreadable=tuple(tree.unreadable),
        origins={"train": "train/", "test": f"{tested}/", "validation": "val/", "unlabelled": "unlabelled/"},
        unused=tuple(_unused(data, root, read_in)),
    )


def layout(root: Path, parameter: str = "data.root") -> tuple[dict[str, Path], str]:
    """Return {class: folder} of train/, and the test split, "test" or "val". No file is opened.

    Raises:
        DataError: there is no such folder, named with the parameter, or there are fewer than two classes.
    """
    tested = "test" if (root / "test").is_dir() or not (root / "val").is_dir() else "val"
    for name in ("train", tested):
        if not (root / name).is_dir():
            near = nearest(name, _names(root))
            like = f" (there is {near}/)" if near else ""
            raise DataError(f"{parameter}={root}: there is no folder {name}/ in it{like}. {LAYOUT}")
    classes = class_folders(root / "train")
    if len(classes) < 2:
        fault = f"only the class {next(iter(classes))}" if classes else "empty, no class folder in it"
        raise DataError(f"{root / 'train'}: {fault}; at least two classes are needed. {LAYOUT}")
    return classes, tested


def check_layout(data: DataParams) -> tuple[dict[str, Path], str]:
    """Return the `layout` of `data.root`; DataError if it can be seen not to fit the parameters."""
    root = Path(data.root)
    classes, tested = layout(root)
    if tested == "val" and data.validation is None:
        raise DataError(
            f"data.validation: empty, but without {root / 'test'} the images of val/ are the test split. Give the "
            "number of images to cut from the training images."
        )
    pool = root / "unlabelled"
    if data.unlabelled_from == AUTO and os.path.lexists(pool) and not pool.is_dir():
        raise DataError(f"{pool}: expected a folder of unlabelled images. Rename the file, or mend the link.")
    if data.unlabelled_from == AUTO and pool.is_dir() and not count(pool):
        raise DataError(f"{pool}: no image in it or below it. Put images there, or remove the folder.")
    for fault in pool_faults(data, has_own=pool.is_dir()):
        raise DataError(f"{fault}, or add {pool}/.")
    for name in dict.fromkeys((tested, *(["val"] if data.validation is None else []))):
        own = class_folders(root / name)
        _refuse_surplus(root / name, own, classes)
        empty = [label for label in classes if label not in own or not files(own[label])]
        if own and empty:  # without class folders a list says what the images show
            raise DataError(f"{root / name / empty[0]}: no image there, as of every class there must be. {LAYOUT}")
    return classes, tested


def _refuse_surplus(folder, found, classes):
    surplus = [each for each in found if each not in classes]
    if surplus:
        raise DataError(
            f"{folder}: the class {unknown_classes(surplus, tuple(classes))} is not in train/, which has "
            f"{', '.join(classes)}. Rename or remove the folder, or add training images."
        )


def _unused(data, root, read_in):
    """What is not looked at, a line each."""
    why = {
        "val": f"data.validation={data.validation} {_cuts(data.validation)}; empty takes val/",
        "unlabelled": f"data.unlabelled_from={data.unlabelled_from}; {AUTO} takes it",
    }
    for name in _names(root):
        if name in read_in or name in OTHER:
            continue
        near = nearest(name, ["val", "unlabelled"])
        mend = why.get(name) or (f"meant for {near}/? Rename it" if near else f"no folder of {SPLITS}")
        yield f"{name}/, {count(root / name):,} files ({mend})"
    if "unlabelled" in read_in and (named := _names(root / "unlabelled")):
        more = ", ..." if len(named) > 3 else ""
        yield f"the names of the {len(named):,} folders in unlabelled/ ({', '.join(named[:3])}{more}), as labels"


def _cuts(validation):
    return "cuts the validation images from train/" if validation else "takes no validation images"


def _names(root):
    return [folder.name for folder in folders(root)]


class _Tree:
    """What reads the folders, and notes the files that cannot be read."""

    def __init__(self, root: Path, classes: tuple[str, ...], read: Reader) -> None:
        self.root, self.classes, self.read, self.unreadable = root, classes, read, list[str]()

    def split(self, name: str, by_class: Mapping[str, Path]) -> LabelledImages:
        """A split with a folder a class."""
        folder = self.root / name
        _refuse_surplus(folder, by_class, self.classes)
        self.unreadable += [f"{name}/{file.name}: not in the folder of a class" for file in files(folder)]
        images = [self._class(by_class.get(label, folder / label), name) for label in self.classes]
        labels = np.repeat(np.arange(len(self.classes)), [len(own) for own in images])
        return LabelledImages(self.read.join(images), labels)

    def flat(self, name: str) -> LabelledImages:
        """A split of images that lie in no folders, beside a file with their labels."""
        images, names, skipped = self._folder(self.root / name)
        if not names:
            raise DataError(f"{self.root / name}: no readable image ({len(skipped)} unreadable). {LAYOUT}")
        return LabelledImages(images, labels_of(self.root, names, self.classes))

    def pool(self, name: str):
        """All images in a folder and below it."""
        images, names, skipped = self._folder(self.root / name, recursive=True)
        if not names:
            found = f"{len(skipped)} unreadable, e.g. {skipped[0]}" if skipped else "none"
            raise DataError(
                f"data.unlabelled_from: {self.root / name} has no unlabelled images of its own that can be read "
                f"(found {found}). Put images there, or remove the folder, or set data.unlabelled_from to {HELD_BACK}."
            )
        return images

    def _folder(self, folder, *, recursive=False):
        """See `read_folder`."""
        images, names, skipped = read_folder(folder, self.read, recursive=recursive)
        self.unreadable += [f"{folder.relative_to(self.root).as_posix()}/{line}" for line in skipped]
        return images, names, skipped

    def _class(self, folder, split):
        skipped = []
        if folder.is_dir():
            images, names, skipped = self._folder(folder)
            if names:
                return images
        others = f"{len(skipped)} unreadable, e.g. {skipped[0]}" if skipped else "none"
        raise DataError(
            f"{folder}: no readable image (found {others}). Every class needs at least one in {split}/: "
            "add images, or remove the class everywhere."
        )

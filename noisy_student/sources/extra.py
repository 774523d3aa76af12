"""Other labelled images as further test sets: folders of classes, or pairs of `.npy` files."""

from pathlib import Path

import numpy as np

from noisy_student.data.images import resize_images
from noisy_student.data.labelled import LabelledImages
from noisy_student.data.levels import check_one_scale
from noisy_student.runtime import layout
from noisy_student.runtime.errors import DataError
from noisy_student.runtime.files import open_npy
from noisy_student.settings.inputs import check_input_path
from noisy_student.settings.schema import Levels
from noisy_student.sources.names import class_folders, unknown_classes
from noisy_student.sources.reader import MemoryReader, read_folder

_LAYOUT = (
    "Give a folder <class>/* of images, or one with two arrays: *data.npy or images.npy, uint8 (N, S, S, 3), "
    "and *labels.npy, integers (N,)."
)


def load_extra(
    name: str, path: str | Path, *, classes: list[str], size: int, resize: str, levels: Levels = "auto"
) -> tuple[LabelledImages, list[int]]:
    """Read the extra test set of that name, with the classes that it can hold, ascending: those with a folder, or all.

    Raises:
        ParamsError: the path is missing, or holds what DVC does not follow.
        DataError: unreadable, empty, of unknown classes, of the wrong type or shape, or to be scaled otherwise.
    """
    check_input_path(f"eval.extra_tests.{name}", str(path))
    path, where = Path(path), f"eval.extra_tests.{name}={path}"
    arrays = sorted(array for array in path.glob("*.npy") if not array.name.startswith("."))
    if arrays:
        return _pair(arrays, where, len(classes), size), list(range(len(classes)))
    read = MemoryReader(size=size, resize=resize, levels=levels)
    found = _folders(path, where, classes, read)
    check_one_scale(read.depths, levels)
    return found


def _pair(arrays, where, classes, size):
    labels = [p for p in arrays if p.stem.lower().endswith("labels")]
    images = [p for p in arrays if p.stem.lower().endswith("data") or p.stem.lower() == "images"]
    if len(labels) != 1 or len(images) != 1:
        names = ", ".join(p.name for p in arrays)
        raise DataError(f"{where}: found {names}; which are images, which are labels? {_LAYOUT}")
    images, labels = _open(images[0], where), _open(labels[0], where)
    square = images.ndim == 4 and images.shape[1] == images.shape[2] and images.shape[3] == 3
    if images.dtype != np.uint8 or not square or not images.size:
        raise DataError(f"{where}: the images are {images.dtype} {images.shape}. {_LAYOUT}")
    if labels.dtype.kind not in "iu" or labels.shape != images.shape[:1]:
        raise DataError(f"{where}: the labels are {labels.dtype} {labels.shape} for {len(images):,} images. {_LAYOUT}")
    if labels.min() < 0 or labels.max() >= classes:
        raise DataError(
            f"{where}: labels from {labels.min()} to {labels.max()}, but {layout.CLASSES} lists {classes} "
            f"classes: expected 0 to {classes - 1}."
        )
    return LabelledImages(resize_images(np.asarray(images), size=size), labels.astype(np.int64))


def _open(path, where):
    try:
        return open_npy(path)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{where}: {path.name} is not a readable .npy array ({error}). {_LAYOUT}") from error


def _folders(path, where, classes, read):
    folders = class_folders(path)
    unknown = [name for name in folders if name not in classes]
    if unknown or not folders:
        seen = f"the class {unknown_classes(unknown[:5], classes)}" if unknown else "no folder"
        raise DataError(f"{where}: {seen} in it; the classes are {', '.join(classes[:20])}. {_LAYOUT}")
    if len(folders) == 1:
        raise DataError(
            f"{where}: only the class {next(iter(folders))} in it. Only the classes that are there are told apart, "
            "so every answer would be right; add folders of others."
        )
    images, present = [], [k for k, name in enumerate(classes) if name in folders]
    for label in present:
        own, names, skipped = read_folder(folders[classes[label]], read, recursive=False)
        if not names:
            cause = f"{len(skipped)} unreadable, e.g. {skipped[0]}" if skipped else "empty"
            raise DataError(f"{where}: no readable image in {classes[label]}/ ({cause}). Remove the folder.")
        images.append(own)
        for line in skipped:
            print(f"skipped {classes[label]}/{line}")
    return LabelledImages(read.join(images), np.repeat(present, [len(own) for own in images])), present

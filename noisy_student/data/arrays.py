"""Opening what `prepare` wrote, without reading it into memory."""

from pathlib import Path

import numpy as np

from noisy_student.data.source import LabelledImages
from noisy_student.errors import DataError
from noisy_student.files import read_array


def images_file(folder):
    """The file that `open_images` opens."""
    return Path(folder) / "images.npy"


def labelled_files(folder):
    """The files that `open_labelled` opens."""
    return [images_file(folder), Path(folder) / "labels.npy"]


def open_images(folder):
    """Open `folder/images.npy` as a read-only memory map.

    Returns:
        (N, S, S, 3) uint8.

    Raises:
        DataError: the file is missing, damaged, or no such array.
    """
    path = images_file(folder)
    images = read_array(path)
    if (
        images.dtype != np.uint8
        or images.ndim != 4
        or images.shape[1] != images.shape[2]
        or images.shape[3] != 3
    ):
        raise DataError(
            f"{path}: expected uint8 (N, S, S, 3), found {images.dtype} {images.shape}. "
            "Delete it and run `dvc repro` again."
        )
    return images


def open_labelled(folder, *, classes=None):
    """Open `folder/images.npy` and `folder/labels.npy` as read-only memory maps.

    Args:
        folder: e.g. "data/labelled".
        classes: the class names, to check that the labels lie in [0, len(classes)); None checks only that
            they are not negative.

    Returns:
        LabelledImages.

    Raises:
        DataError: a file is missing or damaged, or images and labels do not fit together.
    """
    path = labelled_files(folder)[1]
    images, labels = open_images(folder), read_array(path)
    if labels.dtype != np.int64 or labels.shape != images.shape[:1]:
        raise DataError(
            f"{path}: expected int64 ({len(images)},), one label an image, "
            f"found {labels.dtype} {labels.shape}. Delete it and run `dvc repro` again."
        )
    highest = np.inf if classes is None else len(classes) - 1
    wrong = np.flatnonzero((labels < 0) | (labels > highest))
    if wrong.size:
        raise DataError(
            f"{path}: label {labels[wrong[0]]} in row {wrong[0]}, expected 0 to {highest} "
            f"({wrong.size:,} rows are wrong). Delete it and run `dvc repro` again."
        )
    return LabelledImages(images, labels)

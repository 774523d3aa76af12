"""Writing what `prepare` makes, and opening it without reading it into memory."""

from pathlib import Path

import numpy as np

from noisy_student.data import shards
from noisy_student.data.labelled import LabelledImages
from noisy_student.runtime.errors import DataError
from noisy_student.runtime.files import read_array, write_array

PIECE = 2**16  # rows that are looked at together
TOLERANCE = 1e-3  # of the sum of a distribution in float32


def write_images(folder, images, rows, data):
    """Write images as `folder/images.npy` or, if `data.store` says so, as shards; see `data.shards`.

    Args:
        folder: pathlib.Path; other images in it are removed.
        images: (M, S, S, 3) uint8, `views.SourceImages`.
        rows: (N,) which of them, in their new order.
        data: DataParams.
    """
    if data.store == "shards":
        shards.write_shards(folder, images, rows, encoding=data.encoding)
    else:
        shards.remove_images(folder)
        write_array(folder / "images.npy", images[rows])


def images_files(folder):
    """Files by which the images of a folder are known: the array, or the shards' index with its checksums."""
    names = (shards.FACTS, shards.INDEX) if shards.is_sharded(folder) else ("images.npy",)
    return [Path(folder) / name for name in names]


def labelled_files(folder):
    """The files by which the images and labels of a folder are known."""
    return [*images_files(folder), Path(folder) / "labels.npy"]


def open_images(folder):
    """Open the images of a folder: an array as a read-only memory map, or shards.

    Args:
        folder: e.g. "data/unlabelled".

    Returns:
        (N, S, S, 3) uint8: an array, or `data.shards.EncodedImages`, which is indexed likewise.

    Raises:
        DataError: a file is missing, damaged, or no such array.
    """
    if shards.is_sharded(folder):
        return shards.open_shards(Path(folder))
    path = Path(folder) / "images.npy"
    images = read_array(path)
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1] != images.shape[2] or images.shape[3] != 3:
        raise DataError(
            f"{path}: expected uint8 (N, S, S, 3), found {images.dtype} {images.shape}. "
            "Delete it and run `dvc repro` again."
        )
    return images


def open_labelled(folder, *, classes=None):
    """Open the images of a folder, see `open_images`, and its `labels.npy`.

    Args:
        folder: e.g. "data/labelled".
        classes: the class names, to check that the labels lie in [0, len(classes)); None checks only that
            they are not negative.

    Returns:
        LabelledImages.

    Raises:
        DataError: a file is missing or damaged, or images and labels do not fit together.
    """
    path = Path(folder) / "labels.npy"
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


def open_probs(path, *, images, classes):
    """Open a teacher's distributions over a pool as a read-only memory map.

    Args:
        path: `.npy` file.
        images: number of images in the pool.
        classes: number of classes.

    Returns:
        (images, classes) float32.

    Raises:
        DataError: the file is missing or damaged, or is no such array: shape, type, NaN, sums.
    """
    probs = read_array(path)
    if probs.dtype != np.float32 or probs.shape != (images, classes):
        raise DataError(
            f"{path}: expected float32 ({images}, {classes}), a distribution over the classes for each "
            f"unlabelled image, found {probs.dtype} {probs.shape}. Delete it and run `dvc repro` again."
        )
    for start in range(0, images, PIECE):
        sums = probs[start : start + PIECE].sum(axis=1, dtype=np.float64)
        wrong = np.flatnonzero(~(np.abs(sums - 1.0) < TOLERANCE))  # so that NaN is wrong too
        if wrong.size:
            raise DataError(
                f"{path}: row {start + wrong[0]} sums to {sums[wrong[0]]:.4g}, no distribution. "
                "Delete it and run `dvc repro` again."
            )
    return probs


def open_rows(path, *, images):
    """Open the rows of a pool that balancing chose.

    Args:
        path: `.npy` file.
        images: number of images in the pool.

    Returns:
        (N,) int64, N > 0.

    Raises:
        DataError: the file is missing or damaged, no such array, empty, or names rows that are not there.
    """
    rows = read_array(path)
    if rows.dtype != np.int64 or rows.ndim != 1 or not len(rows):
        raise DataError(
            f"{path}: expected int64 (N,), the rows of the chosen images, found {rows.dtype} {rows.shape}. "
            "Delete it and run `dvc repro` again."
        )
    if rows.min() < 0 or rows.max() >= images:
        raise DataError(
            f"{path}: rows {rows.min()} to {rows.max()}, but the pool has {images} images. "
            "Delete it and run `dvc repro` again."
        )
    return rows


def open_truth(path, *, classes):
    """Open the true labels of a pool, -1 where unknown.

    Args:
        path: `.npy` file.
        classes: number of classes.

    Returns:
        (N,) int64 in [-1, classes).

    Raises:
        DataError: the file is missing or damaged, or no such array.
    """
    truth = read_array(path)
    if truth.dtype != np.int64 or truth.ndim != 1 or ((truth < -1) | (truth >= classes)).any():
        values = f" from {truth.min()} to {truth.max()}" if truth.size else ""
        raise DataError(
            f"{path}: expected int64 (N,) from -1 (unknown) to {classes - 1}, found {truth.dtype} "
            f"{truth.shape}{values}. Delete it and run `dvc repro` again."
        )
    return truth

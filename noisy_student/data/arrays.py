"""Writing what `prepare` makes, and opening it without reading it into memory."""

from pathlib import Path

import numpy as np

from noisy_student.data import shards
from noisy_student.data.labelled import LabelledImages
from noisy_student.data.probs import ShardedProbs, open_parts, remove_labels, shard_name, top_k_dtype
from noisy_student.data.views import Images, SourceImages
from noisy_student.runtime.errors import DataError
from noisy_student.runtime.files import read_array, write_array
from noisy_student.runtime.types import Labels, Rows
from noisy_student.settings.schema import DataParams

PIECE = 2**16  # rows that are looked at together
TOLERANCE = 1e-3  # of the sum of a distribution in float32


def write_images(folder: Path, images: SourceImages, rows: Rows, data: DataParams) -> None:
    """Write these rows in their order as `images.npy` or, if `data.store` says so, as shards; replace those there."""
    if data.store == "shards" and len(rows):  # without validation images there is nothing to keep in shards
        shards.write_shards(folder, images, rows, encoding=data.encoding)
    else:
        shards.remove_images(folder)
        write_array(folder / "images.npy", images[rows])


def images_files(folder: Path) -> list[Path]:
    """Files by which the images of a folder are known: the array, or the shards' index with its checksums."""
    names = (shards.FACTS, shards.INDEX) if shards.is_sharded(folder) else ("images.npy",)
    return [folder / name for name in names]


def open_images(folder: Path) -> Images:
    """Open the images of a folder: an array as a read-only memory map, or shards.

    Raises:
        DataError: a file is missing, damaged, or no such array; so do all that open files here.
    """
    if shards.is_sharded(folder):
        return shards.open_shards(folder)
    images = read_array(folder / "images.npy")
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1] != images.shape[2] or images.shape[3] != 3:
        raise _misfit(folder / "images.npy", "uint8 (N, S, S, 3)", images)
    return images


def open_labelled(folder: Path, *, classes: list[str] | None = None) -> LabelledImages:
    """Open the images of a folder and their labels, which are checked to be of these classes, or not negative."""
    path = folder / "labels.npy"
    images, labels = open_images(folder), read_array(path)
    if labels.dtype != np.int64 or labels.shape != images.shape[:1]:
        raise _misfit(path, f"int64 ({len(images)},), one label an image", labels)
    highest = np.inf if classes is None else len(classes) - 1
    wrong = np.flatnonzero((labels < 0) | (labels > highest))
    if wrong.size:
        example = f"label {labels[wrong[0]]} in row {wrong[0]}, expected 0 to {highest}"
        raise _damaged(path, f"{example} ({wrong.size:,} rows are wrong)")
    return LabelledImages(images, labels)


def open_probs(folder: Path, *, images: int, classes: int) -> ShardedProbs:
    """Open a teacher's distributions over a pool of so many images as read-only memory maps; sums are checked."""
    parts = open_parts(folder)
    for path, part in parts.items():
        _check_shard(path, part, classes)
    total = sum(map(len, parts.values()))
    if total != images:
        raise _damaged(folder, f"{total:,} distributions, expected one for each of the {images:,} unlabelled images")
    return ShardedProbs([*parts.values()], classes, files=[*parts])


def _check_shard(path, part, classes):
    """Raise DataError unless an array holds distributions, as a whole or the most probable classes."""
    if part.dtype.names is not None:
        wrong = part.ndim != 1 or part.dtype.names != top_k_dtype(1, classes).names
        if wrong or part.dtype != top_k_dtype(part.dtype["classes"].shape[0], classes):
            raise _misfit(path, f"the most probable of {classes} classes for each unlabelled image", part)
    elif part.dtype != np.float32 or part.ndim != 2 or part.shape[1] != classes:
        expected = f"float32 (images, {classes}), a distribution over the classes for each unlabelled image"
        raise _misfit(path, expected, part)
    for first in range(0, len(part), PIECE):
        piece = part[first : first + PIECE]
        if piece.dtype.names is not None:
            if len(piece) and piece["classes"].max() >= classes:
                raise _damaged(path, f"class {piece['classes'].max()} of {classes}")
            sums = piece["confidence"] + piece["probs"][:, 1:].sum(axis=1, dtype=np.float64)
            wrong = np.flatnonzero(~((sums > 0) & (sums < 1.0 + TOLERANCE)))
        else:
            sums = piece.sum(axis=1, dtype=np.float64)
            # so that NaN is wrong too
            wrong = np.flatnonzero(~((np.abs(sums - 1.0) < TOLERANCE) & (piece.min(axis=1, initial=1) >= 0)))
        if wrong.size:
            raise _damaged(path, f"row {first + wrong[0]} sums to {sums[wrong[0]]:.4g}, no distribution")


def write_no_probs(folder: Path) -> None:
    """Write what stands in the place of distributions where nobody learns from any: no rows."""
    remove_labels(folder)
    write_array(folder / f"{shard_name(0)}.npy", np.empty((0, 0), np.float32))


def open_rows(path: Path, *, images: int) -> Rows:
    """Open the rows, one at least, that balancing chose of a pool of so many images."""
    rows = read_array(path)
    if rows.dtype != np.int64 or rows.ndim != 1 or not len(rows):
        raise _misfit(path, "int64 (N,), the rows of the chosen images", rows)
    if rows.min() < 0 or rows.max() >= images:
        raise _damaged(path, f"rows {rows.min()} to {rows.max()}, but the pool has {images} images")
    return rows


def open_truth(path: Path, *, classes: int) -> Labels:
    """Open the true labels of a pool, -1 where unknown."""
    truth = read_array(path)
    if truth.dtype != np.int64 or truth.ndim != 1 or ((truth < -1) | (truth >= classes)).any():
        extent = f" from {truth.min()} to {truth.max()}" if truth.size else ""
        raise _misfit(path, f"int64 (N,) from -1 (unknown) to {classes - 1}", truth, extent)
    return truth


def _misfit(path: Path, expected: str, array: np.ndarray, extent: str = "") -> DataError:
    return _damaged(path, f"expected {expected}, found {array.dtype} {array.shape}{extent}")


def _damaged(path: Path, what: str) -> DataError:
    return DataError(f"{path}: {what}. Delete it and run `dvc repro` again.")

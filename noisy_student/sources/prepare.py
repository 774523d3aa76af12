"""Disjoint, stratified, seeded splits of a source: labelled, validation, unlabelled, test."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

from noisy_student.data.arrays import write_images
from noisy_student.data.splits import stratified
from noisy_student.data.views import RawImages, SourceImages, Subset
from noisy_student.runtime import files, layout, seeds
from noisy_student.runtime.errors import DataError
from noisy_student.runtime.types import Labels, Mask, Rows
from noisy_student.settings.schema import LABELLED_POOL, DataParams
from noisy_student.sources import provenance
from noisy_student.sources.loading import load_source
from noisy_student.sources.reader import Reader
from noisy_student.sources.summary import summary

WARNINGS = 20  # lines about unreadable files before the rest is only counted


class Pool(Subset):
    """Some rows of a source's split with their labels, -1 where unknown; pixels are copied when they are written."""

    def __init__(self, images: SourceImages, rows: Rows, labels: Labels) -> None:
        super().__init__(images, rows)
        self.labels = labels

    def take(self, index: Rows | Mask) -> Pool:
        """The pool of some of these rows, in that order."""
        return Pool(self.images, self.rows[index], self.labels[index])


def prepare(data: DataParams, out: Path = layout.PREPARED, *, read: Reader | None = None) -> dict[str, Any]:
    """Cut a source into splits, write them and print a summary; return metrics/data.json.

    The same seed gives the same bytes.
    Images identical pixel by pixel to a test image are dropped from every other split, those identical
    to a validation image from the training pools. The order in which the source or the file system lists
    images changes nothing. The truth of unlabelled images goes into a file of its own.

    Args:
        out: folder that receives the images, see `write_images`, and labels.npy of labelled, validation and
            test, the images of unlabelled, truth/unlabelled.npy (-1 where unknown), learned_from/teacher.npy,
            classes.json and splits.json.
        read: None reads image files into memory.

    Raises:
        DataError: images are missing, damaged, too few, or contradict the parameters. Nothing was written.
    """
    source = load_source(data, read)
    _warn(source.unreadable)
    pools, dropped, left = _split(source, data)
    for name, pool in pools.items():
        shuffled = pool.take(_rng(data, f"order-{name}").permutation(len(pool)))
        write_images(out / name, shuffled.images, shuffled.rows, data)
        labels = out / "truth/unlabelled.npy" if name == "unlabelled" else out / name / "labels.npy"
        files.write_array(labels, shuffled.labels)
    files.write_array(out / "learned_from/teacher.npy", np.empty(0, np.int64))  # rows of the pool: it learns from none
    files.write_json(out / "classes.json", list(source.classes))
    files.write_json(out / "splits.json", provenance.of_splits(source, data, out))
    duplicates = sum(sum(counts.values()) for counts in dropped.values())
    for line in summary(source, data, {name: pool.labels for name, pool in pools.items()}, left, duplicates):
        print(line)
    return {
        "source": data.source,
        "image_size": data.image_size,
        "images": {name: len(pool) for name, pool in pools.items()},
        "classes": _class_counts(pools, source.classes),
        "duplicates_dropped": dropped,
        "unreadable": list(source.unreadable),
    }


def _rng(data, purpose):
    return seeds.generator(data.seed, "data", purpose)


def _pool(images, labels=None):
    """A pool in canonical order: by label, then by pixels, whatever the order of the source."""
    labels = np.full(len(images), -1, np.int64) if labels is None else labels
    stored = images if isinstance(images, Subset) else RawImages(images)
    rows = np.lexsort((stored.keys, labels))
    return Pool(stored, rows, labels[rows])


def _split(source, data):
    """Return the four pools by name, the counts of duplicates dropped, and of images that are in no pool."""
    test, train, left_of_test = _cut_test(source, data)
    dropped: dict[str, dict[str, int]] = {"of_test": {}, "of_validation": {}}
    train = _drop(train, test, dropped["of_test"], "from_train")
    if data.validation is None:
        validation = _drop(_own_validation(source, data), test, dropped["of_test"], "from_validation")
        validation = _stratified(validation, None, source, data, "validation")[0]
    elif data.validation == 0:
        validation = train.take(np.empty(0, np.int64))
    else:
        validation, train = _stratified(train, data.validation, source, data, "validation")
    train = _drop(train, validation, dropped["of_validation"], "from_train")
    labelled, rest = _stratified(train, data.labelled, source, data, "labelled")
    held_back = source.unlabelled is None and data.unlabelled_from != LABELLED_POOL
    if held_back:
        unlabelled = rest
    elif data.unlabelled_from == LABELLED_POOL:
        unlabelled = labelled
    else:
        unlabelled = _pool(source.unlabelled, source.unlabelled_labels)
        unlabelled = _drop(unlabelled, test, dropped["of_test"], "from_unlabelled")
        unlabelled = _drop(unlabelled, validation, dropped["of_validation"], "from_unlabelled")
    whole, unlabelled = len(unlabelled), _limit_unlabelled(unlabelled, data)
    pools = {"labelled": labelled, "validation": validation, "unlabelled": unlabelled, "test": test}
    left = {"train": 0 if held_back else len(rest), "unlabelled": whole - len(unlabelled), "test": left_of_test}
    return pools, dropped, left


def _cut_test(source, data):
    """(test pool, training pool, number of test images that are in neither)."""
    train = _pool(source.train.images, source.train.labels)
    if source.test is None:
        return *_stratified(train, data.test, source, data, "test"), 0
    test = _pool(source.test.images, source.test.labels)
    count = None if data.test is None else min(data.test, len(test))
    test, rest = _stratified(test, count, source, data, "test")
    return test, train, len(rest)


def _own_validation(source, data):
    if source.validation is None:
        raise DataError(
            f"data.validation: empty, but {data.source} under data.root={data.root} has no validation images of "
            "its own. Give the number of images to cut from the training images, or (folder) add val/<class>/*."
        )
    return _pool(source.validation.images, source.validation.labels)


def _stratified(pool, count, source, data, name):
    """Cut `count` images (None: all) off a pool; return them and the rest."""
    count = len(pool) if count is None else count
    rows = stratified(pool.labels, count, rng=_rng(data, name), name=name, classes=source.classes)
    return pool.take(rows), pool.take(np.setdiff1d(np.arange(len(pool)), rows))


def _drop(pool, other, counts, name):
    """Drop from `pool` what is identical to an image of `other`, and count it."""
    duplicate = np.isin(pool.keys, other.keys)
    counts[name] = int(duplicate.sum())
    return pool.take(~duplicate)


def _limit_unlabelled(pool, data):
    if not len(pool):
        raise DataError(
            f"data.unlabelled_from={data.unlabelled_from}: no unlabelled image is left, after data.labelled="
            f"{data.labelled}, data.validation={data.validation} and without duplicates of other splits. "
            "Lower these, or name a folder of images."
        )
    chosen = _rng(data, "unlabelled").permutation(len(pool))[: data.unlabelled]
    return pool.take(np.sort(chosen))


def _class_counts(pools, classes):
    known = {name: pool.labels for name, pool in pools.items() if (pool.labels >= 0).any()}
    return {
        name: {split: int((labels == label).sum()) for split, labels in known.items()}
        for label, name in enumerate(classes)
    }


def _warn(unreadable):
    for line in unreadable[:WARNINGS]:
        print(f"warning: skipped {line}", file=sys.stderr)
    if len(unreadable) > WARNINGS:
        print(f"warning: and {len(unreadable) - WARNINGS:,} more unreadable files", file=sys.stderr)

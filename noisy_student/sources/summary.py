"""What `prepare` prints of the splits: how many images, of which class, where from, and what is not used."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from noisy_student.runtime.text import columns, padded, shorten
from noisy_student.runtime.types import Labels
from noisy_student.settings.schema import LABELLED_POOL, DataParams
from noisy_student.sources.interface import Source

ROWS = 20  # classes that are listed each; of more, the smallest are named
NAMED = 3
WIDTH = 24  # columns of a name


def summary(
    source: Source, data: DataParams, labels: Mapping[str, Labels], left: Mapping[str, int], dropped: int
) -> Iterator[str]:
    """Yield the lines.

    Args:
        labels: of each split, -1 where unknown.
        left: images that were cut from no split, by the place where they are: "train", "test" and "unlabelled".
        dropped: duplicates.
    """
    origins = origins_of(source, data)
    kinds, side = f"{len(source.classes):,} classes", data.image_size
    yield f"prepare: {data.source} ({data.root}), {kinds}, {side} x {side} pixels"
    for split, own in labels.items():
        yield f"  {split:<10}  {len(own):>9,}  from {origins[split]}"
    known = {name: np.bincount(own, minlength=len(source.classes)) for name, own in labels.items() if (own >= 0).all()}
    yield from _table(source.classes, known) if len(source.classes) <= ROWS else _extremes(source.classes, known)
    for line in _unused(source, data, labels, left, origins):
        yield f"  not used: {line}"
    if dropped:
        yield f"  dropped: {dropped:,} images that equal one of another split"
    if source.unreadable:
        yield f"  skipped: {len(source.unreadable):,} files that cannot be read"


def origins_of(source: Source, data: DataParams) -> dict[str, str]:
    """{split: where its images come from}, in words."""
    own = {split: source.origins.get(split, split) for split in ("train", "test", "validation", "unlabelled")}
    train = own["train"]
    if data.unlabelled_from == LABELLED_POOL:
        pool = "the labelled images"
    else:
        pool = f"{train}, held back" if source.unlabelled is None else own["unlabelled"]
    return {
        "labelled": train,
        "validation": own["validation"] if data.validation is None else train if data.validation else "nowhere",
        "unlabelled": pool,
        "test": train if source.test is None else own["test"],
    }


def _table(classes, counts) -> Iterator[str]:
    names = shorten(classes, WIDTH)
    width = max(map(columns, names))
    yield f"  {'':<{width}}" + "".join(f"  {split:>10}" for split in counts)
    for label, name in enumerate(names):
        yield f"  {padded(name, width)}" + "".join(f"  {own[label]:>10,}" for own in counts.values())


def _extremes(classes: Sequence[str], counts) -> Iterator[str]:
    names = shorten(classes, WIDTH)
    for split, own in counts.items():
        rarest = ", ".join(f"{names[k]} {own[k]:,}" for k in np.argsort(own, kind="stable")[:NAMED])
        yield f"  {split:<10}  a class {own.min():,} to {own.max():,}, median {np.median(own):,.0f}; fewest: {rarest}"


def _unused(source, data, labels, left, origins):
    train = source.origins.get("train", "train")
    unlabelled = labels["unlabelled"]
    if source.unlabelled is None and data.unlabelled_from != LABELLED_POOL:
        yield f"the labels of the {len(unlabelled):,} images held back (data.labelled={data.labelled})"
    elif left["train"]:
        yield f"{left['train']:,} labelled images of {train} (data.labelled={data.labelled}; empty: all)"
    if source.unlabelled_labels is not None:
        yield f"the labels of {origins['unlabelled']}, which only tell how good the pseudo-labels are"
    if left["unlabelled"]:
        yield f"{left['unlabelled']:,} images of {origins['unlabelled']} (data.unlabelled={data.unlabelled})"
    if left["test"]:
        yield f"{left['test']:,} images of {origins['test']} (data.test={data.test}; empty: all)"
    yield from source.unused

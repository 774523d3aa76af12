"""What the splits are, for whoever is given a model: where images come from, under which licence, their SHA-256."""

import hashlib
import os
from pathlib import Path
from typing import Any

from noisy_student.runtime.files import sha256
from noisy_student.settings.schema import PHOTOGRAPHS, POOLS, DataParams
from noisy_student.sources import photographs
from noisy_student.sources.adapters import ADAPTERS
from noisy_student.sources.interface import Source
from noisy_student.sources.summary import origins_of

SPLITS = ("labelled", "validation", "unlabelled", "test")


def of_splits(source: Source, data: DataParams, out: Path) -> dict[str, dict[str, Any]]:
    """{split: what is known of it}: `from`, `licence` (None: unknown) and the `sha256` of its folder in `out`.

    Of a pool that is a list also `files`: name, bytes and tag of each when it was read.
    """
    origins, own = origins_of(source, data), ADAPTERS[data.source].RULES.licence
    if data.unlabelled_from not in POOLS:  # a path of this machine, which says nothing on another
        name = os.path.basename(os.path.normpath(data.unlabelled_from))
        origins["unlabelled"] = f"a list of files, {name}" if source.files else f"a folder of images, {name}/"
    splits: dict[str, dict[str, Any]] = {
        split: {
            "from": origins[split],
            "licence": _licence_of_pool(data, own) if split == "unlabelled" else own,
            "sha256": folder_digest(out / split),
        }
        for split in SPLITS
    }
    if source.files:
        splits["unlabelled"]["files"] = list(source.files)
    return splits


def _licence_of_pool(data, own):
    if data.unlabelled_from == PHOTOGRAPHS:
        return photographs.LICENCE
    return own if data.unlabelled_from in POOLS else None


def folder_digest(folder: Path) -> str:
    """SHA-256 of the SHA-256 of all files in a folder: in it, coreutils give the same by

    find . -type f | LC_ALL=C sort | xargs sha256sum | sha256sum
    """
    total = hashlib.sha256()
    names = sorted(os.fsencode(path.relative_to(folder).as_posix()) for path in folder.rglob("*") if path.is_file())
    for name in names:
        total.update(sha256(folder / os.fsdecode(name)).encode() + b"  ./" + name + b"\n")
    return total.hexdigest()

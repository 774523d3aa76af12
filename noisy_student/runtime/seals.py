"""Folders that can be proved to be as a stage wrote them: only such may be removed."""

import contextlib
import hashlib
from collections.abc import Iterable
from pathlib import Path

from noisy_student.runtime.errors import DataError
from noisy_student.runtime.files import read_json, write_json

SEAL = "sha256.json"


def seal(folder: Path, names: Iterable[str]) -> None:
    """Write down what a stage has written into a folder: the files of these names."""
    write_json(folder / SEAL, {name: _digest(folder / name) for name in sorted(names)})


def _digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def remove_sealed(folder: Path) -> bool:
    """Remove a folder if it holds just the files that were sealed, as they were; return whether it did."""
    try:
        written = read_json(folder / SEAL)
        if {path.name for path in folder.iterdir()} != {*written, SEAL}:
            return False
        if any(_digest(folder / name) != digest for name, digest in written.items()):
            return False
    except (OSError, DataError):
        return False
    for name in (*written, SEAL):
        (folder / name).unlink()
    folder.rmdir()
    with contextlib.suppress(OSError):
        folder.parent.rmdir()  # of an extra test set, if this was its last
    return True

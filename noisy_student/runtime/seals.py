"""Folders that can be proved to be as a stage wrote them: only such may be removed."""

import contextlib
import hashlib
from pathlib import Path

from noisy_student.runtime.errors import DataError
from noisy_student.runtime.files import read_json, write_json

SEAL = "sha256.json"


def _digests(folder):
    """{name: SHA-256} of all files but the seal; folders have none."""
    paths = sorted(path for path in folder.iterdir() if path.name != SEAL)
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None for path in paths}


def seal(folder: Path) -> None:
    """Write down what a finished folder holds."""
    write_json(folder / SEAL, _digests(folder))


def remove_sealed(folder: Path) -> bool:
    """Remove a folder, and say so, if it holds nothing but what it held when it was sealed."""
    try:
        if not (folder / SEAL).is_file() or read_json(folder / SEAL) != (digests := _digests(folder)):
            return False
    except (OSError, DataError):
        return False
    for name in (*digests, SEAL):
        (folder / name).unlink()
    folder.rmdir()
    with contextlib.suppress(OSError):
        folder.parent.rmdir()  # of an extra test set, if this was its last
    return True

"""What reads folders of image files into memory; see `staging` for a reading that goes on after a stop."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np

from noisy_student.data.images import try_image
from noisy_student.data.levels import Depth
from noisy_student.data.views import Images
from noisy_student.runtime.files import files_below
from noisy_student.runtime.progress import progress
from noisy_student.runtime.types import Pixels
from noisy_student.settings.schema import Levels

T = TypeVar("T", bound=Images)


class Reader(Protocol[T]):
    """Reads image files as square images of one size.

    Attributes:
        depths: of every image of more than 8 bits, its path and how it was scaled.
        folder: where others may keep what they have read, for a stopped process to go on; None: nowhere.
        record: what metrics/run.json has of how they read.
    """

    depths: list[tuple[str, Depth]]
    folder: Path | None
    record: dict[str, Any]

    def __call__(self, paths: Sequence[Path], *, title: str) -> tuple[T, list[str | None]]:
        """The images of the files that can be read, and for every file None or why it cannot; the bar has `title`."""

    def ahead(self, paths: Iterable[Path]) -> None:
        """Files of the next calls, which an executor may read together; see `staging.ShardReader.ahead`."""

    def join(self, parts: Sequence[T]) -> T:
        """The images of several calls as one."""


class MemoryReader:
    """Reads into arrays; for size, resize and levels see `data.images.try_image`."""

    def __init__(self, *, size: int, resize: str, levels: Levels = "auto") -> None:
        self.size, self.resize, self.levels = size, resize, levels
        self.depths: list[tuple[str, Depth]] = []
        self.folder: Path | None = None
        self.record: dict[str, Any] = {}

    def __call__(self, paths: Sequence[Path], *, title: str) -> tuple[Pixels, list[str | None]]:
        images, readable = np.empty((len(paths), self.size, self.size, 3), np.uint8), 0
        causes: list[str | None] = []
        for path in progress(paths, name=title, unit="image", brief=True):
            image, cause, depth = try_image(path, size=self.size, resize=self.resize, levels=self.levels)
            causes.append(cause)
            if depth is not None:
                self.depths.append((str(path), depth))
            if image is not None:
                images[readable] = image
                readable += 1
        return images[:readable], causes

    def ahead(self, paths: Iterable[Path]) -> None:
        """Nothing: an array is read at once."""

    def join(self, parts: Sequence[Pixels]) -> Pixels:
        return np.concatenate(parts)


def read_folder(root: Path, read: Reader, *, recursive: bool) -> tuple[Images, list[str], list[str]]:
    """Read the images of a folder, sorted by name; return them, their paths in it and "path: cause" of the others.

    Args:
        recursive: whether images in folders below `root` count too (links are followed). If not, such a folder is
            reported as unreadable. Hidden files are ignored.
    """
    names = _names(root, recursive)
    images, causes = read([root / name for name in names], title=f"read {root.name}")
    results = list(zip(names, causes, strict=True))
    readable = [name for name, cause in results if cause is None]
    return images, readable, [f"{name}: {cause}" for name, cause in results if cause is not None]


def read_ahead(folders: Iterable[tuple[Path, bool]], read: Reader) -> None:
    """Say which folders will be read, each with `recursive` of `read_folder`: an executor may read them together."""
    read.ahead(root / name for root, recursive in folders for name in _names(root, recursive))


def count(root: Path) -> int:
    """How many files `read_folder` would read below a folder; what is not there or may not be listed has none."""
    return sum(1 for _ in files_below(root, on_error=lambda _: None))


def _names(root, recursive):
    """Of the files in a folder, sorted."""
    return sorted(_walk(root) if recursive else (name for name in os.listdir(root) if not name.startswith(".")))


def _walk(root):
    return (Path(path).relative_to(root).as_posix() for path in files_below(root, on_error=_raise))


def _raise(error):
    raise error  # a folder left out would change the data silently

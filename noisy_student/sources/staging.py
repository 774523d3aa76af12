"""Image files read by several threads into shards, which a later process can go on with."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from noisy_student.data.images import encode, pixel_key, try_image
from noisy_student.data.levels import Depth
from noisy_student.data.shards import SHARD, EncodedImages, TarWriter, checksum
from noisy_student.data.views import Subset
from noisy_student.runtime import environment
from noisy_student.runtime.checkpoints import Checkpoints
from noisy_student.runtime.errors import DataError
from noisy_student.runtime.progress import bar
from noisy_student.runtime.signals import Stopped, deferred
from noisy_student.settings.schema import Levels

STOPPED = "prepare: stopped; the image files that were read need not be read again. Run it again."
_CHUNK = 256  # files that are handed to the threads together
Key = list[str | int]  # path of a file, how it is resized, its size and date


class StagedImages(EncodedImages):
    """Encoded images that become more."""

    def __init__(self, size: int, *, encoding: str) -> None:
        self._entries, self._keys = np.empty((1024, 4), np.int64), np.empty(1024, "S32")  # with room to spare
        super().__init__([], self._entries[:0], size, encoding=encoding)

    @property
    def keys(self) -> np.ndarray:
        return self._keys[: len(self)]

    def add(self, entry: tuple[int, int, int, int], key: bytes) -> None:
        """Add an image: shard, offset, length and CRC-32, and its key."""
        row = len(self)
        if row == len(self._entries):
            self._entries, self._keys = np.resize(self._entries, (2 * row, 4)), np.resize(self._keys, 2 * row)
        self._entries[row], self._keys[row] = entry, key
        self.index = self._entries[: row + 1]


class ShardReader:
    """Reads image files into shards beside the checkpoints of the stage prepare; see `reader.Reader`.

    What an earlier, stopped process has read is not read again, if the files come in the same order; from the
    first one on whose path, size or date differs, all are.

    Args:
        kept: with `keep=None`; a shard's number is that of its first file.
        encoding: "png", "jpeg" or "bmp".
        size, resize, levels: see `data.images.try_image`.
    """

    def __init__(self, kept: Checkpoints, *, encoding: str, size: int, resize: str, levels: Levels = "auto") -> None:
        self.kept, self.resize, self.levels = kept, resize, levels
        self.images, self.depths = StagedImages(size, encoding=encoding), list[tuple[str, Depth]]()
        self.folder: Path | None = kept.folder / "listed"
        self.record: dict[str, Any] = {}
        self._earlier, self._ended = iter(self._replay()), 0  # files that are in shards
        self._writer: TarWriter | None = None
        self._first, self._row = 0, 0  # file and image with which its shard begins
        self._files: list[tuple[Key, str | None, Depth | None]] = []  # in it: key, cause, depth
        self._pool = ThreadPoolExecutor(environment.threads(), thread_name_prefix="read")

    def __call__(self, paths: Sequence[Path], *, title: str) -> tuple[Subset, list[str | None]]:
        """Read files; Ctrl-C, SIGTERM or the end of the DVC that started this raises Stopped, and all is saved."""
        first = len(self.images)
        causes: list[str | None] = []
        with bar(total=len(paths), name=title, unit="image", brief=True) as shown, deferred() as requests:
            for place in range(0, len(paths), _CHUNK):
                begun = [self._begin(path) for path in paths[place : place + _CHUNK]]
                try:
                    causes += [self._end(*file) for file in begun]
                    shown.update(len(begun))
                    asked = requests.pending()
                    if asked is not None:
                        self.save()
                        raise Stopped(STOPPED, asked)
                except OSError as error:  # no room; what is wrong with an image file is no OSError here
                    cause = f"the images cannot be kept there ({error.strerror})"
                    raise DataError(f"{self.kept.folder}: {cause}. Free some space, then run again.") from error
        return Subset(self.images, np.arange(first, len(self.images))), causes

    def join(self, parts: Sequence[Subset]) -> Subset:
        return Subset(self.images, np.concatenate([part.rows for part in parts]))

    def save(self) -> None:
        """End the present shard, so that a later process can go on after it."""
        if self._writer is None:
            return
        crc32 = self._writer.close()
        rows = slice(self._row, len(self.images))
        arrays = {"index": self.images.index[rows], "keys": self.images.keys[rows]}
        done = f"{self._first + len(self._files):,} image files"
        self.kept.save(self._first, arrays, {"files": self._files, "crc32": crc32}, done=done)
        self._writer = None

    def drop(self) -> None:
        """Remove the present shard, which is not whole."""
        if self._writer is not None:
            self._writer.drop()
            self._writer = None

    def _begin(self, path):
        """(key of the file, what an earlier process has found or None, else the thread that reads it)."""
        facts = os.stat(path) if os.path.isfile(path) else None
        key = [str(path), self.resize, *((facts.st_size, facts.st_mtime_ns) if facts else ())]
        earlier = self._from_earlier(key)
        return key, earlier, None if earlier else self._pool.submit(self._read, path)

    def _end(self, key, earlier, reading):
        """Add an image, or why there is none, which is returned."""
        if earlier is None:
            cause, depth = self._write(key, *reading.result())
        else:
            entry, pixels, cause, depth = earlier
            if cause is None:
                self.images.add(entry, pixels)
        if depth is not None:
            self.depths.append((str(key[0]), Depth(*depth)))
        if self._writer is not None and (self._writer.size >= SHARD or self.kept.due()):
            self.save()
        return cause

    def _read(self, path):
        image, cause, depth = try_image(path, size=self.images.size, resize=self.resize, levels=self.levels)
        if image is None:
            return None, None, cause, None
        return encode(image, self.images.encoding), pixel_key(image), None, depth

    def _write(self, key, data, pixels, cause, depth):
        if self._writer is None:
            self._first, self._row, self._files = self._ended, len(self.images), []
            self.kept.drop_from(self._first)
            self.kept.folder.mkdir(parents=True, exist_ok=True)
            self._writer = TarWriter(self._path(self._first), encoding=self.images.encoding, first=self._row)
            self.images.paths.append(self._writer.path)
        if cause is None:
            self.images.add((len(self.images.paths) - 1, *self._writer.add(data)), pixels)
        self._files.append((key, cause, depth))  # last: an interrupt between the two leaves an image too many
        self._ended += 1
        return cause, depth

    def _path(self, number):
        return self.kept.folder / f"{number:012d}.tar"

    def _from_earlier(self, key):
        expected, earlier = next(self._earlier, (None, None))
        if expected != key:
            self._earlier = iter(())
            return None
        self._ended += 1
        self.kept.resumed_from = self._ended
        return earlier

    def _replay(self):
        """Yield (key, (entry, key of the pixels, cause, depth)) of the files in shards that follow one another."""
        numbers: list[int | None] = [*self.kept.numbers(), None]
        for end, (number, arrays, meta) in zip(numbers[1:], self.kept.in_order(), strict=False):
            path = self._path(number)
            if not path.is_file() or checksum(path) != meta["crc32"]:
                print(f"prepare: {path} is damaged or missing; it is made again", flush=True)
                return
            self.images.paths.append(path)
            entries = arrays["index"]
            entries[:, 0] = len(self.images.paths) - 1
            images = zip(entries, arrays["keys"], strict=True)
            # a later shard may have taken the place of this one's end, where files had changed
            for key, cause, depth in meta["files"][: None if end is None else end - number]:
                yield key, (*next(images), None, depth) if cause is None else (None, None, cause, None)

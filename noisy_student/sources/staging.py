"""Image files read by several threads, or by an executor, into shards, which a later process can go on with."""

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from noisy_student.data.levels import Depth
from noisy_student.data.shards import SHARD, EncodedImages, TarWriter, checksum
from noisy_student.data.views import Subset
from noisy_student.executors import settings as configuration
from noisy_student.executors.running import in_this_process, run
from noisy_student.executors.tasks import Call, Task, Work
from noisy_student.runtime import checkpoints, environment
from noisy_student.runtime.checkpoints import Checkpoints
from noisy_student.runtime.errors import DataError
from noisy_student.runtime.progress import bar
from noisy_student.runtime.signals import Stopped, deferred
from noisy_student.settings.schema import DataParams, Levels
from noisy_student.sources.reading_tasks import GROUP, Form, Kept, Read, add_record, left, read_paths

STOPPED = "prepare: stopped; the image files that were read need not be read again. Run it again."
_CHUNK = 256  # files that are handed to the threads together
Key = list[str | int]  # path of a file, how it is resized, its size and date


class _Known(NamedTuple):
    """What is known of a file that another process has read: where its image lies, or why there is none."""

    entry: Any
    key: Any
    cause: str | None
    depth: Depth | None


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
        self.kept, self.form = kept, Form(size, resize, levels, encoding)
        self.images, self.depths = StagedImages(size, encoding=encoding), list[tuple[str, Depth]]()
        self.folder: Path | None = kept.folder / "tasks"
        self.record: dict[str, Any] = {}
        self._by_executor: dict[tuple, _Known] = {}
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
                    raise self._unkept(error) from error
        return Subset(self.images, np.arange(first, len(self.images))), causes

    def ahead(self, paths: Iterable[Path]) -> None:
        """Let an executor of several workers read files now; calls find them read. Others do nothing here.

        Raises:
            ShardError: what was read cannot be kept.
            Stopped: Ctrl-C, SIGTERM, or the end of the DVC that started this; what was read is not read again.
        """
        executor = configuration.load()
        if in_this_process(executor, None) or self.folder is None:
            return
        keys = [self._key(path) for path in paths]
        groups = [keys[first : first + GROUP] for first in range(0, len(keys), GROUP)]
        if len(groups) < 2:
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._unkept(error) from error
        form, tasks = vars(self.form), list[Task]()
        for number, group in enumerate(groups):
            digest = hashlib.blake2b(json.dumps([group, form]).encode(), digest_size=12).hexdigest()
            title = f"image files {number * GROUP + 1:,} to {number * GROUP + len(group):,}"
            output = self.folder / f"shard-{digest}.tar"
            left(output)  # so that one with a damaged index is made anew
            tasks.append(Task(title, output, len(group), {"paths": [str(key[0]) for key in group]}))
        call = Call(f"{read_paths.__module__}:{read_paths.__name__}", {**form, "folder": os.path.abspath(self.folder)})
        add_record(self.record, run(Work(call), tasks, executor, title="read image files").for_record())
        for group, task in zip(groups, tasks, strict=True):
            self._take(group, Kept.of(task.output))

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

    def _unkept(self, error):
        cause = f"the images cannot be kept there ({error.strerror})"
        return DataError(f"{self.kept.folder}: {cause}. Free some space, then run again.")

    def _begin(self, path):
        """(key of the file, what an earlier process has found or None, else the thread that reads it)."""
        key = self._key(path)
        earlier = self._by_executor.pop(tuple(key), None) or self._from_earlier(key)
        return key, earlier, None if earlier else self._pool.submit(self.form.read, path)

    def _key(self, path):
        facts = os.stat(path) if os.path.isfile(path) else None
        return [str(path), self.form.resize, *((facts.st_size, facts.st_mtime_ns) if facts else ())]

    def _take(self, keys, kept):
        """Remember what a task has read of the files with these keys."""
        self.images.paths.append(kept.path)
        kept.index[:, 0] = len(self.images.paths) - 1
        images = zip(kept.index, kept.keys, strict=True)
        causes, depths = dict(kept.unreadable), dict(kept.depths)
        for key in keys:
            cause = causes.get(key[0])
            entry, pixels = (None, None) if cause is not None else next(images)
            depth = depths.get(key[0])
            self._by_executor[tuple(key)] = _Known(entry, pixels, cause, depth and Depth(*depth))

    def _end(self, key, earlier, reading):
        """Add an image, or why there is none, which is returned."""
        if earlier is None:
            earlier = self._write(key, reading.result())
        elif earlier.cause is None:
            self.images.add(earlier.entry, earlier.key)
        cause, depth = earlier.cause, earlier.depth
        if depth is not None:
            self.depths.append((str(key[0]), Depth(*depth)))
        if self._writer is not None and (self._writer.size >= SHARD or self.kept.due()):
            self.save()
        return cause

    def _write(self, key, read: Read):
        if self._writer is None:
            self._first, self._row, self._files = self._ended, len(self.images), []
            self.kept.drop_from(self._first)
            self.kept.folder.mkdir(parents=True, exist_ok=True)
            self._writer = TarWriter(self._path(self._first), encoding=self.images.encoding, first=self._row)
            self.images.paths.append(self._writer.path)
        if read.data is not None:
            self.images.add((len(self.images.paths) - 1, *self._writer.add(read.data)), read.key)
        # last: an interrupt between the two leaves an image too many
        self._files.append((key, read.cause, read.depth))
        self._ended += 1
        return read

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
                yield key, _Known(*next(images), None, depth) if cause is None else _Known(None, None, cause, None)


@contextlib.contextmanager
def remembering_reader(data: DataParams, *, every_minutes: float) -> Iterator[ShardReader]:
    """The reader of the stage prepare. What it remembers is removed on success.

    Args:
        every_minutes: longest reading that a killed process repeats.

    Raises:
        Stopped: Ctrl-C or SIGTERM; what was read is not read again.
    """
    digest = checkpoints.digest("prepare", data.model_dump(), [])
    with checkpoints.opened("prepare", digest, every_minutes=every_minutes, keep=None) as kept:
        encoding = data.encoding if data.store == "shards" else "bmp"  # for arrays: quick, and loses nothing
        size, resize = data.image_size, data.resize
        reader = ShardReader(kept, encoding=encoding, size=size, resize=resize, levels=data.levels)
        try:
            yield reader
        except KeyboardInterrupt as interrupt:
            reader.save()
            raise Stopped(STOPPED, interrupt) from None
        except Exception:
            reader.drop()
            raise
        if kept.resumed_from:
            print(f"prepare: resumed_from_image={kept.resumed_from}", flush=True)

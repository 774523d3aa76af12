"""Image files read by several threads into shards, which a later process can go on with."""

import contextlib
import os
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np

from noisy_student.data.images import pixel_key, try_image
from noisy_student.data.shards import SHARD, EncodedImages, TarWriter, checksum, encode
from noisy_student.data.views import Rows
from noisy_student.runtime import environment
from noisy_student.runtime.errors import DataError
from noisy_student.runtime.progress import bar
from noisy_student.runtime.signals import Stopped, deferred

STOPPED = "prepare: stopped; the image files that were read need not be read again. Run it again."
_CHUNK = 256  # files that are handed to the threads together
_ADDED = 2**14  # images that wait as Python objects at least


class StagedImages(EncodedImages):
    """Encoded images that become more.

    Attributes:
        keys: (N,) bytes, equal for equal pixels.
    """

    def __init__(self, size, *, encoding):
        self._index, self._keys = np.empty((0, 4), np.int64), np.empty(0, "S32")
        self._added = []  # (entry, key) that are not in these two yet
        super().__init__([], None, size, encoding=encoding)

    def __len__(self):
        return len(self._index) + len(self._added)

    @property
    def index(self):
        """See `EncodedImages`."""
        self._take_in()
        return self._index

    @index.setter
    def index(self, value):
        """It grows by `add` only."""

    @property
    def keys(self):
        """See the class."""
        self._take_in()
        return self._keys

    def add(self, entry, key):
        """Add an image: shard, offset, length and CRC-32, and its key."""
        self._added.append((entry, key))
        if len(self._added) > max(_ADDED, len(self._index) // 4):
            self._take_in()

    def _take_in(self):
        if self._added:
            entries, keys = zip(*self._added, strict=True)
            self._index = np.concatenate([self._index, np.array(entries, np.int64)])
            self._keys = np.concatenate([self._keys, np.array(keys, "S32")])
            self._added = []


class ShardReader:
    """Reads image files into shards beside the checkpoints of the stage prepare.

    What an earlier, stopped process has read is not read again, if the files come in the same order; from the
    first one on whose path, size or date differs, all are.

    Args:
        kept: checkpoints.Checkpoints with `keep=None`; a shard's number is that of its first file.
        encoding: "png" or "jpeg".
        size: side of the images in pixels.

    Attributes:
        images: StagedImages, all that were read.
    """

    def __init__(self, kept, *, encoding, size):
        self.kept, self.images = kept, StagedImages(size, encoding=encoding)
        self._earlier, self._ended = self._replay(), 0  # files that are in shards
        self._writer, self._first, self._row, self._files = None, 0, 0, []
        self._pool = ThreadPoolExecutor(environment.threads(), thread_name_prefix="read")

    def read_all(self, root, names, *, resize, name):
        """Read image files.

        Args:
            root: folder, pathlib.Path.
            names: of the files in it.
            resize: see `noisy_student.data.images.read_image`.
            name: what the progress bar says.

        Returns:
            (Rows of the images that can be read, causes): for every file None, or why it cannot.

        Raises:
            Stopped: Ctrl-C or SIGTERM, or the DVC that started this process is gone; what was read is saved.
            DataError: there is no room for the shards.
        """
        first, causes = len(self.images), []
        with bar(total=len(names), name=name, unit="image") as shown, deferred() as requests:
            for start in range(0, len(names), _CHUNK):
                begun = [self._begin(root / file, resize) for file in names[start : start + _CHUNK]]
                with self._room():
                    causes += [self._end(key, work) for key, work in begun]
                    shown.update(len(begun))
                    asked = requests.pending()
                    if asked is not None:
                        self.save()
                        raise Stopped(STOPPED, asked)
        return Rows(self.images, np.arange(first, len(self.images))), causes

    @contextlib.contextmanager
    def _room(self):
        """Say where there is none; what is wrong with an image file is no OSError here."""
        try:
            yield
        except OSError as error:
            raise DataError(
                f"{self.kept.folder}: the images cannot be kept there ({error.strerror}). Free some space, "
                "then run again."
            ) from error

    def save(self):
        """End the present shard, so that a later process can go on after it."""
        if self._writer is None:
            return
        crc32 = self._writer.close()
        rows = slice(self._row, len(self.images))
        arrays = {"index": self.images.index[rows], "keys": self.images.keys[rows]}
        self.kept.save(self._first, arrays, {"files": self._files, "crc32": crc32})
        self._writer = None

    def _begin(self, path, resize):
        """(key of the file, what an earlier process has found or the thread that reads it)."""
        facts = os.stat(path) if os.path.isfile(path) else None
        key = [str(path), resize, *((facts.st_size, facts.st_mtime_ns) if facts else ())]
        found = self._from_earlier(key)
        return key, self._pool.submit(self._read, path, resize) if found is None else found

    def _end(self, key, work):
        """Add an image, or why there is none, which is returned."""
        if isinstance(work, tuple):
            entry, pixels, cause = work
        else:
            data, pixels, cause = work.result()
            entry = self._write(key, data, cause)
        if cause is None:
            self.images.add(entry, pixels)
        if self._writer is not None and (self._writer.size >= SHARD or self.kept.due()):
            self.save()
        return cause

    def _read(self, path, resize):
        image, cause = try_image(path, size=self.images.shape[1], resize=resize)
        if image is None:
            return None, None, cause
        return encode(image, self.images.encoding), pixel_key(image), None

    def _write(self, key, data, cause):
        if self._writer is None:
            self._first, self._row, self._files = self._ended, len(self.images), []
            self.kept.drop_from(self._first)
            self.kept.folder.mkdir(parents=True, exist_ok=True)
            path = self._path(self._first)
            self._writer = TarWriter(path, encoding=self.images.encoding, first=self._row)
            self.images.paths.append(path)
        entry = None if cause else (len(self.images.paths) - 1, *self._writer.add(data))
        self._files.append([key, cause])
        self._ended += 1
        return entry

    def _path(self, number):
        return self.kept.folder / f"{number:012d}.tar"

    def _from_earlier(self, key):
        if self._earlier is None:
            return None
        expected, found = next(self._earlier, (None, None))
        if expected != key:
            self._earlier = None
            return None
        self._ended += 1
        self.kept.resumed_from = self._ended
        return found

    def _replay(self):
        """Yield (key, (entry, key of the pixels, cause)) of the files in shards that follow one another."""
        numbers = [*self.kept.numbers(), None]
        for (number, end), (_, arrays, meta) in zip(pairwise(numbers), self.kept.in_order(), strict=False):
            path = self._path(number)
            if not path.is_file() or checksum(path) != meta["crc32"]:
                print(f"prepare: {path} is damaged or missing; it is made again", flush=True)
                return
            self.images.paths.append(path)
            entries = arrays["index"]
            entries[:, 0] = len(self.images.paths) - 1
            found = zip(entries, arrays["keys"], strict=True)
            # a later shard may have taken the place of this one's end, where files had changed
            for key, cause in meta["files"][: None if end is None else end - number]:
                yield key, (*next(found), None) if cause is None else (None, None, cause)

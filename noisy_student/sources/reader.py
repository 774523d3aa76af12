"""Image files read one after the other, remembered in shards, so that a stopped reading goes on."""

import contextlib
import os
from itertools import pairwise

import numpy as np

from noisy_student.data.images import try_image
from noisy_student.runtime import checkpoints
from noisy_student.runtime.signals import Orphaned, Stopped, is_orphaned
from noisy_student.sources.staging import STOPPED, ShardReader

SHARD = 64 * 2**20  # most bytes of pixels that wait in memory for the next shard


@contextlib.contextmanager
def remembering_reader(data, *, every_minutes):
    """An `ImageReader`, or a `ShardReader` where images are kept in shards, for the stage prepare.

    What it remembers is removed on success.

    Args:
        data: `DataParams`.
        every_minutes: longest reading that a killed process repeats.

    Raises:
        Stopped: Ctrl-C or SIGTERM; what was read is not read again.
    """
    digest = checkpoints.digest("prepare", data.model_dump(), [])
    with checkpoints.opened("prepare", digest, every_minutes=every_minutes, keep=None) as kept:
        reader = ImageReader(kept)
        if data.store == "shards":
            reader = ShardReader(kept, encoding=data.encoding, size=data.image_size)
        try:
            yield reader
        except KeyboardInterrupt as interrupt:
            reader.save()
            raise Stopped(STOPPED, interrupt) from None
        if kept.resumed_from:
            print(f"prepare: resumed_from_image={kept.resumed_from}", flush=True)


class ImageReader:
    """Reads like `try_image`, but takes from shards what an earlier, stopped process has read.

    The files must come in the same order as then. From the first one on whose path, size or date differs,
    all are read anew.

    Args:
        kept: checkpoints.Checkpoints with `keep=None`; a shard's number is that of its first file.
    """

    def __init__(self, kept):
        self.kept = kept
        self._earlier, self._asked = self._replay(), 0
        self._first, self._files, self._images, self._bytes = 0, [], [], 0

    def __call__(self, path, *, size, resize):
        """As `noisy_student.data.images.try_image`.

        Raises:
            Orphaned: the DVC that started this process is gone.
        """
        if is_orphaned():
            raise Orphaned
        facts = os.stat(path) if os.path.isfile(path) else None
        key = [str(path), size, resize, *((facts.st_size, facts.st_mtime_ns) if facts else ())]
        found = self._from_earlier(key)
        if found is None:
            found = try_image(path, size=size, resize=resize)
            self._remember(key, *found)
        self._asked += 1
        return found

    def _from_earlier(self, key):
        if self._earlier is None:
            return None
        expected, found = next(self._earlier, (None, None))
        if expected == key:
            self.kept.resumed_from = self._asked + 1
            return found
        self._earlier = None
        return None

    def _replay(self):
        """Yield (key, (image, cause)) of the shards that follow one another."""
        for (number, end), (_, arrays, meta) in zip(
            pairwise([*self.kept.numbers(), None]), self.kept.in_order(), strict=False
        ):
            images = iter(arrays["images"])
            # a later shard may have taken the place of this one's end, where files had changed
            for key, cause in meta["files"][: None if end is None else end - number]:
                yield key, (next(images) if cause is None else None, cause)

    def save(self):
        """Save what is not in a shard yet."""
        files = len(self._files)
        if files:
            images = self._images[: sum(cause is None for _, cause in self._files)]
            images = np.stack(images) if images else np.empty((0, 1, 1, 3), np.uint8)
            self.kept.drop_from(self._first)
            self.kept.save(self._first, {"images": images}, {"files": self._files})
            self._first += files
            self._files, self._images, self._bytes = [], [], 0

    def _remember(self, key, image, cause):
        if not self._files:
            self._first = self._asked
        if image is not None:
            self._images.append(image)
            self._bytes += image.nbytes
        self._files.append([key, cause])  # last: an interrupt between the two leaves an image too many
        if self._bytes >= SHARD or self.kept.due():
            self.save()

"""Image files read one after the other, remembered in shards, so that a stopped reading goes on."""

import os
from itertools import pairwise

import numpy as np

from noisy_student.data.images import try_image

SHARD = 64 * 2**20  # most bytes of pixels that wait in memory for the next shard


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

    def read(self, path, *, size, resize):
        """As `noisy_student.data.images.try_image`."""
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
        if self.kept.resumed_from:
            print(f"prepare: resumed_from_image={self.kept.resumed_from}", flush=True)
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
        """Save what is not in a shard yet; return how many files are in shards then."""
        files = len(self._files)
        if files:
            images = self._images[: sum(cause is None for _, cause in self._files)]
            images = np.stack(images) if images else np.empty((0, 1, 1, 3), np.uint8)
            for number in self.kept.numbers():
                if number >= self._first:
                    self.kept.drop(number)
            self.kept.save(self._first, {"images": images}, {"files": self._files})
            self._first += files
            self._files, self._images, self._bytes = [], [], 0
        return self._first

    def _remember(self, key, image, cause):
        if not self._files:
            self._first = self._asked
        if image is not None:
            self._images.append(image)
            self._bytes += image.nbytes
        self._files.append([key, cause])  # last: an interrupt between the two leaves an image too many
        if self._bytes >= SHARD or self.kept.due():
            self.save()

"""What the library takes for images, wherever they lie: pixels are read, decoded or resized when asked for."""

from functools import cached_property
from typing import Protocol

import numpy as np

from noisy_student.data.images import encode, pixel_key, resize_image
from noisy_student.runtime.types import Pixels, Rows

Index = int | slice | np.ndarray  # an image, or some; as NumPy's, of the first axis only


class Images(Protocol):
    """(N, S, S, 3) uint8 RGB; arrays are such, memory-mapped or not, and so are `data.shards.EncodedImages`."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, S, S, 3)."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: Index) -> np.ndarray:
        """(S, S, 3) of one row, else (n, S, S, 3)."""


class SourceImages(Images, Protocol):
    """Images that can be cut into splits and written."""

    @property
    def keys(self) -> np.ndarray:
        """(N,) bytes, equal for equal pixels."""

    def encoded(self, row: int, encoding: str) -> bytes:
        """An image as PNG or JPEG."""


class _View:
    shape: tuple[int, ...]

    def __len__(self) -> int:
        return self.shape[0]


class RawImages(_View):
    """An array of pixels as `SourceImages`."""

    def __init__(self, pixels: Pixels) -> None:
        self.pixels, self.shape = pixels, pixels.shape

    def __getitem__(self, rows: Index) -> np.ndarray:
        return self.pixels[rows]

    @cached_property
    def keys(self) -> np.ndarray:
        return np.array([pixel_key(image) for image in self.pixels], "S32")

    def encoded(self, row: int, encoding: str) -> bytes:
        return encode(np.ascontiguousarray(self.pixels[row]), encoding)


class Subset(_View):
    """Some rows of stored images, as `SourceImages`."""

    def __init__(self, images: SourceImages, rows: Rows) -> None:
        self.images, self.rows, self.shape = images, rows, (len(rows), *images.shape[1:])

    def __getitem__(self, rows: Index) -> np.ndarray:
        return self.images[self.rows[rows]]

    @property
    def keys(self) -> np.ndarray:
        return self.images.keys[self.rows]

    def encoded(self, row: int, encoding: str) -> bytes:
        return self.images.encoded(self.rows[row], encoding)


class Some(_View):
    """Some rows of images, by their own numbers from 0."""

    def __init__(self, images: Images, rows: Rows) -> None:
        self.images, self.rows, self.shape = images, rows, (len(rows), *images.shape[1:])

    def __getitem__(self, rows: Index) -> np.ndarray:
        return self.images[self.rows[rows]]


class Stretch(_View):
    """The images from one row to before another one, by their own numbers from 0."""

    def __init__(self, images: Images, first: int, end: int) -> None:
        self.images, self.first, self.shape = images, first, (end - first, *images.shape[1:])

    def __getitem__(self, rows: Index) -> np.ndarray:
        if isinstance(rows, slice):
            start, stop, step = rows.indices(len(self))
            return self.images[self.first + start : self.first + stop : step]
        return self.images[rows + self.first]


class Resized(_View):
    """Stored images at another size, a side in pixels; what is asked for is a new array."""

    def __init__(self, images: Images, size: int) -> None:
        self.images, self.shape = images, (len(images), size, size, 3)

    def __getitem__(self, rows: Index) -> np.ndarray:
        return resized(np.asarray(self.images[rows]), self.shape[1])


def resized(stored: Pixels, size: int) -> Pixels:
    """Images (..., S, S, 3) as `at_size` has them: a new array."""
    new = np.empty((*stored.shape[:-3], size, size, 3), np.uint8)
    for place in np.ndindex(new.shape[:-3]):
        new[place] = resize_image(stored[place], size=size)
    return new


def at_size(images: Images, size: int | None) -> Images:
    """The images with this side in pixels, by Pillow's bicubic filter; None leaves them as they are."""
    return images if size is None or images.shape[1] == size else Resized(images, size)

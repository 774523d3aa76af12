"""Images that lie elsewhere, seen as other rows or at another size; pixels are made when asked for."""

import numpy as np

from noisy_student.data.images import resize_image


class Rows:
    """Some rows of stored images.

    Args:
        images: (M, S, S, 3) uint8 that can be indexed by slices and arrays of rows.
        rows: (N,) int64.

    Attributes:
        shape: (N, S, S, 3).
    """

    def __init__(self, images, rows):
        self.images, self.rows, self.shape = images, rows, (len(rows), *images.shape[1:])

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, rows):
        """(S, S, 3) uint8 of one row, else (n, S, S, 3)."""
        return self.images[self.rows[rows]]


class Resized:
    """Stored images at another size.

    Args:
        images: (N, S, S, 3) uint8 that can be indexed by slices and arrays of rows.
        size: side in pixels.

    Attributes:
        shape: (N, size, size, 3).
    """

    def __init__(self, images, size):
        self.images, self.shape = images, (len(images), size, size, 3)

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, rows):
        """A new array: (size, size, 3) uint8 of one row, else (n, size, size, 3)."""
        found = np.asarray(self.images[rows])
        if found.ndim == 3:
            return resize_image(found, size=self.shape[1])
        resized = np.empty((len(found), *self.shape[1:]), np.uint8)
        for row, image in enumerate(found):
            resized[row] = resize_image(image, size=self.shape[1])
        return resized


def at_size(images, size):
    """The images with this side, by Pillow's bicubic filter.

    Args:
        images: (N, S, S, 3) uint8, may be memory-mapped.
        size: in pixels; None leaves them as they are.

    Returns:
        `images` itself if they have the size, else `Resized`.
    """
    return images if size is None or images.shape[1] == size else Resized(images, size)


def join(parts):
    """Several sets of images as one.

    Args:
        parts: arrays (N, S, S, 3), or `Rows` of the same images.

    Returns:
        an array, or `Rows`.
    """
    if isinstance(parts[0], Rows):
        return Rows(parts[0].images, np.concatenate([part.rows for part in parts]))
    return np.concatenate(parts)

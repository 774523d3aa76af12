"""Images at another size than they are stored in, resized when they are asked for."""

import numpy as np

from noisy_student.data.images import resize_image


class Resized:
    """Stored images at another size; only those that are asked for are in memory.

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

"""Input noise inside the training graph: the host draws, the accelerator carries the draw out.

A resized crop is a sum of neighbours, first along rows, then along columns, with weights from the host. Of the rest
every image has its own operations, so no step may branch. It runs three stages over the whole batch, each
with parameters that leave an image alone unless its operation needs that stage:

1. geometry: one gather by an affine matrix in 16.16 fixed point, which is Pillow's own arithmetic for nearest
   neighbour; with the article's table, whose shears are bicubic, four taps along the sheared axis besides;
2. tables: one look-up of 256 entries a channel (posterize, solarize, autocontrast, equalize);
3. enhancement: one blend with a degenerate image (brightness, contrast, color, sharpness).

Between the steps a pixel is one int32, red lowest, so that a gather fetches it whole. Everything is int32 or
float32: JAX has no float64 by default. What needs float64 is prepared on the host, once for each strength.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import keras
import numpy as np
from keras import ops

from noisy_student.noise import operations as kinds
from noisy_student.noise.device_arrays import BICUBIC, HALF, frames, parameters, rounding_losses
from noisy_student.noise.pipeline import CROP_FILL
from noisy_student.noise.resized_crop import BITS, box_taps
from noisy_student.runtime.types import Tensor

if TYPE_CHECKING:
    from noisy_student.noise.pipeline import InputDraw, InputNoise

HALF_WEIGHT = 1 << (BITS - 1)  # so that sums are rounded, not cut off


class InGraphNoise:
    """Carry out the draws of an InputNoise with `keras.ops`, on the device that Keras runs on.

    On the host, ahead of the step: `arrays = in_graph.prepare(draw, height=32, width=32)`. Within the
    step: `images = in_graph(images, arrays)`. Make the object itself outside of what is compiled.

    The result equals Pillow's, pixel for pixel, but for the article's bicubic shears: float32 stands in
    for Pillow's float64, and both cut fractions off, so that a value which is whole but for the rounding
    may come out one grey level apart. That was 1.5 of 10,000 values, over 20,000 sheared images.

    Meant to be compiled by XLA, on TensorFlow too, which has many integer operations on the CPU only.
    """

    def __init__(self, noise: InputNoise) -> None:
        self.padding, self.size = noise.crop, noise.size
        self.table = noise.randaugment.table if noise.randaugment else ()
        self.fill = noise.randaugment.fill if noise.randaugment else 0
        self.bicubic = any(operation.kind in BICUBIC for operation in self.table)
        self._losses = ops.convert_to_tensor(rounding_losses())

    def prepare(self, draw: InputDraw, *, height: int, width: int) -> dict[str, np.ndarray]:
        """Turn a draw into what the device needs, for images with sides of 3 to 2048 pixels; done on the host.

        Returns:
            Arrays, float32 where marked so, otherwise int32. For resized crops, if drawn: "column", "row" (N, size) and
            "column_weight", "row_weight" (N, size, T), `resized_crop.Taps`. For flip and crop, if drawn: "frame"
            (N, 6), affine matrices. For RandAugment, if drawn: "kind", "mask", "threshold" and, float32, "factor" (N,
            ops); "matrix" (N, ops, 6); and with the article's table "shift" and, float32, "rest" (N, ops, max(height,
            width)), how far each line is sheared.
        """
        arrays: dict[str, np.ndarray] = {}
        if draw.box is not None:
            sides, (height, width) = {"height": height, "width": width}, self.size or (height, width)
            columns, rows = box_taps(draw.box, **sides, new_height=height, new_width=width)
            arrays |= {"column": columns.first, "column_weight": columns.weight}
            arrays |= {"row": rows.first, "row_weight": rows.weight}
        if draw.flip is not None or draw.top is not None:
            arrays["frame"] = frames(draw, self.padding, width)
        if draw.op is not None and draw.value is not None:
            steps = np.stack([draw.op, draw.value], axis=-1).reshape(-1, 2)
            distinct, inverse = np.unique(steps, axis=0, return_inverse=True)
            found = [
                parameters(self.table[int(op)].kind, value, self.bicubic, height, width)
                for op, value in distinct.tolist()
            ]
            index = inverse.reshape(draw.op.shape)
            arrays |= {key: np.stack([row[key] for row in found])[index] for key in found[0]}
        return arrays

    def __call__(self, images: Tensor, arrays: dict[str, Tensor]) -> Tensor:
        """Carry out a draw as `prepare` returned it for images of this size; a resized crop brings them to another.

        Height and width must be known when the step is traced. The images are uint8 before and after: a quarter of
        float32's memory.
        """
        arrays = {key: ops.convert_to_tensor(array) for key, array in arrays.items()}
        height, width = images.shape[1:3]
        planes = ops.transpose(ops.reshape(images, (-1, height * width, 3)), (0, 2, 1))
        pixels = _pack(ops.cast(planes, "int32"))
        if "column" in arrays:
            sides = {name: (arrays.pop(name), arrays.pop(f"{name}_weight")) for name in ("column", "row")}
            pixels = _resize(pixels, sides, height, width)
            height, width = self.size or (height, width)
        frame = arrays.pop("frame", None)
        if frame is not None:
            pixels = _warp(pixels, frame, height, width, CROP_FILL)
        if arrays:
            for step in range(arrays["kind"].shape[1]):
                given = {key: array[:, step] for key, array in arrays.items()}
                pixels = self._step(pixels, given, height, width)
        planes = ops.cast(_unpack(pixels), "uint8")
        return ops.reshape(ops.transpose(planes, (0, 2, 1)), (-1, height, width, 3))

    def _step(self, pixels, given, height, width):
        """One operation on each image: (N, H * W) packed pixels in and out."""
        kind = given["kind"][:, None, None]
        pixels = _warp(pixels, given["matrix"], height, width, self.fill)
        if self.bicubic:
            pixels = _shear(pixels, kind, given["shift"], given["rest"], height, width, self.fill)
        planes = _unpack(pixels)
        tables = self._tables(planes, kind, given["mask"][:, None, None], given["threshold"][:, None, None])
        planes = ops.take_along_axis(tables, planes, axis=2)
        return _pack(_enhance(planes, kind, given["factor"][:, None, None], height, width))

    def _tables(self, planes, kind, mask, threshold):
        """The look-up of every image and channel: (N, 3, H * W) -> (N, 3, 256), both int32."""
        masked = ops.bitwise_and(ops.arange(256, dtype="int32"), mask)
        tables = ops.where(masked < threshold, masked, 255 - masked)  # (N, 1, 256)
        tables = ops.where(ops.equal(kind, kinds.AUTOCONTRAST), self._stretch(planes), tables)
        return ops.where(ops.equal(kind, kinds.EQUALIZE), _flatten(planes), tables)

    def _stretch(self, planes):
        """Tables of autocontrast: the darkest level of a channel to 0, the lightest to 255."""
        levels = ops.arange(256, dtype="int32")
        darkest = ops.min(planes, axis=2, keepdims=True)  # (N, 3, 1)
        lightest = ops.max(planes, axis=2, keepdims=True)
        exact = (levels - darkest) * 255 // ops.maximum(lightest - darkest, 1)
        words = ops.take(self._losses, darkest[..., 0] * 256 + lightest[..., 0], axis=0)  # (N, 3, 8)
        bits = ops.bitwise_and(ops.right_shift(words[..., None], ops.arange(32, dtype="int32")), 1)
        return ops.where(lightest > darkest, exact - ops.reshape(bits, (-1, 3, 256)), levels)


def _flatten(planes):
    """Tables of equalize: (N, 3, H * W) -> (N, 3, 256), both int32."""
    counts = _histograms(planes)
    darker = ops.cumsum(counts, axis=2) - counts
    # Pillow's step leaves the lightest level out; below 1 the image stays as it is. What the table has
    # above 255 Pillow cuts off there, and here the blend does.
    step = ops.max(ops.where(counts > 0, darker, 0), axis=2, keepdims=True) // 255
    table = (step // 2 + darker) // ops.maximum(step, 1)
    return ops.where(step > 0, table, ops.arange(256, dtype="int32"))


def _histograms(planes):
    """How often each level occurs: (N, 3, H * W) -> (N, 3, 256), both int32.

    Sums of whole numbers, which have the same bits in whatever order a device adds. PyTorch does not
    know that: in deterministic mode it refuses the sum on GPUs, but not `bincount`.
    """
    channels = 3 * ops.shape(planes)[0]
    places = 256 * ops.arange(channels, dtype="int32")[:, None] + ops.reshape(planes, (channels, -1))
    places = ops.reshape(places, (-1,))
    if keras.config.backend() == "torch":
        counts = ops.bincount(places, minlength=256 * channels)
    else:
        counts = ops.segment_sum(ops.ones_like(places), places, num_segments=256 * channels)
    return ops.reshape(counts, (-1, 3, 256))


def _enhance(planes, kind, factor, height, width):
    """Blend with a degenerate image, by Pillow's float32 formula: (N, 3, H * W) in and out."""
    weights = ops.reshape(ops.convert_to_tensor([19595, 38470, 7471], dtype="int32"), (3, 1))
    grey = ops.right_shift(ops.sum(planes * weights, axis=1, keepdims=True) + HALF, 16)
    size = height * width
    mean = (2 * ops.sum(grey, axis=2, keepdims=True) + size) // (2 * size)
    other = ops.where(ops.equal(kind, kinds.CONTRAST), mean, 0)
    other = ops.where(ops.equal(kind, kinds.COLOR), grey, other)
    smooth = _smooth(ops.reshape(planes, (-1, 3, height, width)))
    other = ops.where(ops.equal(kind, kinds.SHARPNESS), ops.reshape(smooth, (-1, 3, size)), other)
    # The clip never binds. It keeps compilers from fusing product and sum, which would leave out the
    # rounding between them and turn 99.0 into 98.99999, one level less.
    product = ops.clip(ops.cast(planes - other, "float32") * factor, -1e4, 1e4)
    return ops.cast(ops.clip(ops.cast(other, "float32") + product, 0.0, 255.0), "int32")


def _smooth(planes):
    """Pillow's SMOOTH, weights 1 and 5 in the centre; the outermost pixels stay: (N, 3, H, W)."""
    rows = planes[:, :, :-2] + planes[:, :, 1:-1] + planes[:, :, 2:]
    total = rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:] + 4 * planes[:, :, 1:-1, 1:-1]
    inner = (2 * total + 13) // 26  # to the nearest; a half cannot occur
    inner = ops.pad(inner, ((0, 0), (0, 0), (1, 1), (1, 1)))
    row, column = _places(*planes.shape[2:])
    edge = (row % (planes.shape[2] - 1) == 0) | (column % (planes.shape[3] - 1) == 0)
    return ops.where(edge, planes, inner)


def _pack(planes):
    """(N, 3, P) -> (N, P) int32, one number a pixel."""
    return planes[:, 0] + planes[:, 1] * 256 + planes[:, 2] * 65536


def _unpack(pixels):
    """(N, P) packed -> (N, 3, P) int32, 0 to 255."""
    shifts = ops.reshape(ops.convert_to_tensor([0, 8, 16], dtype="int32"), (3, 1))
    return ops.bitwise_and(ops.right_shift(pixels[:, None], shifts), 255)


def _places(height, width):
    """The row and column of every pixel: (H, 1) and (1, W) int32."""
    row, column = ops.arange(height, dtype="int32"), ops.arange(width, dtype="int32")
    return row[:, None], column[None]


def _warp(pixels, matrix, height, width, fill):
    """Fetch every pixel from where its matrix (N, 6) says, nearest neighbour; `fill` from outside."""
    row, column = _places(height, width)
    a, b, c, d, e, f = ops.split(matrix[..., None], 6, axis=1)  # (N, 1, 1) each
    x = ops.right_shift(a * column + b * row + c, 16)  # (N, H, W)
    y = ops.right_shift(d * column + e * row + f, 16)
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    place = ops.reshape(ops.where(inside, y * width + x, 0), (-1, height * width))
    inside = ops.reshape(inside, (-1, height * width))
    return ops.where(inside, ops.take_along_axis(pixels, place, axis=1), fill * 0x010101)


def _resize(pixels, sides, height, width):
    """Resize as the taps say, along rows first, as Pillow does: (N, H * W) packed -> (N, size * size) packed."""
    (column, column_weight), (row, row_weight) = sides["column"], sides["row"]
    new_height, new_width = row.shape[1], column.shape[1]
    starts = width * ops.arange(height, dtype="int32")[:, None]
    places = [starts + ops.minimum(column + tap, width - 1)[:, None] for tap in range(column_weight.shape[2])]
    pixels = _mix(pixels, places, column_weight[:, None])  # (N, H * new width)
    columns = ops.arange(new_width, dtype="int32")
    places = [new_width * ops.minimum(row + tap, height - 1)[..., None] + columns for tap in range(row_weight.shape[2])]
    return ops.reshape(_mix(pixels, places, row_weight[:, :, None]), (-1, new_height * new_width))


def _mix(pixels, places, weight):
    """Sums of the pixels at places (N, A, B), one array a tap, by weight (N, A or 1, B or 1, T): (N, A * B)."""
    total, shape = HALF_WEIGHT, places[0].shape[1:]
    for tap, place in enumerate(places):
        taken = ops.take_along_axis(pixels, ops.reshape(place, (-1, shape[0] * shape[1])), axis=1)
        planes = ops.reshape(_unpack(taken), (-1, 3, *shape))
        total = total + planes * weight[:, None, ..., tap]
    return _pack(ops.reshape(ops.right_shift(total, BITS), (-1, 3, shape[0] * shape[1])))


def _shear(pixels, kind, shift, rest, height, width, fill):
    """Bicubic shear by `shift` + `rest` (N, L) pixels a line; 0 leaves an image as it is."""
    row, column = _places(height, width)
    vertical = ops.equal(kind, kinds.SHEAR_Y_BICUBIC)  # (N, 1, 1)
    shift, rest = (ops.where(vertical, lines[:, None, :width], lines[:, :height, None]) for lines in (shift, rest))
    side = ops.where(vertical, height, width)
    centre = ops.where(vertical, row, column) + shift  # (N, H, W)
    floor = ops.floor(rest)
    taps = []
    for tap in range(-1, 3):
        place = ops.minimum(ops.maximum(centre + ops.cast(floor, "int32") + tap, 0), side - 1)
        place = ops.where(vertical, place * width + column, row * width + place)
        place = ops.reshape(place, (-1, height * width))
        taps.append(ops.cast(_unpack(ops.take_along_axis(pixels, place, axis=1)), "float32"))
    values = _cubic(taps, ops.reshape(rest - floor, (-1, 1, height * width)))
    inside = ops.reshape((centre >= 0) & (centre < side), (-1, height * width))
    return ops.where(inside, _pack(ops.cast(ops.clip(values, 0.0, 255.0), "int32")), fill * 0x010101)


def _cubic(taps, d):
    """Pillow's cubic through four equidistant values, at `d` in [0, 1) between the middle two."""
    first, second, third, fourth = taps
    linear = third - first
    square = 2 * (first - second) + third - fourth
    cube = second - first + fourth - third
    return second + d * (linear + d * (square + d * cube))

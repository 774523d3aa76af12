"""RandAugment (Cubuk et al. 2019, arXiv:1909.13719) on batches of images."""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from noisy_student.noise.operations import TABLES

# The article's table is a list of 10 strengths for each operation, from the weakest to the strongest.
UNIFORM_STRENGTHS = 10


@dataclass(frozen=True)
class Draw:
    """What happens to each image of a batch, in this order.

    Attributes:
        op: (N, ops) int64, rows of the table.
        value: (N, ops) float64, final strengths, sign included, in the operations' own units: degrees,
            share of the side, offset of the enhancement factor from 1, bits, threshold, tangent;
            0 for operations without a strength.
    """

    op: np.ndarray
    value: np.ndarray


class RandAugment:
    """Apply `ops` random operations, one after the other, to each image on its own.

    Drawing and applying are apart, so that the same draw can be carried out by another engine.

    Args:
        ops: operations an image (N of the paper), drawn uniformly with replacement.
        magnitude: strength (M of the paper), 0 to `levels`.
        levels: the magnitude at which every operation reaches its strongest value.
        table: "article" or "standard", see `noisy_student.noise.operations`.
        magnitude_sampling: "fixed" uses lo + (hi - lo) * magnitude / levels; "uniform" draws, for each
            operation anew, an index from 0 to magnitude - 1 into 10 strengths from lo to hi, as the
            article did (`levels` is then without effect).
        fill: grey level, 0 to 255, of what comes in at the borders.
    """

    def __init__(self, *, ops, magnitude, levels, table, magnitude_sampling, fill):
        self.ops = ops
        self.fill = fill
        self.table = TABLES[table]
        if magnitude_sampling == "fixed":
            strengths = [[o.lo + (o.hi - o.lo) * magnitude / levels] for o in self.table]
        else:
            strengths = [np.linspace(o.lo, o.hi, UNIFORM_STRENGTHS)[:magnitude] for o in self.table]
        whole = np.array([[o.whole] for o in self.table])
        self._strengths = np.where(whole, np.round(strengths), strengths)  # (table, strengths)
        self._signed = np.array([o.signed for o in self.table])

    def draw(self, n, rng):
        """Draw operations and strengths for `n` images.

        Args:
            n: number of images.
            rng: numpy.random.Generator; its state decides everything.

        Returns:
            Draw of shape (n, ops).
        """
        shape = (n, self.ops)
        op = rng.integers(len(self.table), size=shape)
        value = self._strengths[op, rng.integers(self._strengths.shape[1], size=shape)]
        negate = self._signed[op] & (rng.random(shape) < 0.5)
        return Draw(op=op, value=np.where(negate, -value, value) + 0.0)  # no -0.0

    def apply(self, images, draw):
        """Carry out a draw.

        Args:
            images: (N, H, W, 3) uint8; not changed.
            draw: Draw of N images.

        Returns:
            (N, H, W, 3) uint8, a new array.
        """
        out = np.empty(images.shape, np.uint8)
        for i in range(len(images)):
            image = Image.fromarray(images[i])
            for op, value in zip(draw.op[i], draw.value[i], strict=True):
                image = self.table[op].apply(image, float(value), self.fill)
            out[i] = np.asarray(image)
        return out

    def __call__(self, images, rng):
        """Draw and apply: (N, H, W, 3) uint8 -> (N, H, W, 3) uint8, a new array."""
        return self.apply(images, self.draw(len(images), rng))

    def captions(self, draw):
        """Say in words what a draw does.

        Returns:
            list of N lists of `ops` strings such as "rotate -10" or "equalize".
        """
        return [
            [_caption(self.table[op], value) for op, value in zip(ops, values, strict=True)]
            for ops, values in zip(draw.op, draw.value, strict=True)
        ]


def _caption(operation, value):
    if operation.lo == operation.hi:
        return operation.name
    return f"{operation.name} {value:{'+' if operation.signed else ''}.3g}"

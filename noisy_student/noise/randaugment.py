"""RandAugment (Cubuk et al. 2019, arXiv:1909.13719) on batches of images."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from noisy_student.noise.operations import TABLES
from noisy_student.runtime.seeds import uniforms
from noisy_student.runtime.types import Floats, Ints, Keys

if TYPE_CHECKING:
    from noisy_student.noise.pipeline import InputDraw

# The article's table is a list of 10 strengths for each operation, from the weakest to the strongest.
UNIFORM_STRENGTHS = 10


class RandAugment:
    """Apply `ops` operations, drawn uniformly with replacement, one after the other, to each image on its own.

    Magnitude sampling "fixed" uses lo + (hi - lo) * magnitude / levels; "uniform" draws, for each operation anew, an
    index from 0 to magnitude - 1 into 10 strengths from lo to hi, as the article did (`levels` is then without effect).
    The rest is that of `schema.RandAugmentParams`.
    """

    def __init__(
        self, *, ops: int, magnitude: int, levels: int, table: str, magnitude_sampling: str, fill: int
    ) -> None:
        self.ops, self.fill, self.table = ops, fill, TABLES[table]
        if magnitude_sampling == "fixed":
            strengths = np.array([[o.lo + (o.hi - o.lo) * magnitude / levels] for o in self.table])
        else:
            strengths = np.stack([np.linspace(o.lo, o.hi, UNIFORM_STRENGTHS)[:magnitude] for o in self.table])
        whole = np.array([[o.whole] for o in self.table])
        self._strengths = np.where(whole, np.round(strengths), strengths)  # (table, strengths)
        self._signed = np.array([o.signed for o in self.table])

    def draw(self, keys: Keys) -> tuple[Ints, Floats]:
        """Draw operations and strengths: the attributes `op` and `value` of pipeline.InputDraw."""
        which, how_much, sign = np.split(uniforms(keys, "randaugment", 3 * self.ops), 3, axis=1)
        op = (which * len(self.table)).astype(np.int64)  # truncated, so floored
        value = self._strengths[op, (how_much * self._strengths.shape[1]).astype(np.int64)]
        negate = self._signed[op] & (sign < 0.5)
        return op, np.where(negate, -value, value) + 0.0  # no -0.0

    def captions(self, draw: InputDraw) -> list[list[str]]:
        """Say in words such as "rotate -10" or "equalize" what a draw does to each image."""
        return [
            [_caption(self.table[op], value) for op, value in zip(ops, strengths, strict=True)]
            for ops, strengths in zip(draw.op, draw.value, strict=True)  # type: ignore[arg-type]  # this noise drew them
        ]


def _caption(operation, value):
    if operation.lo == operation.hi:
        return operation.name
    return f"{operation.name} {value:{'+' if operation.signed else ''}.3g}"

"""A teacher's distributions over a pool, in one file for each of its shards, read like one array.

A folder holds `shard-00000.npy`, ...: float32 (n, K), or with `pseudolabel.keep` (n,) of `top_k_dtype`: the highest
probability as it is, in float32, so that selection is exact, and the k most probable classes with theirs in float16.
What is missing to 1 is shared equally among the other classes when a row is read: memory and disk hold k, not K.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from noisy_student.runtime.files import array_writer, link_or_copy, read_array
from noisy_student.runtime.types import Floats, Labels, Probs, Rows

if TYPE_CHECKING:
    from noisy_student.data.views import Index


ROWS = "rows.npy"  # (M,) int64, ascending: the rows of the pool that are labelled; not there: all


def shard_name(number: int) -> str:
    """What the file of a shard is called, without its suffix."""
    return f"shard-{number:05d}"


def shard_files(folder: Path) -> list[Path]:
    """The files of the shards that lie in a folder, in their order."""
    return sorted(folder.glob("shard-*.npy"))


def remove_labels(folder: Path) -> None:
    """Remove the labels of a folder, and the rows that they are of."""
    for path in [*shard_files(folder), folder / ROWS]:
        path.unlink(missing_ok=True)


def replace_shards(folder: Path, made: Sequence[Path]) -> None:
    """Put files of shards into a folder, in the place of those there; they stay where they are, too."""
    folder.mkdir(parents=True, exist_ok=True)
    remove_labels(folder)
    for number, path in enumerate(made):
        link_or_copy(path, folder / f"{shard_name(number)}.npy")


def top_k_dtype(k: int, classes: int) -> np.dtype:
    """A row of labels of which k classes are kept."""
    number = np.uint16 if classes <= 2**16 else np.uint32
    return np.dtype([("confidence", np.float32), ("classes", number, (k,)), ("probs", np.float16, (k,))])


def top_k(probs: Probs, k: int) -> np.ndarray:
    """(n,) of `top_k_dtype` for (n, K) distributions; most probable first, of equally probable classes the first."""
    kept = np.empty(len(probs), top_k_dtype(k, probs.shape[1]))
    order = np.argsort(-probs, axis=1, kind="stable")[:, :k]
    kept["classes"], kept["probs"] = order, np.take_along_axis(probs, order, axis=1)
    kept["confidence"] = probs.max(axis=1, initial=0)
    return kept


def dense(kept: np.ndarray, classes: int) -> Probs:
    """(n, K) distributions of rows of `top_k_dtype`.

    The argmax and its probability are those that were labelled, to the bit: float16 must not let another class pass it.
    """
    highest = kept["confidence"].astype(np.float32)
    others = np.minimum(kept["probs"][:, 1:].astype(np.float32), np.nextafter(highest, np.float32(0))[:, None])
    room, taken = np.maximum(1 - highest, 0), others.sum(axis=1)
    others *= np.minimum(1, np.divide(room, taken, out=np.ones_like(room), where=taken > 0))[:, None]
    k = kept["probs"].shape[1]
    rest = np.maximum(room - others.sum(axis=1), 0) / max(1, classes - k)
    probs = np.repeat(np.minimum(rest, np.nextafter(highest, np.float32(0)))[:, None], classes, axis=1)
    places = kept["classes"].astype(np.int64)
    np.put_along_axis(probs, places[:, 1:], others, axis=1)
    np.put_along_axis(probs, places[:, :1], highest[:, None], axis=1)
    return probs


@contextlib.contextmanager
def labels_writer(path: Path, *, images: int, classes: int, keep: int | str) -> Iterator[Any]:
    """A new file of distributions to write into, (images, K) rows of float32; there as a whole in the end, or not.

    Args:
        keep: `pseudolabel.keep`.
    """
    if keep == "all":
        with array_writer(path, shape=(images, classes), dtype=np.float32) as array:
            yield array
    else:
        with array_writer(path, shape=(images,), dtype=top_k_dtype(int(keep), classes)) as array:
            yield TopKWriter(array, int(keep))


class TopKWriter:
    """An array of `top_k_dtype` that takes distributions; what it gives, rows as they lie there, it takes too."""

    def __init__(self, array: np.ndarray, k: int) -> None:
        self.array, self.k = array, k

    def __len__(self) -> int:
        return len(self.array)

    def __getitem__(self, rows: slice) -> np.ndarray:
        return self.array[rows]

    def __setitem__(self, rows: slice, probs: np.ndarray) -> None:
        self.array[rows] = top_k(probs, self.k) if probs.dtype.names is None else probs


class ShardedProbs:
    """(N, K) distributions in several arrays, each memory-mapped; rows are read when they are asked for.

    Args:
        parts: of float32 (n, K), or of `top_k_dtype`.
        classes: K.
        files: of the parts, where they are kept.
    """

    dtype, ndim = np.dtype(np.float32), 2
    itemsize = dtype.itemsize

    def __init__(self, parts: Sequence[np.ndarray], classes: int, *, files: Sequence[Path] = ()) -> None:
        self.parts, self.files, self.starts = parts, files, np.cumsum([0, *map(len, parts)])
        self.shape = int(self.starts[-1]), classes
        self.size = self.shape[0] * classes

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Index) -> np.ndarray:
        """(K,) of one row, else (n, K)."""
        if isinstance(rows, int | np.integer):
            return self._read(np.array([rows]))[0]
        if isinstance(rows, slice):
            rows = np.arange(*rows.indices(len(self)))
        return self._read(np.asarray(rows))

    def pieces(self, size: int) -> Iterator[tuple[int, Labels, Floats]]:
        """Yield (first row, most probable class, its probability) of at most `size` bytes of stored labels at once."""
        for start, part in zip(self.starts[:-1], self.parts, strict=True):
            step = max(1, size // max(1, part[:1].nbytes))
            for first in range(0, len(part), step):
                piece = part[first : first + step]
                if piece.dtype.names is None:
                    yield int(start) + first, piece.argmax(axis=1), piece.max(axis=1)
                else:
                    yield int(start) + first, piece["classes"][:, 0].astype(np.int64), np.array(piece["confidence"])

    def _read(self, rows: Rows) -> Probs:
        out = np.empty((len(rows), self.shape[1]), np.float32)
        if len(rows) and not -len(self) <= rows.min() <= rows.max() < len(self):
            raise IndexError(f"rows {rows.min()} to {rows.max()} of {len(self)} distributions")
        rows = np.where(rows < 0, rows + len(self), rows)
        places = np.searchsorted(self.starts, rows, side="right") - 1  # the part of each row
        for number in np.unique(places):
            here = np.flatnonzero(places == number)
            found = self.parts[number][rows[here] - self.starts[number]]
            out[here] = found if found.dtype.names is None else dense(found, self.shape[1])
        return out


class AtRows:
    """(N, K) distributions of a pool of which only some images have any: what is asked for by the pool's rows.

    Args:
        probs: (M, K).
        rows: (M,) ascending, the row of the pool of each.
    """

    def __init__(self, probs: ShardedProbs, rows: Rows) -> None:
        self.probs, self.rows, self.shape = probs, rows, probs.shape

    def __getitem__(self, rows: Rows) -> Probs:
        """(n, K); IndexError if an image has none."""
        places = np.searchsorted(self.rows, rows)
        if len(rows) and not np.array_equal(self.rows[np.minimum(places, len(self.rows) - 1)], rows):
            raise IndexError("rows of a pool that were not labelled")
        return self.probs[places]


def open_parts(folder: Path) -> dict[Path, np.ndarray]:
    """The shards' arrays by their files, memory-mapped; their names must follow one another.

    Raises:
        DataError: there is none, one is missing, or one cannot be read.
    """
    files = shard_files(folder)
    names = [f"{shard_name(number)}.npy" for number in range(max(1, len(files)))]
    if [path.name for path in files] != names:
        lacking = next(name for name in names if not os.path.exists(folder / name))
        return {folder / lacking: read_array(folder / lacking)}  # which says what is to be done
    return {path: read_array(path) for path in files}

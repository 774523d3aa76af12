"""Images in shards: .tar files of encoded images that any program opens, and an index for random access.

A folder holds `shard-00000.tar`, ..., whose members are `000000000.png` (or .jpg), numbered by row; `index.npy`, (N, 4)
int64: shard, offset and length of the encoded image in it, and CRC-32 of its bytes; and `shards.json`: size of the
images, encoding, and of every shard its number of images, bytes and CRC-32. Only the index is mapped into memory.
Encoded images are read when they are asked for, and decoded by several threads: the decoders let go of Python's lock,
and pixels need not travel between processes (benchmarks/stores.py).
"""

from __future__ import annotations

import errno
import os
import tarfile
import threading
import weakref
import zlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO, Literal

import numpy as np
from pydantic import BaseModel, Field, ValidationError

from noisy_student.data.images import SUFFIXES, decode, encode
from noisy_student.runtime import environment
from noisy_student.runtime.errors import DataError
from noisy_student.runtime.files import read_array, read_json, write_array, write_json
from noisy_student.runtime.types import Ints, Pixels, Rows

if TYPE_CHECKING:
    from noisy_student.data.views import Index, SourceImages

SHARD = 64 * 2**20  # bytes after which the next shard begins
OPEN_FILES = 32  # shards of a folder that stay open; further ones are opened for each image
Encoding = Literal["png", "jpeg"]
INDEX, FACTS = "index.npy", "shards.json"
_MEND = "Restore it with `dvc checkout --force`, or make it again with `dvc repro`."


class _Shard(BaseModel):
    name: Annotated[str, Field(pattern=r"^shard-\d{5,}\.tar$")]
    images: Annotated[int, Field(ge=1)]
    bytes: int
    crc32: int


class _Facts(BaseModel):
    """The content of shards.json."""

    image_size: Annotated[int, Field(ge=1)]
    encoding: Encoding
    shards: Annotated[list[_Shard], Field(min_length=1)]
    index_crc32: int


class TarWriter:
    """Writes encoded images into one .tar file whose bytes depend on them only.

    What `add` has written can be read at once.

    Args:
        first: row of the first image; members are named by rows.
    """

    def __init__(self, path: Path, *, encoding: str, first: int) -> None:
        self._suffix, self._row = SUFFIXES[encoding], first
        self.path, self.size, self._crc32 = path, 0, 0  # size: bytes written
        self._file = open(path, "wb", buffering=0)  # noqa: SIM115, closed below

    def add(self, data: bytes) -> tuple[int, int, int]:
        """Append an image; return (offset, length, CRC-32) of its bytes."""
        member = tarfile.TarInfo(f"{self._row:09d}{self._suffix}")
        member.size = len(data)
        header = member.tobuf(tarfile.USTAR_FORMAT)
        offset = self.size + len(header)
        self._write(header + data + bytes(-len(data) % tarfile.BLOCKSIZE))
        self._row += 1
        return offset, len(data), zlib.crc32(data)

    def close(self) -> int:
        """End the file, which is on the disk then; return its CRC-32."""
        least = self.size + 2 * tarfile.BLOCKSIZE
        self._write(bytes(2 * tarfile.BLOCKSIZE + -least % tarfile.RECORDSIZE))
        os.fsync(self._file.fileno())
        self._file.close()
        return self._crc32

    def drop(self) -> None:
        """Remove the file, which is not whole."""
        self._file.close()
        self.path.unlink()

    def _write(self, data: bytes) -> None:
        if self._file.write(data) != len(data):  # what an unbuffered file does where room ends
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._crc32, self.size = zlib.crc32(data, self._crc32), self.size + len(data)


def _close(files):
    for file in files.values():
        file.close()


def checksum(path: Path) -> int:
    """CRC-32 of a whole file."""
    total = 0
    with path.open("rb") as file:
        while piece := file.read(2**20):
            total = zlib.crc32(piece, total)
    return total


class EncodedImages:
    """Encoded images that are read like an array of pixels, see `views.Images`.

    Args:
        paths: the shards' paths; it may grow.
        index: (N, 4) int64, see the module; may be memory-mapped.
        size: side of the images in pixels.
    """

    def __init__(self, paths: list[Path], index: Ints, size: int, *, encoding: str) -> None:
        self.paths, self.index, self.size, self.encoding = paths, index, size, encoding
        self._open: dict[int, BinaryIO] = {}
        weakref.finalize(self, _close, self._open)
        self._lock = threading.Lock()
        self._pool: ThreadPoolExecutor | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, size, size, 3)."""
        return len(self), self.size, self.size, 3

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, rows: Index) -> Pixels:
        """Decode; a damaged image raises DataError, which names its shard."""
        if isinstance(rows, int | np.integer):
            return self._decoded(self.index[rows])
        index = np.asarray(self.index[rows])
        out = np.empty((len(index), *self.shape[1:]), np.uint8)

        def decode_into(places: Iterable[int]) -> None:
            for place in places:
                out[place] = self._decoded(index[place])

        if self._pool is None:
            self._pool = ThreadPoolExecutor(environment.threads(), thread_name_prefix="decode")
        for _ in self._pool.map(decode_into, np.array_split(np.arange(len(index)), 4 * environment.threads())):
            pass  # what was raised in a thread is raised here
        return out

    def encoded(self, row: int, encoding: str) -> bytes:
        """The bytes of an image, as they lie there if the encoding is the same; checked likewise."""
        return self._read(self.index[row]) if encoding == self.encoding else encode(self[row], encoding)

    def _decoded(self, entry):
        image = decode(self._read(entry))
        if image is None or image.shape != self.shape[1:]:
            raise DataError(f"{self.paths[entry[0]]}: no image of {self.size} pixels at byte {entry[1]}. {_MEND}")
        return image

    def _read(self, entry):
        shard, offset, length, expected = entry.tolist()
        path = self.paths[shard]
        try:
            data = self._pread(shard, offset, length)
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror}). {_MEND}") from error
        if zlib.crc32(data) != expected:
            raise DataError(f"{path}: damaged, the checksum of the image at byte {offset:,} is wrong. {_MEND}")
        return data

    def _pread(self, shard, offset, length):
        with self._lock:
            if shard not in self._open and len(self._open) < OPEN_FILES:
                self._open[shard] = open(self.paths[shard], "rb", buffering=0)  # noqa: SIM115, stays open
            file = self._open.get(shard)
        if file is not None:
            return os.pread(file.fileno(), length, offset)
        with open(self.paths[shard], "rb", buffering=0) as file:
            return os.pread(file.fileno(), length, offset)


def write_shards(
    folder: Path, images: SourceImages, rows: Rows, *, encoding: Encoding, shard_bytes: int = SHARD
) -> None:
    """Write some rows of images, in their order, as shards, which replace those that lie there.

    Images that are encoded already are copied as they are.

    Args:
        shard_bytes: size at which the next shard begins.

    Raises:
        DataError: an encoded image is damaged.
    """
    folder.mkdir(parents=True, exist_ok=True)
    remove_images(folder)
    index, writer = np.empty((len(rows), 4), np.int64), None
    shards: list[_Shard] = []
    for number, row in enumerate(rows):
        if writer is None:
            path = folder / f"shard-{len(shards):05d}.tar"
            writer, first = TarWriter(path, encoding=encoding, first=number), number
        index[number] = (len(shards), *writer.add(images.encoded(row, encoding)))
        if writer.size >= shard_bytes or number + 1 == len(rows):
            crc32 = writer.close()
            shards.append(_Shard(name=path.name, images=number + 1 - first, bytes=writer.size, crc32=crc32))
            writer = None
    write_array(folder / INDEX, index)
    crc32 = checksum(folder / INDEX)
    facts = _Facts(image_size=images.shape[1], encoding=encoding, shards=shards, index_crc32=crc32)
    write_json(folder / FACTS, facts.model_dump())


def remove_images(folder: Path) -> None:
    """Remove the images of a folder, shards or array, facts first: a rest is never taken for the whole."""
    for path in (folder / FACTS, folder / INDEX, folder / "images.npy", *sorted(folder.glob("shard-*.tar"))):
        path.unlink(missing_ok=True)


def open_shards(folder: Path) -> EncodedImages:
    """Open the shards of a folder.

    Raises:
        DataError: the index does not fit the shards, or a shard is missing or cut off. One that was altered
            is named later, by the checksum of every image that is read.
    """
    try:
        facts = _Facts.model_validate(read_json(folder / FACTS))
    except ValidationError as error:
        faults = f"{error.error_count()} faults"
        raise DataError(f"{folder / FACTS}: not what `prepare` writes ({faults}). {_MEND}") from error
    index, path = read_array(folder / INDEX), folder / INDEX
    total = sum(shard.images for shard in facts.shards)
    if index.dtype != np.int64 or index.shape != (total, 4) or checksum(path) != facts.index_crc32:
        expected = f"expected int64 ({total}, 4) that belongs to {FACTS}"
        raise DataError(f"{path}: {expected}, found {index.dtype} {index.shape}, or it is damaged. {_MEND}")
    paths = [folder / shard.name for shard in facts.shards]
    for path, shard in zip(paths, facts.shards, strict=True):
        if not path.is_file():
            raise DataError(f"{path}: there is no such shard. {_MEND}")
        size = path.stat().st_size
        if size != shard.bytes:
            raise DataError(f"{path}: a shard of {size:,} bytes, expected {shard.bytes:,}. {_MEND}")
    return EncodedImages(paths, index, facts.image_size, encoding=facts.encoding)


def is_sharded(folder: Path) -> bool:
    """Whether the images of a folder lie in shards."""
    return (folder / FACTS).exists()

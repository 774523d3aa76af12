"""Images in shards: .tar files of encoded images that any program opens, and an index for random access.

A folder holds `shard-00000.tar`, ..., whose members are `000000000.png` (or .jpg), numbered by row; `index.npy`, (N, 4)
int64: shard, offset and length of the encoded image in it, and CRC-32 of its bytes; and `shards.json`: size of the
images, encoding, and of every shard its number of images, bytes and CRC-32. Only the index is mapped into memory.
Encoded images are read when they are asked for, and decoded by several threads: the decoders let go of Python's lock,
and pixels need not travel between processes (benchmarks/stores.py).
"""

import errno
import io
import os
import tarfile
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, Field, ValidationError

from noisy_student.runtime import environment
from noisy_student.runtime.errors import DataError
from noisy_student.runtime.files import read_array, read_json, remove, write_array, write_json

SHARD = 64 * 2**20  # bytes after which the next shard begins
OPEN_FILES = 32  # shards of a folder that stay open; further ones are opened for each image
INDEX, FACTS = "index.npy", "shards.json"
SUFFIXES = {"png": ".png", "jpeg": ".jpg", "bmp": ".bmp"}
_HEADER = 512  # bytes of a tar member before its content
_MEND = "Restore it with `dvc checkout --force`, or make it again with `dvc repro`."


def encode(image, encoding):
    """Encode an image (S, S, 3) uint8 RGB: "png" and "bmp" lose nothing, "jpeg" has quality 95, all its colours."""
    import cv2  # here, because most stages start without it

    all_colours = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    options = {"png": [cv2.IMWRITE_PNG_COMPRESSION, 1], "jpeg": [cv2.IMWRITE_JPEG_QUALITY, 95, *all_colours], "bmp": []}
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    return cv2.imencode(SUFFIXES[encoding], bgr, options[encoding])[1].tobytes()


def decode(data):
    """The image (S, S, 3) uint8 RGB of what `encode` gave; None if it is none."""
    import cv2

    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    return None if image is None else cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


class _Shard(BaseModel):
    name: Annotated[str, Field(pattern=r"^shard-\d{5,}\.tar$")]
    images: Annotated[int, Field(ge=1)]
    bytes: int
    crc32: int


class Facts(BaseModel):
    """The content of shards.json."""

    image_size: Annotated[int, Field(ge=1)]
    encoding: Literal["png", "jpeg"]
    shards: Annotated[list[_Shard], Field(min_length=1)]
    index_crc32: int


class _Checksummed:
    """A file for `tarfile` that keeps the CRC-32 of what is written to it."""

    def __init__(self, path):
        self.crc32, self._size = 0, 0
        self._file = open(path, "wb", buffering=0)  # noqa: SIM115, closed below

    def tell(self):
        return self._size

    def write(self, data):
        if self._file.write(data) != len(data):  # what an unbuffered file does where room ends
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.crc32, self._size = zlib.crc32(data, self.crc32), self._size + len(data)
        return len(data)

    def close(self):
        os.fsync(self._file.fileno())
        self._file.close()


class TarWriter:
    """Writes encoded images into one .tar file whose bytes depend on them only.

    What `add` has written can be read at once.
    """

    def __init__(self, path, *, encoding, first):
        self._suffix, self._row = SUFFIXES[encoding], first
        self._file = _Checksummed(path)
        self._tar = tarfile.open(fileobj=self._file, mode="w", format=tarfile.USTAR_FORMAT)  # noqa: SIM115

    @property
    def size(self):
        """Bytes written."""
        return self._tar.offset

    def add(self, data):
        """Append an image; return (offset, length, CRC-32) of its bytes."""
        member = tarfile.TarInfo(f"{self._row:09d}{self._suffix}")
        member.size = len(data)
        offset = self._tar.offset + _HEADER
        self._tar.addfile(member, io.BytesIO(data))
        self._row += 1
        return offset, len(data), zlib.crc32(data)

    def close(self):
        """End the file, which is on the disk then; return its CRC-32."""
        self._tar.close()
        self._file.close()
        return self._file.crc32


def checksum(path):
    """CRC-32 of a whole file."""
    total = 0
    with open(path, "rb") as file:
        while piece := file.read(2**20):
            total = zlib.crc32(piece, total)
    return total


class EncodedImages:
    """Encoded images that are read like an array of pixels.

    Args:
        paths: list of the shards' paths; it may grow.
        index: (N, 4) int64, see the module; may be memory-mapped.
        size: side of the images in pixels.

    Attributes:
        shape: (N, size, size, 3).
        encoding: of the images, "png" or "jpeg".
    """

    def __init__(self, paths, index, size, *, encoding):
        self.paths, self.index, self.size, self.encoding = paths, index, size, encoding
        self._open, self._lock = {}, threading.Lock()
        self._pool = None

    @property
    def shape(self):
        """See the class."""
        return len(self), self.size, self.size, 3

    def __len__(self):
        return len(self.index)

    def __getitem__(self, rows):
        """Decode: (S, S, 3) uint8 of one row, else (n, S, S, 3).

        Raises:
            DataError: an image is damaged; its shard is named.
        """
        if isinstance(rows, int | np.integer):
            return self._decoded(self.index[rows])
        index = np.asarray(self.index[rows])
        out = np.empty((len(index), *self.shape[1:]), np.uint8)

        def work(places):
            for place in places:
                out[place] = self._decoded(index[place])

        for _ in self._threads().map(work, np.array_split(np.arange(len(index)), 4 * environment.threads())):
            pass  # what was raised in a thread is raised here
        return out

    def encoded(self, row, encoding):
        """The bytes of an image, as they lie there if the encoding is the same.

        Raises:
            DataError: they are damaged.
        """
        return self._read(self.index[row]) if encoding == self.encoding else encode(self[row], encoding)

    def _decoded(self, entry):
        image = decode(self._read(entry))
        if image is None or image.shape != self.shape[1:]:
            raise DataError(f"{self.paths[entry[0]]}: no image of {self.shape[1]} pixels at byte {entry[1]}. {_MEND}")
        return image

    def _read(self, entry):
        shard, offset, length, expected = entry.tolist()
        try:
            data = self._pread(shard, offset, length)
        except OSError as error:
            raise DataError(f"{self.paths[shard]}: cannot be read ({error.strerror}). {_MEND}") from error
        if zlib.crc32(data) != expected:
            raise DataError(
                f"{self.paths[shard]}: damaged, the checksum of the image at byte {offset:,} is wrong. {_MEND}"
            )
        return data

    def _pread(self, shard, offset, length):
        with self._lock:
            if shard not in self._open and len(self._open) < OPEN_FILES:
                self._open[shard] = open(self.paths[shard], "rb", buffering=0)  # noqa: SIM115, kept open
            kept = self._open.get(shard)
        if kept is not None:
            return os.pread(kept.fileno(), length, offset)
        with open(self.paths[shard], "rb", buffering=0) as file:
            return os.pread(file.fileno(), length, offset)

    def _threads(self):
        if self._pool is None:
            self._pool = ThreadPoolExecutor(environment.threads(), thread_name_prefix="decode")
        return self._pool


def write_shards(folder, images, rows, *, encoding, shard_bytes=SHARD):
    """Write some rows of images as shards; images that are encoded already are copied as they are.

    Args:
        folder: pathlib.Path; shards that lie there are replaced.
        images: (M, S, S, 3) uint8, `EncodedImages` or `views.SourceImages`.
        rows: (N,) rows of `images`, in the order in which they are written.
        encoding: "png" or "jpeg".
        shard_bytes: size at which the next shard begins.

    Raises:
        DataError: an encoded image is damaged.
    """
    folder.mkdir(parents=True, exist_ok=True)
    remove_images(folder)
    index, shards, writer = np.empty((len(rows), 4), np.int64), [], None
    for number, row in enumerate(rows):
        if writer is None:
            path = folder / f"shard-{len(shards):05d}.tar"
            writer, first = TarWriter(path, encoding=encoding, first=number), number
        index[number] = (len(shards), *writer.add(images.encoded(row, encoding)))
        if writer.size >= shard_bytes or number + 1 == len(rows):
            crc32 = writer.close()
            facts = {"images": number + 1 - first, "bytes": path.stat().st_size, "crc32": crc32}
            shards.append({"name": path.name, **facts})
            writer = None
    write_array(folder / INDEX, index)
    facts = {"image_size": images.shape[1], "encoding": encoding, "shards": shards}
    write_json(folder / FACTS, facts | {"index_crc32": checksum(folder / INDEX)})


def remove_images(folder):
    """Remove the images of a folder, shards or array, facts first: a rest is never taken for the whole."""
    for path in (folder / FACTS, folder / INDEX, folder / "images.npy", *sorted(folder.glob("shard-*.tar"))):
        if path.exists():
            remove(path)


def open_shards(folder):
    """Open the shards of a folder.

    Args:
        folder: pathlib.Path.

    Returns:
        EncodedImages.

    Raises:
        DataError: the index does not fit the shards, or a shard is missing or cut off. One that was altered
            is named later, by the checksum of every image that is read.
    """
    try:
        facts = Facts.model_validate(read_json(folder / FACTS))
    except ValidationError as error:
        faults = f"{error.error_count()} faults"
        raise DataError(f"{folder / FACTS}: not what `prepare` writes ({faults}). {_MEND}") from error
    index, shards = read_array(folder / INDEX), facts.shards
    paths = [folder / shard.name for shard in shards]
    total = sum(shard.images for shard in shards)
    if index.dtype != np.int64 or index.shape != (total, 4) or checksum(folder / INDEX) != facts.index_crc32:
        raise DataError(
            f"{folder / INDEX}: expected int64 ({total}, 4) that belongs to {FACTS}, found {index.dtype} "
            f"{index.shape}, or it is damaged. {_MEND}"
        )
    for path, shard in zip(paths, shards, strict=True):
        if not path.is_file():
            raise DataError(f"{path}: there is no such shard. {_MEND}")
        size = path.stat().st_size
        if size != shard.bytes:
            raise DataError(f"{path}: a shard of {size:,} bytes, expected {shard.bytes:,}. {_MEND}")
    return EncodedImages(paths, index, facts.image_size, encoding=facts.encoding)


def is_sharded(folder):
    """Whether the images of a folder lie in shards."""
    return (Path(folder) / FACTS).exists()

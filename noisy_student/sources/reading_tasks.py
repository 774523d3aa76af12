"""What a task of the executor leaves that reads image files: a .tar of square images as they are kept, and an index.

Both lie beside the checkpoints of the stage prepare, so that a later process finds them read.
"""

import functools
import json
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from noisy_student.data.images import InMemory, encode, pixel_key, try_image
from noisy_student.data.levels import Depth
from noisy_student.data.shards import TarWriter
from noisy_student.runtime import environment
from noisy_student.runtime.errors import UNPACKING
from noisy_student.runtime.files import atomic_path
from noisy_student.settings.schema import Levels

GROUP = 256  # image files that are one task


class Read(NamedTuple):
    """What came of an image file: its bytes as they are kept and the key of its pixels, or a cause."""

    data: bytes | None
    key: bytes
    cause: str | None
    depth: Depth | None

    @classmethod
    def failed(cls, cause: str) -> "Read":
        """None came of it."""
        return cls(None, b"", cause, None)


@dataclass(frozen=True)
class Form:
    """How images are read and kept.

    Attributes:
        size, resize, levels: see `data.images.try_image`.
        encoding: "png", "jpeg" or "bmp".
    """

    size: int
    resize: str
    levels: Levels
    encoding: str

    def read(self, file: Path | InMemory) -> Read:
        """An image file in this form, or why there is none."""
        image, cause, depth = try_image(file, size=self.size, resize=self.resize, levels=self.levels)
        if image is None:
            return Read.failed(cause or "")
        return Read(encode(image, self.encoding), pixel_key(image), None, depth)


@dataclass
class Kept:
    """What a task has left.

    Attributes:
        path: of the .tar.
        index, keys: see `data.shards` and `views.SourceImages`.
        unreadable: [file, cause] of those without an image, in their order.
        depths: [file, how it was scaled].
    """

    path: Path
    index: np.ndarray
    keys: np.ndarray
    unreadable: list[tuple[str, str]]
    depths: list[tuple[str, list]]

    @classmethod
    def of(cls, path: Path) -> "Kept":
        """Read it from the index beside a .tar."""
        with _facts(path).open("rb") as file, np.load(file, allow_pickle=False) as content:
            meta = json.loads(content["meta"].tobytes())
            return cls(path, content["index"], content["keys"], meta["unreadable"], meta["depths"])


def left(path: Path) -> Kept | None:
    """What a task has left, if it was done; one whose index cannot be read is not, and its .tar is removed."""
    if not path.exists():
        return None
    try:
        return Kept.of(path)
    except (OSError, ValueError, KeyError, EOFError, *UNPACKING) as error:
        print(f"prepare: {_facts(path)} cannot be read ({error}); its images are read again", flush=True)
        path.unlink()
        return None


def _facts(path):
    """The index that belongs to a task's .tar."""
    return path.with_name(f"facts-{path.stem}.npz")


def keep(output: Path, results: Iterable[tuple[str, Read]], encoding: str, folder: Path) -> dict[str, int]:
    """Write what was read, the index into `folder` by the final name of `output`; what a task returns."""
    index, keys = list[tuple[int, ...]](), list[bytes]()
    meta: dict[str, list] = {"unreadable": [], "depths": []}
    writer = TarWriter(output, encoding=encoding, first=0)
    try:
        for name, (data, key, cause, depth) in results:
            if data is None:
                meta["unreadable"].append((name, cause))
                continue
            index.append((0, *writer.add(data)))
            keys.append(key)
            if depth is not None:
                meta["depths"].append((name, depth))
    except BaseException:
        writer.drop()
        raise
    writer.close()
    final = folder / output.name[output.name.index("shard-") :]
    with atomic_path(_facts(final)) as temporary, temporary.open("wb") as file:
        np.savez(
            file,
            allow_pickle=False,
            index=np.array(index, np.int64).reshape(-1, 4),
            keys=np.array(keys, "S32"),
            meta=np.frombuffer(json.dumps(meta).encode(), np.uint8),
        )
        file.flush()
        os.fsync(file.fileno())  # before the .tar has its name, which says that all is done
    return {"images": len(index), "unreadable": len(meta["unreadable"])}


def ahead(calls: Iterable[tuple[str, Callable[[], Read]]], threads: int) -> Iterator[tuple[str, Read]]:
    """Make calls by several threads; yield what they give in order. A few are begun ahead, not more."""
    waiting = deque[tuple[str, Future[Read]]]()
    with ThreadPoolExecutor(threads, thread_name_prefix="read") as pool:
        try:
            for name, call in calls:
                waiting.append((name, pool.submit(call)))
                if len(waiting) > 2 * threads:
                    first, future = waiting.popleft()
                    yield first, future.result()
            while waiting:
                first, future = waiting.popleft()
                yield first, future.result()
        finally:
            for _, left in waiting:
                left.cancel()


def add_record(record: dict[str, Any], more: dict[str, Any]) -> None:
    """Add to what metrics/run.json has of the tasks of an executor what it has of others."""
    if record:
        record.setdefault("further", []).append(more)
    else:
        record.update(more)


def read_paths(
    output: Path, *, paths: list[str], size: int, resize: str, levels: Levels, encoding: str, folder: str
) -> dict[str, int]:
    """Read image files of this machine, or of a disk that all see; what an executor does for a folder of images.

    Args:
        output: the .tar; the index lies in `folder`, by its final name.
        size, resize, levels, encoding: those of `Form`.
    """
    form = Form(size, resize, levels, encoding)
    calls = ((path, functools.partial(form.read, Path(path))) for path in paths)
    return keep(output, ahead(calls, environment.threads()), encoding, Path(folder))

"""Reading and writing files so that nothing is ever half-written."""

import contextlib
import csv
import glob
import hashlib
import io
import json
import os
import platform
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt

from noisy_student.runtime.errors import FULL, DataError

_TEMPORARY = re.compile(r"\.tmp-(?P<pid>\d+)(\.(?P<host>[0-9a-f]{8}))?-")


@contextlib.contextmanager
def atomic_path(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path beside `path`; it replaces `path` only if the block succeeds.

    The temporary file keeps the suffix of `path`, because some writers choose the format by it. What killed
    processes have left of the same file is removed.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob(f".tmp-*-{glob.escape(path.name)}"):
        if is_left_over(left.name):
            left.unlink(missing_ok=True)
    temporary = path.with_name(temporary_name(path.name))
    try:
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        if error.errno in FULL and error.filename is None:  # of writing; only opening names the file
            error.filename = str(path)
        raise
    finally:
        temporary.unlink(missing_ok=True)


def _host():
    """Eight hex digits of this machine's name: hosts that share a disk have equal process numbers."""
    return hashlib.blake2b(platform.node().encode(), digest_size=4).hexdigest()


def temporary_name(name: str) -> str:
    """What something is called beside its place until it is whole: hidden, with its process and machine."""
    return f".tmp-{os.getpid()}.{_host()}-{name}"


@contextlib.contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder that becomes `folder`, which is not there yet or empty, only if the block succeeds."""
    temporary = folder.with_name(temporary_name(folder.name))
    temporary.mkdir(parents=True)
    try:
        yield temporary
        if folder.is_dir():
            folder.rmdir()  # it is empty
        os.replace(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def is_left_over(name: str) -> bool:
    """Whether a file of this name is what a process of this machine has left half-written that is no more."""
    owner = _TEMPORARY.match(name)
    if not owner or owner["host"] not in (None, _host()):
        return False
    try:
        os.kill(int(owner["pid"]), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass  # another user's
    return False


def link_or_copy(path: Path, target: Path) -> None:
    """Let a file have a second name, which takes no room; a copy where the file system has no such thing."""
    with atomic_path(target) as temporary:
        try:
            os.link(path, temporary)
        except OSError:
            shutil.copyfile(path, temporary)


def write_bytes(path: Path | str, data: bytes) -> None:
    """Write bytes atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def write_json(path: Path | str, value: Any) -> None:
    """Write `value` as indented JSON, atomically, with a newline at the end."""
    write_bytes(path, (json.dumps(value, indent=2, allow_nan=False) + "\n").encode())


def read_json(path: Path | str) -> Any:
    """Read a JSON file that this package wrote; raise DataError if it is missing or damaged."""
    try:
        return json.loads(Path(path).read_bytes())
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as JSON ({error}). Run `dvc repro`.") from error


def files_below(root: Path | str, *, on_error: Callable[[OSError], Any]) -> Iterator[str]:
    """Yield the paths of the files in a folder and below it, without hidden ones; those of each folder by name.

    Links are followed. A folder that was listed already is passed over, so that a link to a folder above ends.

    Args:
        on_error: called with the error of a folder that cannot be listed; what it raises ends the walk.
    """
    seen = set()  # real paths
    for folder, folders, names in os.walk(root, onerror=on_error, followlinks=True):
        here = os.path.realpath(folder)
        if here in seen:
            folders.clear()
            continue
        seen.add(here)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        packed = "\0".join(sorted(name for name in names if not name.startswith(".")))
        names.clear()  # of 100,000 files they would take ten times as much as the text
        yield from (os.path.join(folder, name) for name in _split(packed))


def _split(packed):
    """The parts of a text between NULs, one at a time; none of an empty one."""
    first = 0
    while first < len(packed):
        end = packed.find("\0", first)
        end = len(packed) if end < 0 else end
        yield packed[first:end]
        first = end + 1


def write_csv(path: Path | str, rows: list[dict]) -> None:
    """Write a list of dicts with equal keys as CSV, atomically."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_bytes(path, text.getvalue().encode())


def read_csv(path: Path | str, *, text: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Rows of a CSV file that this package wrote: cells as numbers, empty ones as None.

    Cells of the columns in `text` are no numbers, even if they look so.

    Raises:
        DataError: the file is missing or damaged.
    """
    try:
        with Path(path).open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        return [{key: cell if key in text else _number(cell) for key, cell in row.items()} for row in rows]
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}). Run `dvc repro`.") from error
    except (csv.Error, ValueError, TypeError) as error:
        raise DataError(f"{path}: damaged ({error}). Run `dvc repro`.") from error


def _number(cell):
    if not cell:
        return None
    return int(cell) if cell.isdecimal() else float(cell)


def sha256(path: Path | str, *, mend: str = "Check that it is a file that you may read.") -> str:
    """SHA-256 of a file's bytes, in hexadecimal; DataError, which ends with `mend`, if it cannot be read."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}). {mend}") from error


def write_array(path: Path | str, array: np.ndarray) -> None:
    """Write an array as `.npy`, atomically; object arrays are refused."""
    with atomic_path(path) as temporary:
        try:
            with temporary.open("wb") as file:
                # to a real file NumPy writes in C: a full disk can pass unseen
                plain: Any = SimpleNamespace(write=file.write)
                np.save(plain, np.ascontiguousarray(array), allow_pickle=False)
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(path)) from error


@contextlib.contextmanager
def array_writer(path: Path | str, *, shape: tuple[int, ...], dtype: npt.DTypeLike) -> Iterator[np.ndarray]:
    """Yield a `.npy` file as a writable memory map; it replaces `path` only if the block succeeds.

    Its pages belong to the file: an array larger than the memory can be written. It is on the disk, not only
    in the system's cache, before it takes the place of `path`.

    Raises:
        OSError: the disk has no room for the array.
    """
    with atomic_path(path) as temporary:
        array = np.lib.format.open_memmap(temporary, mode="w+", dtype=dtype, shape=shape)
        with temporary.open("rb+") as file:
            if hasattr(os, "posix_fallocate"):  # not on macOS
                # take the room on the disk now: a disk that is full while a map is written kills the process
                os.posix_fallocate(file.fileno(), 0, os.fstat(file.fileno()).st_size)
            yield array
            array.flush()
            os.fsync(file.fileno())


def read_array(path: Path | str) -> np.ndarray:
    """`open_npy` of a file that a stage wrote; DataError if it is missing, truncated or no plain array."""
    try:
        return open_npy(path)
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file. Run the stage that writes it: `dvc repro`.") from error
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path}: not a readable .npy array ({error}). Delete it and run `dvc repro` again.") from error


def open_npy(path: Path | str) -> np.ndarray:
    """Open a `.npy` file as a read-only memory map.

    Raises:
        OSError, ValueError, EOFError: missing, truncated, pickled objects, or an archive of arrays.
    """
    array = np.load(path, mmap_mode="r", allow_pickle=False)
    if not isinstance(array, np.ndarray):
        array.close()
        raise ValueError("it is an archive of arrays, .npz")
    return array

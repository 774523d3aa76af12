"""Image files wherever they lie (files, folders, patterns, archives, a list of names), one after the other.

Nothing is listed as a whole but the names in one folder, so that memory does not grow with the number of images.
"""

import errno
import glob
import os
import stat
import struct
import tarfile
import zipfile
import zlib
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NamedTuple

from noisy_student.data.images import InMemory, Reading, resize_image, try_image
from noisy_student.runtime import environment
from noisy_student.runtime.errors import UNPACKING
from noisy_student.runtime.files import files_below
from noisy_student.settings.schema import Levels

STDIN = "-"
TAR = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
MOST_ZIP_MEMBERS = 300_000  # of which Python's zipfile keeps 0.7 kB each
LARGEST_MEMBER = 2**30  # bytes, unpacked
UNIT = 4096  # files that one worker reads; whole batches
_PORTION, _PORTION_BYTES = 32, 16 * 2**20  # files that a thread is given together, and bytes of archives in them
_HEADERS = 22 + 65535  # bytes of a ZIP archive's end in which its last header begins


class ImageFile(NamedTuple):
    """A file to be read, or why it cannot be.

    Attributes:
        name: what it is called in results.
        file: where it lies; None where there is a cause.
        cause: None, or why it cannot be read.
        begins: whether it is the first one of a unit, see `Unit`.
    """

    name: str
    file: Path | InMemory | None
    cause: str | None = None
    begins: bool = False


class Archive(NamedTuple):
    """A .zip or .tar file, to be read from its beginning to its end."""

    path: str

    def files(self) -> Iterator[ImageFile]:
        """What lies in it."""
        return _zipped(self.path) if self.path.lower().endswith(".zip") else _in_tar(self.path)


@dataclass(frozen=True)
class Unit:
    """Files that one worker reads. Batches begin anew with each: they are the same however many workers there are.

    Attributes:
        files: `UNIT` ones, of the last one fewer; empty if there is an archive.
    """

    files: list[ImageFile]
    archive: Archive | None = None

    def __iter__(self) -> Iterator[ImageFile]:
        begins = True
        for file in self.archive.files() if self.archive else self.files:
            yield file._replace(begins=begins)
            begins = False


def units(paths: Iterable[str], *, listed: IO[bytes] | None = None) -> Iterator[Unit]:
    """Yield the units of `image_files`: an archive each, and what lies between two archives by `UNIT` files."""
    files: list[ImageFile] = []
    for entry in _entries(paths, listed):
        if isinstance(entry, Archive):
            if files:
                yield Unit(files)
            yield Unit([], entry)
            files = []
        else:
            files.append(entry)
            if len(files) == UNIT:
                yield Unit(files)
                files = []
    if files:
        yield Unit(files)


def image_files(paths: Iterable[str], *, listed: IO[bytes] | None = None) -> Iterator[ImageFile]:
    """Yield the files that paths mean, in that order, those of a folder or pattern by name.

    A path is a file, a folder (all files in it and below it, but hidden ones; links are followed, loops of links are
    not), an archive (.zip, .tar, compressed or not), a pattern (`*`, `?`, `[...]`, `**`: for shells that leave it), or
    "-": names from `listed`, one a line. What cannot be read has a cause: nothing is raised.
    """
    began = 0  # files of the present unit
    for entry in _entries(paths, listed):
        if isinstance(entry, Archive):
            yield from Unit([], entry)
            began = 0
        else:
            yield entry._replace(begins=began == 0)
            began = (began + 1) % UNIT


def _entries(paths, listed) -> Iterator[ImageFile | Archive]:
    for path in paths:
        if path == STDIN:
            yield from _listed(listed)
        else:
            yield from _of(path)


def _listed(lines):
    for line in lines or ():
        name = os.fsdecode(line.rstrip(b"\r\n"))
        if name:
            yield from _of(name)


def _of(path):
    try:
        kind = os.stat(path).st_mode
    except (OSError, ValueError) as error:
        matches = sorted(glob.glob(path, recursive=True)) if glob.has_magic(path) else []
        missing = "no file matches this pattern" if glob.has_magic(path) else "no such file or folder"
        cause = missing if isinstance(error, FileNotFoundError) else getattr(error, "strerror", None) or str(error)
        if not matches:
            yield ImageFile(path, None, cause)
        yield from _matched(matches)
        return
    if stat.S_ISDIR(kind):
        yield from _below(path)
    elif not stat.S_ISREG(kind):
        yield ImageFile(path, None, "a device, pipe or socket, no file")  # reading it might never end
    elif path.lower().endswith((".zip", *TAR)):
        yield Archive(path)
    else:
        yield ImageFile(path, Path(path))


def _matched(matches):
    """Files that a pattern matches, and those below folders that it matches, each once."""
    places = {match: os.path.normpath(match) for match in matches}
    folders = {place for match, place in places.items() if os.path.isdir(match)}
    alone = {*places.values()} - folders
    for match, place in places.items():
        if place in alone:
            yield from _of(match)
        elif folders.isdisjoint(map(str, Path(place).parents)):  # else its files come with that folder's
            yield from (file for file in _below(match) if os.path.normpath(file.name) not in alone)


def _below(root):
    """Files in a folder and below it, without hidden ones."""
    unreadable: list[OSError] = []
    for path in files_below(root, on_error=unreadable.append):
        archive = path.lower().endswith((".zip", *TAR))
        yield ImageFile(path, None, "an archive; name it itself") if archive else _regular(path)
    for error in unreadable:
        yield ImageFile(str(error.filename), None, error.strerror)


def _regular(path):
    try:
        kind = os.stat(path).st_mode
    except OSError as error:
        dangling = error.errno == errno.ENOENT and os.path.islink(path)
        return ImageFile(path, None, "a link to nothing" if dangling else error.strerror)
    return ImageFile(path, Path(path)) if stat.S_ISREG(kind) else ImageFile(path, None, "a device, pipe or socket")


def _zipped(path):
    try:
        number = _zip_members(path)
        if number > MOST_ZIP_MEMBERS:
            mend = f"more than {MOST_ZIP_MEMBERS:,}: unpack it, or pack a .tar, of which any number is read"
            yield ImageFile(path, None, f"a .zip of {number:,} files, {mend}")
            return
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                if not member.is_dir() and not _is_hidden(member.filename):
                    yield _zip_member(path, archive, member)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, struct.error) as error:
        yield ImageFile(path, None, f"truncated, or no .zip archive ({error})")


def _zip_members(path):
    """How many a ZIP archive says that it has; 0 where nothing says so."""
    with open(path, "rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - _HEADERS))
        end = file.read()
        place = end.rfind(b"PK\x05\x06")
        number = int.from_bytes(end[place + 10 : place + 12], "little") if place >= 0 else 0
        if number < 0xFFFF:
            return number
        place = end.rfind(b"PK\x06\x06")  # the end of a large archive, just before it
        return int.from_bytes(end[place + 32 : place + 40], "little") if place >= 0 else number


def _zip_member(path, archive, member):
    name = f"{path}/{member.filename}"
    if member.flag_bits & 1:
        return ImageFile(name, None, "encrypted")
    if member.file_size > LARGEST_MEMBER:
        return ImageFile(name, None, f"{member.file_size:,} bytes unpacked, more than {LARGEST_MEMBER:,}")
    try:
        return ImageFile(name, InMemory(archive.read(member)))
    except (*UNPACKING, OSError, EOFError, NotImplementedError, RuntimeError) as error:
        return ImageFile(name, None, str(error) or type(error).__name__)


def _in_tar(path):
    try:
        with tarfile.open(path, "r|*") as archive:
            while (member := archive.next()) is not None:
                archive.members = []  # type: ignore[attr-defined]  # which would grow with every one
                if member.isdir() or _is_hidden(member.name):
                    continue
                yield _tar_member(path, archive, member)
    except (tarfile.TarError, zlib.error, OSError, EOFError, ValueError) as error:
        yield ImageFile(path, None, f"truncated, or no .tar archive ({error})")


def _tar_member(path, archive, member):
    name = f"{path}/{member.name}"
    if not member.isreg():
        return ImageFile(name, None, "a link or device in an archive, no file")
    if member.size > LARGEST_MEMBER:
        return ImageFile(name, None, f"{member.size:,} bytes, more than {LARGEST_MEMBER:,}")
    data = archive.extractfile(member).read()
    if len(data) < member.size:
        raise tarfile.ReadError("unexpected end of data")
    return ImageFile(name, InMemory(data))


def _is_hidden(name):
    return any((part.startswith(".") and part not in (".", "..")) or part == "__MACOSX" for part in name.split("/"))


def readings(
    files: Iterable[ImageFile], *, size: int, resize: str, levels: Levels = "auto", then: int | None = None
) -> Iterator[tuple[str, Reading]]:
    """Read files with as many threads as there are cores; yield names and what came of them, in order.

    For size, resize and levels see `data.images.try_image`; `then` is a size to which the square images are resized
    once more. A few portions of files are read ahead, not more.
    """
    threads = environment.threads()
    waiting: deque[Future] = deque()

    def read(portion):
        return [(file.name, _read(file, size, resize, levels, then or size)) for file in portion]

    with ThreadPoolExecutor(threads, thread_name_prefix="read") as pool:
        try:
            for portion in _portions(files):
                waiting.append(pool.submit(read, portion))
                if len(waiting) > threads + 1:
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()
        finally:
            for left in waiting:
                left.cancel()


def _portions(files):
    portion, held = [], 0
    for file in files:
        portion.append(file)
        held += len(file.file.read_bytes()) if isinstance(file.file, InMemory) else 0
        if len(portion) == _PORTION or held > _PORTION_BYTES:
            yield portion
            portion, held = [], 0
    if portion:
        yield portion


def _read(file, size, resize, levels, then):
    if file.file is None:
        return Reading(None, file.cause, None)
    reading = try_image(file.file, size=size, resize=resize, levels=levels)
    if reading.image is None or then == size:
        return reading
    return reading._replace(image=resize_image(reading.image, size=then))

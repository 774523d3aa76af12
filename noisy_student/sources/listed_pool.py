"""The images of a pool that is a list of .tar files and images, wherever they lie: read once, as streams.

One task of the executor a .tar file (or some image files): it reads them, and leaves the square images as they are
kept in a .tar of ours, beside the checkpoints, with an index. Nothing else of what was read is kept.
"""

import contextlib
import functools
import hashlib
import json
import os
import tarfile
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from noisy_student.data.images import InMemory
from noisy_student.data.levels import Depth
from noisy_student.data.shards import EncodedImages
from noisy_student.data.views import Subset
from noisy_student.executors import settings as configuration
from noisy_student.executors.running import in_this_process, run
from noisy_student.executors.tasks import Call, Task, Work
from noisy_student.runtime import environment
from noisy_student.runtime.errors import FULL, DataError
from noisy_student.runtime.progress import Shown, Silent, bar
from noisy_student.settings.schema import DataParams, Levels
from noisy_student.sources import remote
from noisy_student.sources.listed import Listed, read_list
from noisy_student.sources.reading_tasks import GROUP, Form, Kept, Read, ahead, keep, left
from noisy_student.sources.remote import Known, PassingError

IMAGES = (".jpg", ".jpeg", ".png", ".webp")  # members of a .tar that are images; others are metadata
LARGEST = 2**30  # bytes of an image file
LOOKED_AT = 16  # files that are asked about, or fetched, at a time
TRIES = 3  # how often a file is read whose server or network fails
PAUSE = 1.0  # seconds before the second try; doubled after each
_NAMED = 5  # files that a message names


class ListedImages(Subset):
    """The images of a list; see `read_listed`.

    Attributes:
        unreadable: images that were skipped, each as "file: cause".
        depths: as of `reader.Reader`.
        files: what is known of each .tar file, and of the image files together, for data/prepared/splits.json.
        record: how the tasks went.
    """

    def __init__(self, shards: list[Kept], size: int, *, encoding: str) -> None:
        stored = _Stored(shards, size, encoding=encoding)
        super().__init__(stored, np.arange(len(stored)))
        self.unreadable = [f"{name}: {cause}" for shard in shards for name, cause in shard.unreadable]
        self.depths = [(name, Depth(*depth)) for shard in shards for name, depth in shard.depths]
        self.files: list[dict[str, Any]] = []
        self.record: dict[str, Any] = {}


class _Stored(EncodedImages):
    """Encoded images with the keys of their pixels."""

    def __init__(self, shards: list[Kept], size: int, *, encoding: str) -> None:
        for number, shard in enumerate(shards):
            shard.index[:, 0] = number
        index = np.concatenate([shard.index for shard in shards])
        super().__init__([shard.path for shard in shards], index, size, encoding=encoding)
        self.keys = np.concatenate([shard.keys for shard in shards])


def read_listed(path: Path, data: DataParams, folder: Path) -> ListedImages:
    """Read all images of a list, by the executor of this machine; what lies in `folder` already is not read again.

    Args:
        folder: is left to the caller, with what was read in it.

    Raises:
        DataError: the list is wrong, a file is missing, forbidden, truncated, or a .tar without images.
        ShardError: several files are so.
        Stopped: Ctrl-C or SIGTERM; files that were read are not read again.
    """
    files = read_list(path)
    facts = _look(path, [file for file in files if file.is_tar])
    encoding = data.encoding if data.store == "shards" else "bmp"  # as `staging.remembering_reader` has it
    common: dict[str, Any] = {
        "size": data.image_size,
        "resize": data.resize,
        "levels": data.levels,
        "encoding": encoding,
    }
    groups, tasks = _groups(files), list[Task]()
    for group in groups:
        expected = [facts[file] for file in group if file.is_tar]
        names, lines = [file.name for file in group], [file.line for file in group]
        seen = expected or [_seen(name) for name in names]
        digest = hashlib.blake2b(json.dumps([names, seen, common]).encode(), digest_size=12).hexdigest()
        title = f"line {lines[0]}" if lines[0] == lines[-1] else f"lines {lines[0]} to {lines[-1]}"
        size = sum(each.bytes or 0 for each in expected)
        tasks.append(Task(title, folder / f"shard-{digest}.tar", size, {"names": names, "is_tar": bool(expected)}))
    folder.mkdir(parents=True, exist_ok=True)
    _forget_unreadable(tasks)
    executor = configuration.load()
    common["shown"] = len(tasks) == 1 and in_this_process(executor, None)
    work = Work(Call(f"{__name__}:{read_files.__name__}", {**common, "folder": os.path.abspath(folder)}))
    report = _run(work, tasks, executor, f"read {path.name}", folder)
    images = ListedImages([Kept.of(task.output) for task in tasks], data.image_size, encoding=encoding)
    if not len(images):
        raise DataError(f"{path}: no readable image in its files ({len(images.unreadable):,} unreadable).")
    images.files = _identity(files, facts)
    images.record = report.for_record()
    return images


def _seen(name):
    """Size and time of a local image file; another one of its name is read anew."""
    if remote.is_url(name):
        return None
    with contextlib.suppress(OSError):
        facts = os.stat(name)
        return [facts.st_size, facts.st_mtime_ns]
    return None


def _forget_unreadable(tasks):
    """Remove what was read of image files of which some could not be: at a URL they may be there now.

    What is damaged goes too, see `reading_tasks.left`.
    """
    for task in tasks:
        if (kept := left(task.output)) and kept.unreadable and not task.arguments["is_tar"]:
            task.output.unlink()


def _run(work, tasks, executor, title, folder):
    """What a single task raises is raised by `run` as it is."""
    try:
        return run(work, tasks, executor, title=title, unit="byte")
    except PassingError as error:
        raise DataError(str(error)) from error
    except OSError as error:
        if error.errno not in FULL:
            raise
        cause = f"the images cannot be kept there ({error.strerror})"
        raise DataError(f"{folder}: {cause}. Free some space, then run again.") from error


def _groups(files: Sequence[Listed]) -> list[list[Listed]]:
    """Each .tar file by itself, image files by some."""
    tars, images = [file for file in files if file.is_tar], [file for file in files if not file.is_tar]
    return [[file] for file in tars] + [images[first : first + GROUP] for first in range(0, len(images), GROUP)]


def _look(path, files):
    """{file: Known}; DataError names those that cannot be read."""
    with ThreadPoolExecutor(LOOKED_AT) as pool:
        found = list(pool.map(_known, files))
    wrong = [(file, known) for file, known in zip(files, found, strict=True) if not isinstance(known, Known)]
    if len(wrong) == 1:
        raise DataError(f"{path}, line {wrong[0][0].line}: {wrong[0][1]}") from wrong[0][1]
    if wrong:
        lines = [f"  line {file.line}: {error}" for file, error in wrong[:_NAMED]]
        lines += [f"  ... and {len(wrong) - _NAMED:,} more"] * (len(wrong) > _NAMED)
        raise DataError(f"{path}: {len(wrong):,} of {len(files):,} files cannot be read:\n" + "\n".join(lines))
    return dict(zip(files, found, strict=True))


def _known(file):
    try:
        return _tried(lambda: remote.known(file.name))
    except (DataError, OSError) as error:
        return error


def _tried(call: Callable[[], Any]) -> Any:
    """What a call gives, which may help the next time if the network fails."""
    for attempt in range(TRIES - 1):
        try:
            return call()
        except PassingError:
            time.sleep(PAUSE * 2**attempt)
    return call()


def _identity(files, facts):
    """What splits.json says of the files: names, sizes and tags of .tar files; images together."""
    known = [
        {"name": remote.shown(file.name), "bytes": facts[file].bytes, "etag": facts[file].etag}
        for file in files
        if file.is_tar
    ]
    images = "".join(f"{remote.shown(file.name)}\n" for file in files if not file.is_tar)
    if images:
        digest = hashlib.sha256(images.encode()).hexdigest()
        known.append({"name": f"{images.count(chr(10)):,} image files", "sha256_of_names": digest})
    return known


# --- a task ----------------------------------------------------------------------------------------


def read_files(
    output: Path,
    *,
    names: list[str],
    is_tar: bool,
    size: int,
    resize: str,
    levels: Levels,
    encoding: str,
    folder: str,
    shown: bool,
) -> dict[str, int]:
    """Read a .tar file, or some image files, into a .tar of square images and its index; what an executor does.

    Args:
        output: the .tar; the index lies in `folder`, by its final name.
        names: one, of a .tar; else those of image files.
        size, resize, levels: see `data.images.try_image`.
        encoding: "png", "jpeg" or "bmp".
        shown: whether this process shows how far it is.

    Raises:
        DataError: a file is missing, forbidden or truncated, or no image lies in it.
        PassingError: a server or the network failed several times.
    """

    form = Form(size, resize, levels, encoding)

    def read(data):
        return form.read(InMemory(data))

    def attempt():
        results = _of_tar(names[0], read, shown=shown) if is_tar else _of_images(names, read)
        return keep(output, results, encoding, Path(folder))

    return _tried(attempt)


def _of_tar(name, read, *, shown=False) -> Iterator[tuple[str, Read]]:
    """(name, what came of it) of the images in a .tar file, in its order."""
    seen = Counter[str]()
    with remote.opened(name) as file, _shown(name) if shown else Silent() as counted:
        members = _members(name, _Counted(file, counted), seen)
        yield from ahead(((member, functools.partial(read, data)) for member, data in members), environment.threads())
    if not any(suffix in IMAGES for suffix in seen):
        there = ", ".join(f"{count:,} {suffix or 'without suffix'}" for suffix, count in seen.most_common(_NAMED))
        raise DataError(
            f"{remote.shown(name)}: no image in it ({there or 'empty'}). Images are members in {', '.join(IMAGES)}."
        )


def _shown(name):
    title = f"read {os.path.basename(remote.shown(name))}"
    return bar(total=remote.known(name).bytes, name=title, unit="byte", brief=True)


class _Counted:
    """A stream whose bytes are shown as they are read."""

    def __init__(self, file: BinaryIO, counted: Shown) -> None:
        self.file, self.counted = file, counted

    def read(self, size: int = -1) -> bytes:
        """As of the stream."""
        data = self.file.read(size)
        self.counted.update(len(data))
        return data


class _Member(tarfile.TarInfo):
    """A member of an archive that remembers whether its end was marked: `tarfile` takes a truncated one for whole."""

    @classmethod
    def fromtarfile(cls, tarfile_):
        try:
            return super().fromtarfile(tarfile_)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]  # not in the stubs
            tarfile_.is_ended = True
            raise


def _members(name, file, seen: Counter[str]) -> Iterator[tuple[str, bytes]]:
    """(name, bytes) of the images in a stream; `seen` counts suffixes of all files."""
    try:
        with tarfile.open(fileobj=file, mode="r|*", bufsize=2**18, tarinfo=_Member) as archive:
            while (member := archive.next()) is not None:
                archive.members = []  # type: ignore[attr-defined]  # which would grow with every one
                suffix = os.path.splitext(member.name)[1].lower()
                if not member.isreg() or os.path.basename(member.name).startswith("."):
                    continue
                seen[suffix] += 1
                if suffix in IMAGES:
                    yield f"{remote.shown(name)}/{member.name}", _content(archive, member)
            if not getattr(archive, "is_ended", False):
                raise tarfile.ReadError("its end is missing")
    except (tarfile.TarError, zlib.error, EOFError, UnicodeError, ValueError) as error:
        raise DataError(
            f"{remote.shown(name)}: truncated, or no .tar archive ({error}). Copy it anew, or pack it again."
        ) from error


def _content(archive, member):
    if member.size > LARGEST:
        raise tarfile.ReadError(f"{member.name} has {member.size:,} bytes, more than {LARGEST:,}")
    data = archive.extractfile(member).read()
    if len(data) < member.size:
        raise tarfile.ReadError("unexpected end of data")
    return data


def _of_images(names, read) -> Iterator[tuple[str, Read]]:
    """(name, what came of it) of image files; one that is missing or forbidden is unreadable, as in a folder."""

    def fetched(name):
        def call():
            try:
                with remote.opened(name) as file:
                    data = file.read(LARGEST + 1)
            except DataError as error:
                return Read.failed(str(error).removeprefix(f"{remote.shown(name)}: "))
            if len(data) > LARGEST:
                return Read.failed(f"more than {LARGEST:,} bytes")
            return read(data)

        return lambda: _tried(call)

    yield from ahead(((remote.shown(name), fetched(name)) for name in names), max(LOOKED_AT, environment.threads()))

"""A pool as a text file of paths and URLs, one a line: .tar files, as WebDataset and others write them, and images."""

import itertools
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from noisy_student.runtime.errors import DataError
from noisy_student.sources import remote

TAR = (".tar", ".tar.gz", ".tgz")
MOST = 10_000_000  # names of one list, ranges written out
_RANGE = re.compile(r"(-?\d{1,18})\.\.(-?\d{1,18})(?:\.\.(-?\d{1,18}))?")  # `len` of a range ends at 2 ** 63
_LETTERS = re.compile(r"([a-z](?=\.\.[a-z])|[A-Z](?=\.\.[A-Z]))\.\.([A-Za-z])(?:\.\.(-?\d{1,18}))?")
_BRACES = re.compile(r"\{([^{}]*)\}")
_FORM = (
    "data.unlabelled_from takes a folder, or a text file with a path or a URL of a .tar file or an image in each line, "
    "e.g. s3://bucket/pool-{000..099}.tar"
)


class Listed(NamedTuple):
    """A file that a list names.

    Attributes:
        name: a URL, or the path of a local file.
        line: of the list, from 1.
    """

    name: str
    line: int

    @property
    def is_tar(self) -> bool:
        """Whether images lie in it; else it is one."""
        return self.name.partition("?")[0].lower().endswith(TAR)


def is_list(path: Path | str) -> bool:
    """Whether a pool's path is a list, or the only .tar file: no folder."""
    return os.path.isfile(path)


def read_list(path: Path) -> list[Listed]:
    """The files that a list names, in its order; a .tar file is a list of itself.

    Lines that are empty or begin with # do not count. Ranges and choices in braces are written out as bash does it:
    {000..099}, {a..d}, {a,b}. Paths are relative to the list's folder.

    Raises:
        DataError: it cannot be read, names nothing, names a file twice, or what cannot be a file here.
    """
    if str(path).lower().endswith(TAR):
        return [Listed(str(path), 1)]
    files: dict[str, Listed] = {}
    for number, line in enumerate(_lines(path), 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        for name in expanded(text, most=MOST - len(files), where=f"{path}, line {number}"):
            file = Listed(_located(path, name, number), number)
            key = file.name if remote.is_url(name) else os.path.realpath(file.name)
            if key in files:
                first, shown = files[key].line, remote.shown(name)
                raise DataError(
                    f"{path}, line {number}: {shown} is there already, in line {first}. Remove one of them."
                )
            files[key] = file
    if not files:
        raise DataError(f"{path}: names no file. {_FORM}")
    return list(files.values())


def _lines(path):
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}). Correct the path or its permissions.") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: no text in UTF-8, the byte at {error.start:,} is none. {_FORM}.") from error
    if "\0" in text:
        raise DataError(f"{path}: no text. {_FORM}.")
    return text.splitlines()


def _located(path, name, number):
    where = f"{path}, line {number}: {remote.shown(name)}"
    if name.startswith("pipe:"):
        raise DataError(f"{where}: commands are not run. Write the URL itself, e.g. s3://bucket/pool-000.tar.")
    if remote.is_url(name):
        remote.check_url(name, where)
        return name
    local = path.parent / name
    if os.path.isfile(local):  # `Path.is_file` fails with names that are too long
        return str(local)
    found = "a folder" if os.path.isdir(local) else "no such file"
    elsewhere = os.path.isfile(name) and f" There is one below {Path.cwd()}: write {Path(name).absolute()}."
    raise DataError(f"{where}: {found} (paths are relative to {path.parent}).{elsewhere or ' Correct the list.'}")


def check_list(path: Path) -> None:
    """Raise DataError if a list can be seen to be wrong without the network: see `read_list`."""
    read_list(path)


def expanded(text: str, *, most: int = MOST, where: str = "") -> list[str]:
    """What a line with braces stands for, as bash has it, but for braces in braces.

    Raises:
        DataError: more names than `most`; `where` is for the message.
    """
    parts: list[Sequence[str]] = []
    end, total = 0, 1
    for match in _BRACES.finditer(text):
        parts += [[text[end : match.start()]], _choices(match)]
        end, total = match.end(), total * len(parts[-1])
        if total > most:
            raise DataError(f"{where}: more than {MOST:,} names in a list. Use fewer, larger files.")
    parts.append([text[end:]])
    return ["".join(pieces) for pieces in itertools.product(*parts)]


def _choices(match) -> Sequence[str]:
    inner = match[1]
    if limits := _RANGE.fullmatch(inner):
        return _Numbers(*limits.groups())
    if limits := _LETTERS.fullmatch(inner):
        first, last, step = ord(limits[1]), ord(limits[2]), abs(int(limits[3] or 1)) or 1
        codes = range(first, last + 1, step) if first <= last else range(first, last - 1, -step)
        return [chr(code) for code in codes]
    return inner.split(",") if "," in inner else [match[0]]


class _Numbers(Sequence):
    """The numbers of a range as text, made when they are asked for: there may be far too many."""

    def __init__(self, first: str, last: str, step: str | None) -> None:
        padded = any(re.fullmatch(r"-?0\d+", text) for text in (first, last))
        self.width = max(len(first), len(last)) if padded else 0
        size = abs(int(step or 1)) or 1
        up = int(first) <= int(last)
        self.numbers = range(int(first), int(last) + (1 if up else -1), size if up else -size)

    def __len__(self):
        return min(len(self.numbers), MOST + 1)

    def __getitem__(self, place):
        return f"{self.numbers[place]:0{self.width}d}"

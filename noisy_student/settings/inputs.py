"""The files and folders that parameters name: they are there, can be read, and DVC sees every change in them."""

import difflib
import os
import shlex
from collections.abc import Iterable, Iterator

from noisy_student.runtime import layout
from noisy_student.runtime.errors import ParamsError
from noisy_student.settings.schema import POOLS


def check_input_path(name: str, path: str, *, may_be_file: bool = False) -> None:
    """Check the path that a parameter names, and all that lies in it; it may itself be a link.

    Args:
        may_be_file: whether it need be no folder.

    Raises:
        ParamsError: it is not there, is a file where a folder is needed, cannot be read, or holds what DVC cannot
            read or does not follow.
    """
    if not os.path.exists(path):
        found = "a link that leads nowhere" if os.path.islink(path) else "no such file or folder"
        if may_be_file and ("://" in path or "{" in path):
            raise ParamsError(
                f"{name}={path}: {found}. URLs and ranges stand in a text file, one a line: write them into one, e.g. "
                "data/raw/pool.txt, and name that file."
            )
        raise ParamsError(
            f"{name}={path}: {found}.{did_you_mean(path)} Put the images there, or name another path "
            "(~ is not expanded; absolute paths are)."
        )
    if path in POOLS or (may_be_file and os.path.isfile(path)):
        return
    if not os.path.isdir(path):
        raise ParamsError(f"{name}={path}: expected a folder of images there, found a file. Correct the path.")
    for entry in _entries(name, path):
        _check_entry(name, path, entry)


def did_you_mean(path: str | os.PathLike) -> str:
    """A sentence about what is there and has nearly the name of a path that is not; empty if nothing has."""
    present, missing = os.path.split(os.path.normpath(path))
    while present and not os.path.isdir(present) and os.path.dirname(present) != present:
        present, missing = os.path.split(present)
    try:
        near = nearest(missing, os.listdir(present or "."))
    except OSError:
        return ""
    meant = os.path.join(present, near) if near else os.fspath(path)
    if os.path.lexists(path) or layout.generated_folder_at(meant) is not None:
        return ""  # a broken link is not meant, nor what would be refused next
    return f" Did you mean {meant}?" if near else ""


def nearest(name: str, names: Iterable[str]) -> str | None:
    """The one of some names that is most like another one, case apart; None if none is."""
    by_form = {each.casefold(): each for each in names if not each.startswith(".")}
    near = difflib.get_close_matches(name.casefold(), by_form, n=1, cutoff=0.75)
    return by_form[near[0]] if near else None


def _entries(name, root) -> Iterator[os.DirEntry]:
    folders = [root]
    while folders:
        folder = folders.pop()
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    yield entry
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
        except OSError as error:
            raise ParamsError(
                f"{name}={root}: the folder {folder} cannot be read ({error.strerror}). Check the path and "
                "that the folder may be read."
            ) from error


def _check_entry(name, root, entry):
    try:
        entry.path.encode("utf-8")
    except UnicodeEncodeError:
        raise ParamsError(f"{name}: the file name {os.fsencode(entry.path)!r} is not UTF-8. Rename it.") from None
    if not entry.is_symlink():
        return
    if not os.path.exists(entry.path):
        raise ParamsError(f"{name}: the link {entry.path} leads nowhere. Delete or mend it.")
    hidden = any(part.startswith(".") for part in os.path.relpath(entry.path, root).split(os.sep))
    if entry.is_dir() and not hidden:  # what is hidden, or lies in what is, is not read
        target, link = os.path.realpath(entry.path), os.path.abspath(entry.path)
        raise ParamsError(
            f"{name}: {entry.path} is a link to the folder {target}. DVC does not look behind linked folders, so "
            "a change there would leave stale results. Put a folder of links to its files in its "
            f"place, which are followed: "
            f"rm {shlex.quote(link)} && cp -rs {shlex.quote(target)} {shlex.quote(link)}"
        )

"""Names of classes and files, which are compared in one Unicode form (NFC): "é" is one character or two."""

import os
import unicodedata
from collections.abc import Collection, Iterable
from pathlib import Path

from noisy_student.runtime.errors import DataError
from noisy_student.settings.inputs import nearest


def normal(name: str) -> str:
    """The name in the form in which names are compared."""
    return unicodedata.normalize("NFC", name)


def folders(path: Path) -> list[Path]:
    """What lies in a folder and is one, by name; without what is hidden. None where the folder is not there."""
    return [path / name for name, is_folder in _listed(path) if is_folder]


def files(path: Path) -> list[Path]:
    """What lies in a folder and is none, by name; without what is hidden. None where the folder is not there."""
    return [path / name for name, is_folder in _listed(path) if not is_folder]


def _listed(path):
    if not path.is_dir():
        return []
    with os.scandir(path) as entries:
        return sorted((entry.name, entry.is_dir()) for entry in entries if not entry.name.startswith("."))


def class_folders(split: Path) -> dict[str, Path]:
    """{name in normal form: folder} of a split with a folder a class, sorted by name.

    Raises:
        DataError: a name cannot be printed, or is that of another folder in another Unicode form.
    """
    by_name: dict[str, Path] = {}
    for path in folders(split):
        if not path.name.isprintable() or not path.name.strip():  # nor encodable as UTF-8
            raise DataError(f"{split}: the folder name {path.name!a} cannot be printed, or is blank. Rename it.")
        name = normal(path.name)
        if name in by_name:
            raise DataError(
                f"{split}: two folders of the class {name}, whose names differ only in Unicode form: "
                f"{by_name[name].name!a} and {path.name!a}. Move the images of one into the other."
            )
        by_name[name] = path
    return dict(sorted(by_name.items()))


def unknown_classes(names: Iterable[str], classes: Collection[str]) -> str:
    """Some class names, each with the known one that it may be meant for; what looks alike is shown by code point."""
    shown = []
    for name in names:
        near = nearest(_skeleton(name), {_skeleton(known) for known in classes})
        meant = next((known for known in classes if _skeleton(known) == near), None)
        if meant is not None and _skeleton(meant) == _skeleton(name):
            shown.append(f"{name} ({name!a}, there {meant!a})")
        else:
            shown.append(f"{name} (there {meant})" if meant else name)
    return ", ".join(shown)


def _skeleton(name):
    """What is the same for names that look alike or nearly so."""
    return " ".join(unicodedata.normalize("NFKC", name).split()).casefold()

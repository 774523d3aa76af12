"""Names of classes and files, which are compared in one Unicode form (NFC): "é" is one character or two."""

import unicodedata
from collections.abc import Collection, Iterable
from pathlib import Path

from noisy_student.runtime.errors import DataError
from noisy_student.settings.inputs import nearest


def normal(name: str) -> str:
    """The name in the form in which names are compared."""
    return unicodedata.normalize("NFC", name)


def class_folders(split: Path) -> dict[str, Path]:
    """{name in normal form: folder} of a split with a folder a class, sorted by name; hidden ones are left out.

    Raises:
        DataError: a name cannot be printed, or is that of another folder in another Unicode form.
    """
    folders: dict[str, Path] = {}
    for path in sorted(p for p in split.iterdir() if p.is_dir() and not p.name.startswith(".")):
        if not path.name.isprintable():  # nor encodable as UTF-8
            raise DataError(f"{split}: the folder name {path.name!a} cannot be printed. Rename it.")
        name = normal(path.name)
        if name in folders:
            raise DataError(
                f"{split}: two folders of the class {name}, whose names differ only in Unicode form: "
                f"{folders[name].name!a} and {path.name!a}. Move the images of one into the other."
            )
        folders[name] = path
    return dict(sorted(folders.items()))


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

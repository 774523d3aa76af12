"""`.keras` files whose bytes depend on the model and its description only."""

import io
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
from pydantic import ValidationError

from noisy_student.inference.description import FORMAT, KEY, Description
from noisy_student.models.normalisation import by_one_kernel
from noisy_student.runtime import arithmetic
from noisy_student.runtime.errors import UNPACKING, DataError
from noisy_student.runtime.files import atomic_path

# Keras writes the time of saving into the metadata and into the zip directory.
DATE_SAVED = "1980-01-01@00:00:00"
ZIP_DATE = (1980, 1, 1, 0, 0, 0)  # the earliest that the format can hold
MEMBERS = {"metadata.json", "config.json", "model.weights.h5"}
INFLATION = 20  # times larger unpacked: weights hardly shrink, what shrinks so much is a decompression bomb
MOST_METADATA = 64 * 2**20  # bytes; 100,000 class names take a few MB
MEND = "Delete it and run `dvc repro` again."


def save(model: keras.Model, path: Path, description: Description | None = None) -> None:
    """Write a model as a `.keras` file, atomically; stock Keras reads it, and passes over the description.

    Models of equal configuration, weights and description give equal bytes, whenever and wherever they are
    saved with the same versions of Keras and h5py.
    """
    metadata: dict[str, Any] = {"date_saved": DATE_SAVED}
    if description is not None:
        metadata[KEY] = description.model_dump(mode="json")
    with atomic_path(path) as temporary:
        model.save(temporary)
        temporary.write_bytes(_with_fixed_dates(temporary.read_bytes(), metadata))


def _with_fixed_dates(data, metadata):
    """The same zip archive without dates, its members stored in the order of their names, with more metadata."""
    fixed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(fixed, "w", zipfile.ZIP_STORED) as new:
        for name in sorted(old.namelist()):
            content = old.read(name)
            if name == "metadata.json":
                content = json.dumps(json.loads(content) | metadata, sort_keys=True).encode()
            entry = zipfile.ZipInfo(name, date_time=ZIP_DATE)
            entry.create_system = 3  # Unix; the zipfile module would write the platform's number
            new.writestr(entry, content)
    return fixed.getvalue()


def load(path: Path, *, classes: Sequence[str] | None = None) -> keras.Model:
    """Read a file of `save`, not compiled, in safe mode: no code from the file is run.

    With `arithmetic: portable` its normalisation is that of `normalisation.by_one_kernel`.

    Args:
        classes: the names that it must know, in this order (of a file that names none the number); None: any.

    Raises:
        DataError: the file is missing, damaged, no model, knows other classes, needs code from inside it, or is
            described as another model.
    """
    described = read_description(path)
    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # the file chooses what is constructed, so anything may be raised
        # the first sentence: after it Keras advises what is not ours, such as to load code from the file after all
        reason = str(error).strip().split("\n")[0].split(". ")[0]
        raise DataError(
            f"{path}: not a model that Keras {keras.__version__} can load in safe mode ({reason}). {MEND}"
        ) from error
    if not isinstance(model, keras.Model):
        raise DataError(f"{path}: holds a {type(model).__name__}, not a model. {MEND}")
    if classes is not None and model.output_shape[-1] != len(classes):
        raise DataError(
            f"{path}: tells {model.output_shape[-1]} classes apart, but data/prepared/classes.json lists "
            f"{len(classes)} classes. {MEND}"
        )
    if described is not None and model.output_shape[-1] != len(described.classes):
        raise DataError(
            f"{path}: gives {model.output_shape[-1]} probabilities, but names {len(described.classes)} classes. {MEND}"
        )
    if classes is not None and described is not None and described.classes != tuple(classes):
        place = next(k for k, (own, other) in enumerate(zip(described.classes, classes, strict=True)) if own != other)
        raise DataError(
            f"{path}: names other classes than data/prepared/classes.json: class {place} is "
            f"{described.classes[place]!r} there, {classes[place]!r} here. {MEND}"
        )
    return by_one_kernel(model) if arithmetic.is_pinned() else model


def read_description(path: Path) -> Description | None:
    """What the file of a model says of it; None: nothing, as files of other projects and older ones do.

    Raises:
        DataError: the file is missing or damaged, or its description is.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such model. Run the stage that writes it: `dvc repro`.")
    _check_archive(path)
    with zipfile.ZipFile(path) as archive:
        size = archive.getinfo("metadata.json").file_size
        if size > MOST_METADATA:
            raise DataError(f"{path}: {size:,} bytes of metadata, no model of ours. {MEND}")
        content = archive.read("metadata.json")
    try:
        metadata = json.loads(content)
        found = metadata.get(KEY) if isinstance(metadata, dict) else None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: damaged, its metadata.json is no JSON ({error}). {MEND}") from error
    if found is None:
        return None
    if isinstance(found, dict) and found.get("format") != FORMAT:
        raise DataError(
            f"{path}: described in format {found.get('format')!r}, this version reads {FORMAT}. Use the version of "
            "this project that wrote it, or a newer one."
        )
    try:
        return Description.model_validate_json(json.dumps(found))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise DataError(f"{path}: its description is damaged: {where}: {first['msg']}. {MEND}") from error


def load_described(path: Path) -> tuple[keras.Model, Description]:
    """A model and what its file says of it, which must be there.

    Raises:
        DataError: as `load`, or the file names no classes.
    """
    described = read_description(path)
    if described is None:
        raise DataError(
            f"{path}: names no classes, so it is of another project or of an older version of this one. Train it "
            "again (`dvc repro`), or give the names in a file, one a line, in the order of the model's outputs: "
            "--classes names.txt"
        )
    return load(path), described


def _check_archive(path):
    try:
        with zipfile.ZipFile(path) as archive:
            missing = MEMBERS - set(archive.namelist())
            unpacked, packed = sum(info.file_size for info in archive.infolist()), path.stat().st_size
            if unpacked > INFLATION * packed:
                raise DataError(f"{path}: {packed:,} bytes that unpack to {unpacked:,}, no model of ours. {MEND}")
            damaged = archive.testzip()
    except (*UNPACKING, NotImplementedError, RuntimeError, OSError, EOFError) as error:
        raise DataError(f"{path}: truncated, or not a .keras file ({error}). {MEND}") from error
    if missing:
        raise DataError(f"{path}: not a .keras file, {', '.join(sorted(missing))} is missing in it. {MEND}")
    if damaged is not None:
        raise DataError(f"{path}: damaged, the checksum of {damaged} in it is wrong. {MEND}")

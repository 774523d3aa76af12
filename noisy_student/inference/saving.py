"""`.keras` files whose bytes depend on the model only."""

import io
import json
import zipfile
import zlib
from pathlib import Path

import keras

from noisy_student.runtime.errors import DataError
from noisy_student.runtime.files import atomic_path

# Keras writes the time of saving into the metadata and into the zip directory.
DATE_SAVED = "1980-01-01@00:00:00"
ZIP_DATE = (1980, 1, 1, 0, 0, 0)  # the earliest that the format can hold
MEMBERS = {"metadata.json", "config.json", "model.weights.h5"}
INFLATION = 20  # times larger unpacked: weights hardly shrink, what shrinks so much is a decompression bomb
MEND = "Delete it and run `dvc repro` again."


def save(model: keras.Model, path: Path) -> None:
    """Write a model as a `.keras` file, atomically.

    Models of equal configuration and equal weights give equal bytes, whenever and wherever they are
    saved with the same versions of Keras and h5py.
    """
    with atomic_path(path) as temporary:
        model.save(temporary)
        temporary.write_bytes(_with_fixed_dates(temporary.read_bytes()))


def _with_fixed_dates(data):
    """The same zip archive without dates, its members stored in the order of their names."""
    fixed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(fixed, "w", zipfile.ZIP_STORED) as new:
        for name in sorted(old.namelist()):
            content = old.read(name)
            if name == "metadata.json":
                content = json.dumps(json.loads(content) | {"date_saved": DATE_SAVED}, sort_keys=True).encode()
            entry = zipfile.ZipInfo(name, date_time=ZIP_DATE)
            entry.create_system = 3  # Unix; the zipfile module would write the platform's number
            new.writestr(entry, content)
    return fixed.getvalue()


def load(path: Path, *, classes: int | None = None) -> keras.Model:
    """Read a file of `save`, not compiled, in safe mode: no code from the file is run.

    Args:
        classes: how many it must tell apart; None: any number.

    Raises:
        DataError: the file is missing, damaged, no model, knows other classes, or needs code from inside it.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such model. Run the stage that writes it: `dvc repro`.")
    _check_archive(path)
    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # the file chooses what is constructed, so anything may be raised
        reason = str(error).strip().split("\n")[0]
        raise DataError(
            f"{path}: not a model that Keras {keras.__version__} can load in safe mode ({reason}). {MEND}"
        ) from error
    if not isinstance(model, keras.Model):
        raise DataError(f"{path}: holds a {type(model).__name__}, not a model. {MEND}")
    if classes is not None and model.output_shape[-1] != classes:
        raise DataError(
            f"{path}: tells {model.output_shape[-1]} classes apart, but data/prepared/classes.json lists "
            f"{classes} classes. {MEND}"
        )
    return model


def _check_archive(path):
    try:
        with zipfile.ZipFile(path) as archive:
            missing = MEMBERS - set(archive.namelist())
            unpacked, packed = sum(info.file_size for info in archive.infolist()), path.stat().st_size
            if unpacked > INFLATION * packed:
                raise DataError(f"{path}: {packed:,} bytes that unpack to {unpacked:,}, no model of ours. {MEND}")
            damaged = archive.testzip()
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, OSError, EOFError) as error:
        raise DataError(f"{path}: truncated, or not a .keras file ({error}). {MEND}") from error
    if missing:
        raise DataError(f"{path}: not a .keras file, {', '.join(sorted(missing))} is missing in it. {MEND}")
    if damaged is not None:
        raise DataError(f"{path}: damaged, the checksum of {damaged} in it is wrong. {MEND}")

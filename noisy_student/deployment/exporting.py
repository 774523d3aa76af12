"""Exports of a model, each checked at once on real images before it takes its place."""

import contextlib
import importlib.util
import os
import shutil
import sys
import tempfile
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np

from noisy_student.deployment.formats import module_of
from noisy_student.deployment.image_files import image_files, readings
from noisy_student.inference.description import Description
from noisy_student.inference.predict import Predictor
from noisy_student.runtime.errors import FULL, DataError
from noisy_student.runtime.types import Labels, Pixels

TOLERANCE = 1e-4  # of a probability, in float32
MOST_IMAGES = 1000
CALIBRATION = 200  # images at most
_BATCH = 32  # images that a runtime gets at once: 1,000 of a large network would take gigabytes
_ROOM = 6  # times the weights: SavedModel on the way, a copy without names, the file itself


class CheckImages(NamedTuple):
    """Images of the model's size (N, S, S, 3) and what they show (N), -1 where that is not known."""

    images: Pixels
    labels: Labels


class Checked(NamedTuple):
    """What an export was found to be: largest difference of a probability, share of equal classes, accuracies.

    The accuracies, of the model and of the export, are None where no labels are known.
    """

    images: int
    difference: float
    agreement: float
    accuracies: tuple[float, float] | None


def read_images(paths: Sequence[str], described: Description, size: int) -> CheckImages:
    """The first images of some paths, as `predict` reads them; of a folder with a folder a class the labels too.

    Raises:
        DataError: there is none that can be read.
    """
    ways = described.model_dump(include={"resize", "levels"})
    images, labels, classes = [], [], {name: k for k, name in enumerate(described.classes)}
    files = _spread(paths, described.classes)
    for name, reading in readings(files, size=described.image_size, then=size, **ways):
        if reading.image is not None:
            images.append(reading.image)
            labels.append(classes.get(Path(name).parent.name, -1))
        if len(images) == MOST_IMAGES:
            break
    if not images:
        raise DataError(f"{', '.join(paths)}: no image there that can be read. Name images, folders or archives.")
    return CheckImages(np.stack(images), np.array(labels))


def _spread(paths, classes):
    """Their files; those of the folders of classes in turn, so that the first ones show all classes."""
    for path in paths:
        own = [os.path.join(path, name) for name in classes if os.path.isdir(os.path.join(path, name))]
        if not own:
            yield from image_files([path])
            continue
        waiting = [image_files([folder]) for folder in own]
        while waiting:
            for files in list(waiting):
                file = next(files, None)
                if file is None:
                    waiting.remove(files)
                else:
                    yield file


def photograph_patches(described: Description, size: int) -> CheckImages:
    """256 patches of the two photographs that scikit-learn carries, where no images are given."""
    from noisy_student.settings.schema import DataParams
    from noisy_student.sources.photographs import patches

    images = patches(DataParams(image_size=max(8, min(size, 1024))))[:256]
    from noisy_student.data.views import resized

    images = images if images.shape[1] == size else resized(images, size)
    return CheckImages(images, np.full(len(images), -1))


def check_packages(name: str, *, int8: bool) -> None:
    """Raise DataError unless a format can be written, and read again, by what is installed and chosen."""
    module, backend = module_of(name), keras.config.backend()
    if int8 and not module.INT8:
        raise DataError(f"--int8: not made for {name}. Choose onnx or litert, or leave it out.")
    if backend not in module.PACKAGES:
        able = " or ".join(module.PACKAGES)
        raise DataError(
            f"--format {name}: written by Keras on {able} only, here it runs on {backend}. Install "
            f"{able} and set KERAS_BACKEND to it; models of any backend can be exported by it."
        )
    missing = [package for package in module.PACKAGES[backend] if importlib.util.find_spec(package) is None]
    if missing:
        raise DataError(
            f"--format {name} needs the Python package{'s' * (len(missing) > 1)} {', '.join(missing)}. Run `pip "
            f"install {' '.join(missing)}`, or install all that exports need, the extra `export` of this package: `pip "
            "install -r requirements/requirements-export.in`."
        )


def export(
    model: keras.Model, described: Description, name: str, path: Path, check: CheckImages, *, int8: bool = False
) -> Checked:
    """Write a model in a format to a path that is not there yet, if it does on images what the model does.

    Args:
        check: to compare on; for 8 bits a part of them calibrates, and the others are compared.

    Raises:
        DataError: the path is there already, there is too little room, the conversion fails, or a probability differs
            by more than `TOLERANCE` (8 bits: by any amount).
    """
    module = module_of(name)
    _check_target(model, path)
    check, calibration = _split(check) if int8 else (check, None)
    path.parent.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix=".tmp-export-", dir=path.parent) as folder,
        tempfile.TemporaryDirectory(prefix=".tmp-convert-", dir=path.parent) as converters,
    ):
        temporary = Path(folder, path.name)
        try:
            with _quietly(), _temporary_files_in(converters):
                module.write(model, temporary, described, calibration)
                given = _in_batches(module.reader(temporary).run, check.images)
        except OSError as error:
            error.filename = error.filename or str(path)
            raise
        except Exception as error:  # converters raise anything
            number = _number_of_full(error)
            if number is not None:
                raise OSError(number, os.strerror(number), str(path)) from error
            said = textwrap.shorten(str(error), 300, placeholder=" ...")
            raise DataError(
                f"--format {name}: the conversion failed ({type(error).__name__}: {said}). "
                "Another --format may take this model, or Keras on another framework: set KERAS_BACKEND."
            ) from error
        checked = _compared(Predictor(model)(check.images, name="check"), given, check.labels)
        if not int8 and not checked.difference <= TOLERANCE:
            raise DataError(
                f"--format {name}: a probability of the export differs by {checked.difference:.2g} from the model's on "
                f"{checked.images:,} images, more than {TOLERANCE:g}. Nothing was written: the installed converter "
                "does not fit this model."
            )
        for file in sorted(Path(folder).iterdir()):
            os.replace(file, path.parent / file.name)
    return checked


@contextlib.contextmanager
def _temporary_files_in(folder: str) -> Iterator[None]:
    """Let converters put what they make on the way where the room was looked for, and where it is removed."""
    before, tempfile.tempdir = tempfile.tempdir, folder
    try:
        yield
    finally:
        tempfile.tempdir = before


def _number_of_full(error):
    """That of the full disk about which a converter's own error speaks; None: about something else."""
    return next((number for number in FULL if os.strerror(number) in str(error)), None)


def _check_target(model, path):
    for each in (path, path.with_suffix(".bin")) if path.suffix == ".xml" else (path,):
        if os.path.lexists(each):
            raise DataError(f"{each}: exists already. Remove it, or name another path with --out.")
    there = next(folder for folder in (path.parent, *path.parent.absolute().parents) if folder.is_dir())
    needed, free = 4 * model.count_params() * _ROOM + 16 * 2**20, shutil.disk_usage(there).free
    if free < needed:
        raise DataError(
            f"{there}: {free / 2**20:,.0f} MiB are free, the export needs {needed / 2**20:,.0f} for a moment. "
            "Free some space there, or name another place with --out."
        )


def _split(check):
    """A quarter of the images, drawn by lot, calibrates, `CALIBRATION` at most; the others are compared.

    Not every fourth one: classes stand in turn.
    """
    if len(check.images) < 8:
        raise DataError(f"--int8: {len(check.images)} images are too few to calibrate and measure by; give 8 or more.")
    order = np.random.default_rng(0).permutation(len(check.images))
    number = min(len(order) // 4, CALIBRATION)
    rows, others = np.sort(order[:number]), np.sort(order[number:])
    return CheckImages(check.images[others], check.labels[others]), check.images[rows]


def _in_batches(run, images):
    return np.concatenate([run(images[row : row + _BATCH]) for row in range(0, len(images), _BATCH)])


def _compared(own, given, labels):
    known = labels >= 0
    accuracies = None
    if known.any():
        shares = [float((probs.argmax(axis=1)[known] == labels[known]).mean()) for probs in (own, given)]
        accuracies = shares[0], shares[1]
    agreement = float((own.argmax(axis=1) == given.argmax(axis=1)).mean())
    return Checked(len(own), float(np.abs(own - given).max()), agreement, accuracies)


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Keep what converters write to the file descriptors 1 and 2 off the terminal."""
    sys.stdout.flush()
    sys.stderr.flush()
    terminal = os.dup(1), os.dup(2)
    with tempfile.TemporaryFile() as log:
        for number in (1, 2):
            os.dup2(log.fileno(), number)
        try:
            yield
        finally:
            for number, old in zip((1, 2), terminal, strict=True):
                os.dup2(old, number)
                os.close(old)

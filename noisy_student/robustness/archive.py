"""Keep the corrupted test images as files of the published form."""

import contextlib
import os
import shutil
from pathlib import Path

import numpy as np

from noisy_student.errors import DataError
from noisy_student.files import array_writer, write_array
from noisy_student.progress import progress
from noisy_student.robustness.sets import Generated
from noisy_student.robustness.severities import ALL, SEVERITIES

_BLOCK = 512  # images


def write(test, folder, *, seed, frost):
    """Write one `.npy` a corruption, severities one after the other, and `labels.npy`.

    Args:
        test: LabelledImages.
        folder: to write into; must not exist.
        seed: of the corruptions.
        frost: see `sets.Generated`.

    Raises:
        DataError: the folder exists.
    """
    folder, number = Path(folder), len(test.labels)
    if folder.exists():
        raise DataError(f"{folder}: exists already. Name another folder, or remove it.")
    made = Generated(test, np.arange(number), seed=seed, frost=frost)
    made.check(ALL)
    with _new_folder(folder) as temporary:
        for name in progress(ALL, name="corrupt", unit="corruption"):
            shape = (len(SEVERITIES) * number, *test.images.shape[1:])
            with array_writer(temporary / f"{name}.npy", shape=shape, dtype="uint8") as out:
                for place, severity in enumerate(SEVERITIES):
                    images = made.images(name, severity)
                    for start in range(0, number, _BLOCK):
                        block = images[start : start + _BLOCK]
                        first = place * number + start
                        out[first : first + len(block)] = block
        write_array(temporary / "labels.npy", np.tile(test.labels, len(SEVERITIES)))


@contextlib.contextmanager
def _new_folder(folder):
    """Yield a temporary folder that becomes `folder` only if the block succeeds."""
    temporary = folder.with_name(f".tmp-{os.getpid()}-{folder.name}")
    temporary.mkdir(parents=True)
    try:
        yield temporary
        os.replace(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)

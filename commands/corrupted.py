"""Keep the corrupted test images as files, in the form of CIFAR-10-C.

python -m commands.corrupted FOLDER    # 19 .npy files and labels.npy
"""

import argparse
import signal
import sys
from pathlib import Path

import numpy as np

from commands import new_parser
from noisy_student.data.arrays import open_labelled
from noisy_student.data.labelled import LabelledImages
from noisy_student.robustness.sets import FROST, Generated
from noisy_student.robustness.severities import ALL, SEVERITIES
from noisy_student.runtime import console, layout
from noisy_student.runtime.errors import DataError, UserError
from noisy_student.runtime.files import array_writer, new_folder, read_json, write_array
from noisy_student.runtime.progress import progress
from noisy_student.settings import params

_BLOCK = 512  # images


def write(test: LabelledImages, folder: Path, *, seed: int, frost: Path) -> None:
    """Write one `.npy` a corruption, severities one after the other, and `labels.npy`.

    Args:
        test: the images before.
        folder: to write into; must not exist.
        seed: of the corruptions.
        frost: see `sets.Generated`.

    Raises:
        DataError: the folder exists.
    """
    number = len(test.labels)
    if folder.exists():
        raise DataError(f"{folder}: exists already. Name another folder, or remove it.")
    made = Generated(test, np.arange(number), seed=seed, frost=frost)
    made.check(ALL)
    with new_folder(folder) as temporary:
        for name in progress(ALL, name="corrupt", unit="corruption"):
            shape = (len(SEVERITIES) * number, *test.images.shape[1:])
            with array_writer(temporary / f"{name}.npy", shape=shape, dtype="uint8") as out:
                for place, severity in enumerate(SEVERITIES):
                    images = made.images(name, severity)
                    for row in range(0, number, _BLOCK):
                        block = images[row : row + _BLOCK]
                        first = place * number + row
                        out[first : first + len(block)] = block
        write_array(temporary / "labels.npy", np.tile(test.labels, len(SEVERITIES)))


def parser() -> argparse.ArgumentParser:
    """That of this command."""
    own = new_parser("commands.corrupted", __doc__)
    own.add_argument("folder", type=Path, metavar="FOLDER", help="a new folder to write into")
    return own


def main() -> None:
    """Corrupt data/prepared/test."""
    folder = parser().parse_args().folder
    try:
        data = params.load().data
        test = open_labelled(layout.TEST, classes=read_json(layout.CLASSES))
        write(test, folder, seed=data.seed, frost=Path(data.root) / FROST)
    except (UserError, OSError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        print("interrupted: nothing was written. Run the same command again.", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)
    print(f"{folder}: {19 * 5 * len(test.labels):,} images")


if __name__ == "__main__":
    console.use_utf8()
    main()

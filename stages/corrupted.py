"""Keep the corrupted test images as files, in the form in which CIFAR-10-C is published.

python -m stages.corrupted FOLDER    # 19 .npy files and labels.npy
"""

import argparse
import signal
import sys
from pathlib import Path

from noisy_student import layout, params
from noisy_student.data.arrays import open_labelled
from noisy_student.errors import UserError
from noisy_student.files import read_json
from noisy_student.robustness import archive
from noisy_student.robustness.sets import FROST


def main():
    """Corrupt data/test."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="to write into; must not exist")
    folder = parser.parse_args().folder
    try:
        data = params.load().data
        test = open_labelled(layout.TEST, classes=read_json(layout.CLASSES))
        archive.write(test, folder, seed=data.seed, frost=Path(data.root) / FROST)
    except (UserError, OSError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        print("interrupted: nothing was written. Run the same command again.", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)
    print(f"{folder}: {19 * 5 * len(test.labels):,} images")


if __name__ == "__main__":
    main()

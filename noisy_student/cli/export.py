"""Export a model for other runtimes, and check the export at once on real images.

python -m noisy_student export models/student-gen3.keras --format onnx
python -m noisy_student export models/student-gen3.keras --format litert --int8 --images data/raw/mine/test

The export is compared with the model on images before it takes its place: where a probability differs by more than
0.0001 nothing is written. The file names the classes, and says how images become the pixels that it takes.
"""

import argparse
from pathlib import Path

from noisy_student import cli
from noisy_student.deployment import formats

FOLDER = Path("exports")  # not models/, which belongs to the stages


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Those of this command."""
    parser.add_argument("model", type=Path, metavar="MODEL", help="a .keras file; it is read in safe mode")
    parser.add_argument("--format", required=True, choices=formats.FORMATS, help="what to write")
    parser.add_argument(
        "--out", type=Path, metavar="PATH", help="a new file, or folder (savedmodel); default: exports/NAME.SUFFIX"
    )
    parser.add_argument("--int8", action="store_true", help="weights and arithmetic in 8 bits (onnx, litert)")
    parser.add_argument(
        "--images",
        nargs="+",
        metavar="PATH",
        help="to check on, the first 1,000, as predict takes them; with a folder a class the accuracies are measured. "
        "Needed for --int8, which is calibrated by a part of them; default: patches of two photographs",
    )
    parser.add_argument(
        "--classes", type=Path, metavar="FILE", help="names of the classes, one a line, for a model that has none in it"
    )


def run(arguments: argparse.Namespace) -> int:
    """Export and check; return the exit status."""
    from noisy_student.runtime.errors import DataError

    if arguments.int8 and not arguments.images:
        raise DataError("--int8: give images to calibrate and to measure by, e.g. --images data/raw/mine/test.")
    cli.select_backend()
    from noisy_student.deployment import exporting
    from noisy_student.deployment.models import open_model

    exporting.check_packages(arguments.format, int8=arguments.int8)
    model, described = open_model(arguments.model, arguments.classes)
    suffix, size = formats.module_of(arguments.format).SUFFIX, model.input_shape[1]
    path = arguments.out or FOLDER / f"{arguments.model.stem}{'-int8' * arguments.int8}{suffix or '-savedmodel'}"
    if suffix and path.suffix != suffix:
        raise DataError(f"--out {path}: the name of {arguments.format} ends in {suffix}.")
    if arguments.images:
        check = exporting.read_images(arguments.images, described, size)
    else:
        check = exporting.photograph_patches(described, size)
    checked = exporting.export(model, described, arguments.format, path, check, int8=arguments.int8)
    print(f"{path}: {_size(path)}, {len(described.classes)} classes")
    what = f"{checked.images:,} {'images' if arguments.images else 'patches of photographs'}"
    print(f"checked on {what}: largest difference of a probability {checked.difference:.2g}, ", end="")
    print(f"the same class for {100 * checked.agreement:.2f} %")
    if checked.accuracies:
        own, given = checked.accuracies
        print(f"accuracy {100 * own:.2f} % before, {100 * given:.2f} % after: {100 * (given - own):+.2f} points")
    return cli.DONE


def _size(path):
    files = path.rglob("*") if path.is_dir() else [path, *([path.with_suffix(".bin")] if path.suffix == ".xml" else [])]
    return f"{sum(file.stat().st_size for file in files if file.is_file()) / 2**10:,.0f} KiB"

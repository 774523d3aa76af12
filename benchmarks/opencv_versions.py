"""Which pixels the version of OpenCV changes: corruptions, sequences and encoded images, against OpenCV 4.

python -m benchmarks.opencv_versions                    # a minute; the table of docs/robustness.md
python -m benchmarks.opencv_versions --rival 4.10.0.84  # against another version, which pip fetches
"""

import argparse
import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np

from benchmarks.harness import machine
from commands import new_parser
from noisy_student.runtime import console
from noisy_student.runtime.types import Floats, Pixels

PACKAGE, RIVAL = "opencv-python-headless", "4.14.0.94"
SEED = 0
MOST = {"corruption": 500, "sequence": 100, "encoding": 500}  # images
Operation = tuple[str, str, str]  # kind, name, severity


@dataclass(frozen=True)
class Difference:
    """By how much pixels differ, in grey levels; (N,) each, one entry an image, of a sequence over all frames."""

    mean: Floats
    largest: Floats
    share: Floats  # of the values that differ

    @classmethod
    def of(cls, first: Pixels, second: Pixels) -> "Difference":
        """Of two arrays (N, ...) of the same shape."""
        apart = np.abs(first.astype(np.int16) - second).reshape(len(first), -1)
        return cls(apart.mean(axis=1), apart.max(axis=1), (apart > 0).mean(axis=1))


def main() -> None:
    """Print the table."""
    parser = new_parser("benchmarks.opencv_versions", __doc__)
    parser.add_argument(
        "--rival", default=RIVAL, metavar="VERSION", help=f"of {PACKAGE}, compared with; default: {RIVAL}"
    )
    parser.add_argument("--write", action="store_true", help=argparse.SUPPRESS)  # what runs under each version
    options = parser.parse_args()
    if options.write:
        return write_pixels(sys.stdout.buffer)
    print(f"{machine(PACKAGE, 'numpy')}; against {PACKAGE} {options.rival}\n")
    differences = compare_versions(options.rival)
    _report({key: found for key, found in differences.items() if found.largest.any()})
    changed = {operation[:2] for (_, operation), found in differences.items() if found.largest.any()}
    same = {operation[:2] for _, operation in differences} - changed
    print("\nThe same in every pixel:")
    for kind in MOST:
        print(f"- {kind}: {', '.join(sorted(name for of, name in same if of == kind))}")


def compare_versions(rival: str) -> dict[tuple[str, Operation], Difference]:
    """{(images, operation): difference} of the installed OpenCV and this version, which gets a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", f"--target={folder}"]
        subprocess.run([*install, f"{PACKAGE}=={rival}"], check=True, stdout=sys.stderr)
        with _writer({}) as ours, _writer({"PYTHONPATH": folder}) as theirs:
            pairs = zip(_read(ours), _read(theirs), strict=True)  # never more than a pair in memory
            differences = {}
            for (key, first), (other, second) in pairs:
                if key != other:
                    raise RuntimeError(f"one version wrote {key}, the other {other}")
                differences[key] = Difference.of(first, second)
    return differences


def _writer(environment):
    command = [sys.executable, "-m", "benchmarks.opencv_versions", "--write"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, **environment})


def _read(process):
    print("OpenCV", pickle.load(process.stdout), file=sys.stderr)
    while (item := pickle.load(process.stdout)) is not None:
        yield item


def write_pixels(file: BinaryIO) -> None:
    """Pickle this OpenCV's version, then ((images, operation), pixels) of everything, then None."""
    import cv2

    pickle.dump(cv2.__version__, file)
    for name, images in image_sets().items():
        for operation, pixels in everything(images):
            pickle.dump(((name, operation), pixels), file)
    pickle.dump(None, file)
    file.flush()


def image_sets() -> dict[str, Pixels]:
    """{name: (N, S, S, 3)}: digits, and squares of the two photographs that scikit-learn carries."""
    from sklearn.datasets import load_sample_images

    from noisy_student.settings.schema import DataParams
    from noisy_student.sources.adapters import digits

    photographs = np.stack(load_sample_images().images)  # (2, 427, 640, 3)
    return {
        "digits, 16 pixels": digits.load(DataParams(image_size=16)).train.images,
        "photographs, 32 pixels": _squares(photographs, 32, 32),
        "photographs, 224 pixels": _squares(photographs, 224, 203),  # 21 pixels overlap: two rows fit
    }


def _squares(photographs, side, step):
    height, width = photographs.shape[1:3]
    corners = [(y, x) for y in range(0, height - side + 1, step) for x in range(0, width - side + 1, step)]
    return np.concatenate([photographs[:, y : y + side, x : x + side] for y, x in corners])


def everything(images: Pixels) -> Iterator[tuple[Operation, Any]]:
    """Yield (operation, pixels (N, ...)) of all corruptions, of sequences (N, frames, ...), and of encoded images."""
    from noisy_student.data.images import decode, encode
    from noisy_student.robustness import frosting, perturbations
    from noisy_student.robustness.corruptions import corrupt
    from noisy_student.robustness.severities import ALL, SEVERITIES

    def frost():
        return frosting.pictures("/nonexistent", images.shape[1])  # drawn

    few = images[: MOST["corruption"]]
    for name in ALL:
        for severity in SEVERITIES:
            corrupted = corrupt(few, name, severity, rows=np.arange(len(few)), seed=SEED, frost=frost)
            yield ("corruption", name, str(severity)), corrupted
    few = images[: MOST["sequence"]]
    for name in perturbations.names(images.shape[1]):
        frames = perturbations.frames(few, name, rows=np.arange(len(few)), seed=SEED)
        yield ("sequence", name, ""), np.stack(list(frames), axis=1)
    few = images[: MOST["encoding"]]
    for encoding in ("png", "jpeg"):
        yield ("encoding", encoding, ""), np.stack([decode(encode(image, encoding)) for image in few])


def _report(differences):
    print("| images | operation | severity | n | mean difference | largest | values that differ, % |")
    print("|---|---|---:|---:|---:|---:|---:|")
    for (images, (_, name, severity)), found in differences.items():
        figures = f"{found.mean.mean():.2f} ({found.mean.std(ddof=1):.2f}) | {found.largest.max():.0f}"
        share = f"{100 * found.share.mean():.1f} ({100 * found.share.std(ddof=1):.1f})"
        print(f"| {images} | {name.replace('_', ' ')} | {severity} | {len(found.mean)} | {figures} | {share} |")


if __name__ == "__main__":
    console.use_utf8()
    main()

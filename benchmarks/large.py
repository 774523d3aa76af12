"""Memory and speed of the stages on data sets larger than memory should hold, made for the purpose.

python -m benchmarks.large                             # all sets: an hour or two, 20 GB of disk
python -m benchmarks.large --images 10000 --side 32    # one
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from benchmarks.harness import machine
from benchmarks.stages import copy_tree
from commands import new_parser
from commands import preset as presets
from noisy_student.runtime import console
from noisy_student.settings import params

SETS = ((10_000, 32), (100_000, 32), (1_000_000, 32), (20_000, 224))
CLASSES = 10
TESTED = 1000  # images; as many validate, twice as many have labels
STEPS = 200
BATCH = {32: 128, 224: 16}  # by side: at 224 pixels the activations of more would take the memory
INTERVAL = 0.02  # seconds between two looks at a process's memory


def make_images(root, number, side):
    """Write train/ and test/: smooth random images, all different, PNG at 32 pixels, JPEG above."""
    import cv2

    options = {"suffix": ".png", "flags": [cv2.IMWRITE_PNG_COMPRESSION, 1]}
    if side > 64:
        options = {"suffix": ".JPEG", "flags": [cv2.IMWRITE_JPEG_QUALITY, 90]}

    def write(folder, label, rows):
        folder.mkdir(parents=True)
        for row in rows:
            rng = np.random.default_rng(row)
            small = rng.integers(0, 256, (6, 6, 3), np.uint8)
            small[label % 6] //= 4  # a class is a dark row
            image = cv2.resize(small, (side, side), interpolation=cv2.INTER_CUBIC)
            cv2.imwrite(str(folder / f"{row:08d}{options['suffix']}"), image, options["flags"])

    with ThreadPoolExecutor() as pool:
        for split, rows in (("train", range(number)), ("test", range(number, number + TESTED))):
            parts = np.array_split(rows, CLASSES)
            list(pool.map(lambda k, s=split, p=parts: write(root / s / f"class{k}", k, p[k]), range(CLASSES)))


def peak_memory(command, folder):
    """Run a command; return (seconds, the most anonymous memory that it and its children had, in bytes)."""
    began, peak = time.perf_counter(), 0
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    process = subprocess.Popen(command, cwd=folder, env=environment, stdout=sys.stderr)
    while process.poll() is None:
        peak = max(peak, _anonymous(process.pid))
        time.sleep(INTERVAL)
    if process.returncode:
        sys.exit(f"error: {' '.join(command)} failed")
    return time.perf_counter() - began, peak


def _anonymous(pid):
    """Bytes of anonymous memory of a process and its children; 0 if it is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    except OSError:
        return 0
    own = [int(line.split()[1]) for line in status.splitlines() if line.startswith("RssAnon")]
    return 1024 * sum(own) + sum(map(_anonymous, children))


def settings(number, side):
    """The digits' parameters with these images, in shards, and a short training."""
    parameters = presets.parameters("digits-100")
    held = number - 3 * TESTED
    parameters["data"] |= {
        "source": "folder",
        "root": "data/raw/large",
        "image_size": side,
        "store": "shards",
        "encoding": "png" if side <= 64 else "jpeg",
        "labelled": 2 * TESTED,
        "validation": TESTED,
        "test": None,
    }
    batch = BATCH[side]
    short = {"steps": STEPS, "validate_every": STEPS, "batch_size": batch}
    parameters["teacher"] |= short
    parameters["student"] |= short | {"mix": "ratio", "unlabelled_ratio": 1.0}
    parameters["pseudolabel"]["threshold"] = 0.0
    parameters["balance"]["on_empty"] = "skip"
    params.check(parameters)
    return parameters, {
        "prepare": number + TESTED,
        "teacher": STEPS * batch,
        "pseudolabel": held,
        "balance": held,
        "student": 2 * STEPS * batch,
    }


def measure(number, side):
    """Print a row for each stage."""
    parent = Path(tempfile.mkdtemp(prefix="large-"))
    try:
        folder = parent / "tree"
        folder.mkdir()
        copy_tree(folder)
        parameters, images = settings(number, side)
        text = (folder / "params.yaml").read_text(encoding="utf-8")
        (folder / "params.yaml").write_text(presets.rewrite(text, parameters), encoding="utf-8")
        make_images(folder / "data/raw/large", number, side)
        for stage, count in images.items():
            generation = ["gen1"] if stage in ("pseudolabel", "balance", "student") else []
            command = [sys.executable, "-m", f"stages.{stage}", *generation]
            seconds, peak = peak_memory(command, folder)
            print(
                f"| {number:,} of {side} x {side} | {stage} | {count:,} | {seconds:,.1f} | "
                f"{count / seconds:,.0f} | {peak / 2**20:,.0f} |",
                flush=True,
            )
    finally:
        shutil.rmtree(parent, ignore_errors=True)


def main():
    """Print the section of the report."""
    parser = new_parser("benchmarks.large", __doc__)
    parser.add_argument("--images", type=int, metavar="N", help=f"how many, at least {4 * TESTED}")
    parser.add_argument("--side", type=int, default=32, choices=BATCH, help="pixels; default: 32")
    arguments = parser.parse_args()
    if arguments.images is not None and arguments.images < 4 * TESTED:
        parser.error(f"--images {arguments.images}: give at least {4 * TESTED}")
    print("## Data larger than memory\n")
    print(
        "`python -m benchmarks.large`: generated images in folders by class, kept in shards (PNG at 32\n"
        f"pixels, JPEG at 224); ResNet-8 of width 16, {STEPS} steps of {BATCH[32]} ({BATCH[224]})\n"
        "labelled and, for the student, as many pseudo-labelled images. Each stage runs by itself,\n"
        "start of Python and of TensorFlow included; memory is anonymous memory (not files' pages),\n"
        f"looked at every {1000 * INTERVAL:.0f} ms.\n"
    )
    print(machine("tensorflow", "keras", "numpy", "opencv-python-headless"), "\n")
    print("| data set | stage | images | s | images/s | peak MiB |\n|---|---|---:|---:|---:|---:|")
    for number, side in SETS if arguments.images is None else [(arguments.images, arguments.side)]:
        measure(number, side)


if __name__ == "__main__":
    console.use_utf8()
    main()

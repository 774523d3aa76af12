"""`python -m noisy_student predict`: speed beside the bare model and its exports, memory by the number of files.

python -m benchmarks.predict    # speed on 20,000 images, memory of folders of 1,000 and 100,000 files: minutes

Needs requirements/requirements-export.in for ONNX Runtime and OpenVINO; without them their rows say so.
"""

import argparse
import functools
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.harness import MissingRival, compare, machine, table
from benchmarks.labelling import SIDE, bare, build_model, make_pool, one_by_one
from commands import new_parser
from noisy_student.runtime import console

NETWORK, COUNT = ("resnet", 8, 16), 20_000
OURS, BARE = "predict --csv, images decoded already", "bare forward pass"
FILES = (1_000, 100_000)
CLASSES = tuple(f"class {k}" for k in range(10))


def described_model():
    """The network, and what its file would say."""
    model = build_model(*NETWORK)
    from noisy_student.inference.description import Description

    return model, Description(name="student", classes=CLASSES, image_size=SIDE, resize="squash")


def ours(pool):
    """Contestant: all that `predict --csv` does but reading and decoding."""
    model, described = described_model()
    from noisy_student.cli import predict
    from noisy_student.deployment import predicting
    from noisy_student.runtime.types import Pixels

    images: Pixels = np.array(np.load(pool, mmap_mode="r"))
    predictor = predicting.FilePredictor(model, described)
    names = [f"photos/{row:06}.png" for row in range(len(images))]

    def decoded(files):
        for row in range(0, len(images), size):
            yield (names[row : row + size], images[row : row + size]), images[row : row + size]

    size = predictor._predictor.size
    predictor._batches = decoded
    target = Path(pool).with_name("out.csv")
    arguments = argparse.Namespace(csv=target, top=None, threshold=None)

    def portion():
        with predict._writer(arguments, described.classes) as write:
            for batch in predictor([]):
                write(batch)
        return len(images)

    portion.note = f"batches of {size}"
    return portion


def exported(pool, name):
    """Contestant: an export in its own runtime, at the best of six batch sizes, on one batch again and again."""
    model, described = described_model()
    from noisy_student.deployment.exporting import check_packages
    from noisy_student.deployment.formats import module_of
    from noisy_student.runtime.errors import UserError

    try:
        check_packages(name, int8=False)
    except UserError as error:
        raise MissingRival(str(error)) from error
    module, images = module_of(name), np.array(np.load(pool, mmap_mode="r"))
    path = Path(pool).with_name(f"model{module.SUFFIX}")
    module.write(model, path, described, None)
    run = module.reader(path)
    rates = {2**power: [] for power in range(3, 9)}
    for _ in range(3):
        for size, speeds in rates.items():
            began, done = time.perf_counter(), 0
            while time.perf_counter() - began < 0.3:
                run(images[:size])
                done += size
            speeds.append(done / (time.perf_counter() - began))
    best = max(rates, key=lambda size: statistics.median(rates[size]))
    steps = max(1, len(images) // best)

    def portion():
        for _ in range(steps):
            run(images[:best])
        return steps * best

    portion.note = f"batches of {best}, the best of 8 to 256"
    return portion


def peak_memory(count):
    """(peak of RssAnon in MiB, files a second) of the whole command on a folder of so many small PNG files."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "benchmarks.predict", "--make", folder, str(count)], check=True)
        options = ["predict", f"{folder}/model.keras", f"{folder}/photos", "--csv", f"{folder}/out.csv"]
        began, most = time.perf_counter(), 0
        process = subprocess.Popen([sys.executable, "-m", "noisy_student", *options], stderr=subprocess.DEVNULL)
        while process.poll() is None:
            most = max(most, _anonymous(process.pid))
            time.sleep(0.02)
        if process.returncode:
            raise RuntimeError(f"predict ended with status {process.returncode}")
        return most, count / (time.perf_counter() - began)


def _anonymous(process):
    try:
        status = Path(f"/proc/{process}/status").read_text(encoding="ascii")
    except OSError:
        return 0
    found = re.search(r"RssAnon:\s+(\d+) kB", status)
    return int(found[1]) / 1024 if found else 0


def make(folder, count):
    """Write a described model and so many image files."""
    from PIL import Image

    from noisy_student.inference.saving import save

    model, described = described_model()
    save(model, folder / "model.keras", described)
    (folder / "photos").mkdir()
    rng = np.random.default_rng(0)
    for row in range(count):
        Image.fromarray(rng.integers(0, 256, (SIDE, SIDE, 3), np.uint8)).save(folder / f"photos/{row:06}.png")


def main():
    """Print the tables as Markdown."""
    parser = new_parser("benchmarks.predict", __doc__)
    parser.add_argument("--make", nargs=2, metavar=("FOLDER", "COUNT"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.make:
        make(Path(arguments.make[0]), int(arguments.make[1]))
        return
    print("## Predicting\n\n`python -m benchmarks.predict`\n")
    print(machine("tensorflow", "keras", "numpy"))
    with tempfile.TemporaryDirectory() as folder:
        pool = make_pool(folder, COUNT)
        contestants = {
            OURS: functools.partial(ours, pool),
            BARE: functools.partial(bare, NETWORK, pool),
            "ONNX Runtime on the export": functools.partial(exported, pool, "onnx"),
            "OpenVINO on the export": functools.partial(exported, pool, "openvino"),
            "model.predict one by one": functools.partial(one_by_one, NETWORK, pool),
        }
        print(f"\n### ResNet-8, width 16, {SIDE}x{SIDE}, float32, {COUNT:,} images\n")
        print(table(compare(contestants), unit="images/s", reference=BARE))
    print(f"\n### Memory: a folder of PNG files of {SIDE}x{SIDE} pixels, the whole command\n")
    print("| files | highest RssAnon, MiB | files/s, start included |\n|---:|---:|---:|")
    for count in FILES:
        memory, rate = peak_memory(count)
        print(f"| {count:,} | {memory:,.0f} | {rate:,.0f} |", flush=True)


if __name__ == "__main__":
    console.use_utf8()
    main()

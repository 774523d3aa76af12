"""`python -m noisy_student predict`: speed beside the bare model and its exports, memory by the number of files.

python -m benchmarks.predict            # speed on 20,000 images, memory of folders of 1,000 and 100,000 files: minutes
python -m benchmarks.predict --small    # a tenth of both, to try it

Needs requirements/requirements-export.in for ONNX Runtime and OpenVINO; without them their rows say so.
"""

import argparse
import functools
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

import numpy as np

from benchmarks.harness import MissingRival, compare, machine, table
from benchmarks.labelling import SIDE, anonymous_memory, bare, build_model, make_pool, one_by_one
from commands import new_parser
from noisy_student.runtime import console

NETWORK, COUNT = ("resnet", 8, 16), 20_000
OURS, BARE, SINGLY = "predict --csv, images decoded already", "bare forward pass", "model.predict one by one"
EXPORTS = {"onnx": "ONNX Runtime on the export", "openvino": "OpenVINO on the export"}
BY_EXPORT = {name: f"predict --csv on the {name} export" for name in EXPORTS}
LEAST = {BARE: 0.9, SINGLY: 5}  # of the ratio of `OURS` to each
LEAST_BY_EXPORT = 0.8  # of the ratio of the faster of `BY_EXPORT` to the faster of `EXPORTS`
MOST_MEMORY = 1.1  # of the ratio of the peaks
FILES = (1_000, 100_000)
CLASSES = tuple(f"class {k}" for k in range(10))


def described_model():
    """The network, and what its file would say."""
    model = build_model(*NETWORK)
    from noisy_student.inference.description import Description

    return model, Description(name="student", classes=CLASSES, image_size=SIDE, resize="squash")


def ours(pool, export=None):
    """Contestant: all that `predict --csv` does but opening, decoding and resizing the files."""
    from noisy_student.cli import predict
    from noisy_student.data.images import Reading
    from noisy_student.deployment import predicting, runtimes
    from noisy_student.runtime.progress import bar
    from noisy_student.runtime.types import Pixels

    images: Pixels = np.array(np.load(pool, mmap_mode="r"))
    opened = runtimes.open_any(write_export(pool, export)) if export else runtimes.of_keras(*described_model())
    predictor = predicting.FilePredictor(opened)
    decoded = [(f"photos/{row:06}.png", Reading(image, None, None)) for row, image in enumerate(images)]
    predicting.readings = lambda files, **ways: iter(decoded)
    arguments = argparse.Namespace(csv=Path(pool).with_name("out.csv"), top=None, threshold=None)

    def portion():
        with (
            predict._writer(arguments, CLASSES) as write,
            bar(total=None, name="predict", unit="image", brief=True) as counted,
        ):
            for batch in predictor([]):
                write(batch)
                counted.update(len(batch.names))
        return len(images)

    portion.note = f"batches of {opened.size}, made of single images; the table is on the disk at the end"
    return portion


def exported(pool, name):
    """Contestant: an export in its own runtime on all cores, one batch of the best of six sizes again and again."""
    from noisy_student.deployment.formats import module_of

    run, images = module_of(name).reader(write_export(pool, name)).run, np.array(np.load(pool, mmap_mode="r"))
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

    portion.note = f"one batch of {best} again and again, the best of 8 to 256"
    return portion


def write_export(pool, name):
    """Write the network in a format beside the pool, and return its path."""
    model, described = described_model()
    from noisy_student.deployment import exporting
    from noisy_student.deployment.formats import module_of
    from noisy_student.runtime.errors import UserError

    try:
        exporting.check_packages(name, int8=False)
    except UserError as error:
        raise MissingRival(str(error)) from error
    module = module_of(name)
    path = Path(pool).with_name(f"{uuid.uuid4()}{module.SUFFIX}")
    with exporting._quietly():  # standard output is the report
        module.write(model, path, described, None)
    return path


def ratios(results):
    """A table of what `OURS` is to the others, beside what it shall be at least."""
    rates = {result.name: result.median for result in results}
    ours, bare = (
        max((rates[each] for each in names.values() if rates[each]), default=None) for names in (BY_EXPORT, EXPORTS)
    )
    rows = [("predict", rates[OURS], name, rates[name], least) for name, least in LEAST.items()]
    rows.append(("predict on an export", ours, "the faster of the exports alone", bare, LEAST_BY_EXPORT))
    rows.append(("predict on an export", ours, "predict on the model's file", rates[OURS], ""))
    lines = ["| speed of | beside | ratio | at least |", "|---|---|---:|---:|"]
    for what, own, beside, other, least in rows:
        ratio = f"{own / other:.2f}" if own and other else "not run"
        lines.append(f"| {what} | {beside} | {ratio} | {least} |")
    return "\n".join(lines)


def peak_memory(count):
    """(peak of RssAnon in MiB, files a second) of the whole command on a folder of so many small PNG files."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "benchmarks.predict", "--make", folder, str(count)], check=True)
        options = ["predict", f"{folder}/model.keras", f"{folder}/photos", "--csv", f"{folder}/out.csv"]
        began, most = time.perf_counter(), 0
        command, nowhere = [sys.executable, "-m", "noisy_student", *options], subprocess.DEVNULL
        process = subprocess.Popen(command, stdout=nowhere, stderr=nowhere)
        while process.poll() is None:
            most = max(most, anonymous_memory(process.pid))
            time.sleep(0.02)
        if process.returncode:
            raise RuntimeError(f"predict ended with status {process.returncode}")
        return most, count / (time.perf_counter() - began)


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
    parser.add_argument("--small", action="store_true", help="a tenth of the images and files")
    parser.add_argument("--make", nargs=2, metavar=("FOLDER", "COUNT"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.make:
        make(Path(arguments.make[0]), int(arguments.make[1]))
        return
    print("## Predicting\n\n`python -m benchmarks.predict`\n")
    print(machine("tensorflow", "keras", "numpy"))
    part = 10 if arguments.small else 1
    with tempfile.TemporaryDirectory() as folder:
        pool = make_pool(folder, COUNT // part)
        contestants = {
            OURS: functools.partial(ours, pool),
            BARE: functools.partial(bare, NETWORK, pool),
            **{title: functools.partial(ours, pool, name) for name, title in BY_EXPORT.items()},
            **{title: functools.partial(exported, pool, name) for name, title in EXPORTS.items()},
            SINGLY: functools.partial(one_by_one, NETWORK, pool),
        }
        print(f"\n### ResNet-8, width 16, {SIDE}x{SIDE}, float32, {COUNT // part:,} images\n")
        results = compare(contestants)
        print(table(results, unit="images/s", reference=BARE), ratios(results), sep="\n\n")
    print(f"\n### Memory: a folder of PNG files of {SIDE}x{SIDE} pixels, the whole command\n")
    print("| files | highest RssAnon, MiB | files/s, start included |\n|---:|---:|---:|")
    peaks = []
    for count in FILES:  # a short run's peak depends on which threads happened to work: the median of three
        runs = sorted(peak_memory(count // part) for _ in range(3 if count == FILES[0] else 1))
        memory, rate = runs[len(runs) // 2]
        peaks.append(memory)
        print(f"| {count // part:,} | {memory:,.0f} | {rate:,.0f} |", flush=True)
    print(f"\nRatio of the two peaks: {peaks[1] / peaks[0]:.2f} (at most {MOST_MEMORY})")


if __name__ == "__main__":
    console.use_utf8()
    main()

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
from pathlib import Path

import numpy as np

from benchmarks.harness import MissingRival, compare, machine, table
from benchmarks.labelling import SIDE, anonymous_memory, bare, build_model, make_pool, one_by_one
from commands import new_parser
from noisy_student.runtime import console, environment

NETWORK, COUNT = ("resnet", 8, 16), 20_000
OURS, BARE, SINGLY = "predict --csv, images decoded already", "bare forward pass", "model.predict one by one"
EXPORTS = {"onnx": "ONNX Runtime on the export", "openvino": "OpenVINO on the export"}
LEAST = {BARE: 0.9, "the faster of the exports": 0.8, SINGLY: 5}  # of the ratio of `OURS` to each
MOST_MEMORY = 1.1  # of the ratio of the peaks
FILES = (1_000, 100_000)
CLASSES = tuple(f"class {k}" for k in range(10))


def described_model():
    """The network, and what its file would say."""
    model = build_model(*NETWORK)
    from noisy_student.inference.description import Description

    return model, Description(name="student", classes=CLASSES, image_size=SIDE, resize="squash")


def ours(pool):
    """Contestant: all that `predict --csv` does but opening, decoding and resizing the files."""
    model, described = described_model()
    from noisy_student.cli import predict
    from noisy_student.data.images import Reading
    from noisy_student.deployment import predicting
    from noisy_student.runtime.progress import bar
    from noisy_student.runtime.types import Pixels

    images: Pixels = np.array(np.load(pool, mmap_mode="r"))
    predictor = predicting.FilePredictor(model, described)
    decoded = [(f"photos/{row:06}.png", Reading(image, None, None)) for row, image in enumerate(images)]
    predicting.readings = lambda files, **ways: iter(decoded)
    arguments = argparse.Namespace(csv=Path(pool).with_name("out.csv"), top=None, threshold=None)

    def portion():
        with (
            predict._writer(arguments, described.classes) as write,
            bar(total=None, name="predict", unit="image", brief=True) as counted,
        ):
            for batch in predictor([]):
                write(batch)
                counted.update(len(batch.names))
        return len(images)

    portion.note = f"batches of {predictor._predictor.size}, made of single images; the table is on the disk at the end"
    return portion


def exported(pool, name):
    """Contestant: an export in its own runtime on all cores, one batch of the best of six sizes again and again."""
    model, described = described_model()
    from noisy_student.deployment import exporting
    from noisy_student.deployment.formats import module_of
    from noisy_student.runtime.errors import UserError

    try:
        exporting.check_packages(name, int8=False)
    except UserError as error:
        raise MissingRival(str(error)) from error
    module, images = module_of(name), np.array(np.load(pool, mmap_mode="r"))
    path = Path(pool).with_name(f"model{module.SUFFIX}")
    with exporting._quietly():  # standard output is the report
        module.write(model, path, described, None)
    run = RUNTIMES[name](path)
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


def onnx_runtime(path):
    """The file in ONNX Runtime, which by itself takes one thread for two cores that share their units."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = environment.threads()
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda images: session.run(["probs"], {"images": images})[0]


def openvino_runtime(path):
    """The file in OpenVINO, in float32."""
    import openvino

    threads = {"INFERENCE_NUM_THREADS": environment.threads(), "ENABLE_HYPER_THREADING": True}
    options = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY", **threads}
    compiled = openvino.Core().compile_model(path, "CPU", options)
    return lambda images: compiled(images)["probs"]


RUNTIMES = {"onnx": onnx_runtime, "openvino": openvino_runtime}


def ratios(results):
    """A table of what `OURS` is to the others, beside what it shall be at least."""
    rates = {result.name: result.median for result in results}
    exports = [rates[name] for name in EXPORTS.values() if rates[name]]
    rates["the faster of the exports"] = max(exports, default=None)
    lines = ["| predict to | ratio | at least |", "|---|---:|---:|"]
    for name, least in LEAST.items():
        ratio = f"{rates[OURS] / rates[name]:.2f}" if rates[name] else "not run"
        lines.append(f"| {name} | {ratio} | {least} |")
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
            **{title: functools.partial(exported, pool, name) for name, title in EXPORTS.items()},
            SINGLY: functools.partial(one_by_one, NETWORK, pool),
        }
        print(f"\n### ResNet-8, width 16, {SIDE}x{SIDE}, float32, {COUNT // part:,} images\n")
        results = compare(contestants)
        print(table(results, unit="images/s", reference=BARE), ratios(results), sep="\n\n")
    print(f"\n### Memory: a folder of PNG files of {SIDE}x{SIDE} pixels, the whole command\n")
    print("| files | highest RssAnon, MiB | files/s, start included |\n|---:|---:|---:|")
    peaks = []
    for count in FILES:
        memory, rate = peak_memory(count // part)
        peaks.append(memory)
        print(f"| {count // part:,} | {memory:,.0f} | {rate:,.0f} |", flush=True)
    print(f"\nRatio of the two peaks: {peaks[1] / peaks[0]:.2f} (at most {MOST_MEMORY})")


if __name__ == "__main__":
    console.use_utf8()
    main()

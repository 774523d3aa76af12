"""Labelling a pool of images: speed beside three rivals, and memory by the size of the pool.

python -m benchmarks.labelling          # pools of 10,000 and 100,000 images: about 5 minutes
python -m benchmarks.labelling --full   # and of 1,000,000 (3 GB in the temporary folder): 3 minutes more
"""

import functools
import multiprocessing
import os
import re
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

from benchmarks.harness import compare, machine, table
from commands import new_parser
from noisy_student.runtime import console

SIDE = 32
NETWORKS = {"ResNet-8, width 16": ("resnet", 8, 16, 20_000), "ResNet-20, width 16": ("resnet", 20, 16, 8_000)}
BARE, OURS = "bare forward pass", "ours"
BATCH = 128  # of the memory's measurement
SAMPLE = 0.02  # seconds between two looks at the memory


def build_model(name, depth, width):
    """An inference model for 10 classes on TensorFlow, without TensorFlow's messages.

    Returns:
        A `keras.Model` for images of 32x32 pixels.
    """
    from noisy_student import backends

    backends.select("tensorflow")
    from noisy_student.models.build import build
    from noisy_student.settings.schema import ModelParams

    backends.current().make_deterministic()
    keys = ("wide_depth", "widening_factor") if name == "wide_resnet" else ("depth", "width")
    model = ModelParams(name=name, **dict(zip(keys, (depth, width), strict=True)))
    return build(model, mode="inference", classes=10, image_size=SIDE, seed=1)


def make_pool(folder, count):
    """Write `count` random images into `folder` and return the file's path."""
    from noisy_student.runtime.files import array_writer

    path, rng = Path(folder, f"pool-{count}.npy"), np.random.default_rng(0)
    with array_writer(path, shape=(count, SIDE, SIDE, 3), dtype="uint8") as pool:
        for row in range(0, count, 10_000):
            piece = pool[row : row + 10_000]
            piece[...] = rng.integers(0, 256, piece.shape, dtype=np.uint8)
    return path


def ours(network, pool):
    """Contestant: the stage pseudolabel's own way, from a mapped file to a mapped file."""
    model = build_model(*network)
    from noisy_student.runtime.files import read_array

    images, target = read_array(pool), Path(pool).with_name("probs.npy")

    def portion():
        _label(model, images, target, batch_size="auto")
        return len(images)

    portion.note = f"batches of {_automatic(model)}, tracing, reading and writing included"
    return portion


def _label(model, images, target, *, batch_size):
    from noisy_student.inference.predict import predict_probs
    from noisy_student.runtime.files import array_writer

    with array_writer(target, shape=(len(images), 10), dtype="float32") as probs:
        predict_probs(model, images, batch_size=batch_size, out=probs)


def _automatic(model):
    from noisy_student import backends
    from noisy_student.inference.predict import automatic_batch_size

    return automatic_batch_size(model, accelerator=backends.current().describe_devices() != ["CPU"])


def bare(network, pool):
    """Contestant: the model alone, on one constant batch of the best of ten sizes."""
    model = build_model(*network)
    import tensorflow as tf

    forward = tf.function(lambda images: model(images, training=False), autograph=False)
    images, rates = np.load(pool, mmap_mode="r"), {2**power: [] for power in range(1, 11)}
    for _ in range(5):  # in turns, so that a slow spell of the machine chooses no size
        for size, speeds in rates.items():
            speeds.append(_rate(forward, tf.constant(images[:size])))
    best = max(rates, key=lambda size: statistics.median(rates[size]))
    batch, steps = tf.constant(images[:best]), max(1, len(images) // best)

    def portion():
        for _ in range(steps):
            forward(batch).numpy()
        return steps * best

    portion.note = f"one batch of {best} again and again, in memory already; the best of 2 to 1,024"
    return portion


def _rate(forward, batch, seconds=0.3):
    forward(batch)  # traced
    began, steps = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        forward(batch).numpy()
        steps += 1
    return steps * len(batch) / (time.perf_counter() - began)


def keras_predict(network, pool):
    """Contestant: Keras' own loop at our batch size, on images that are in memory already."""
    model = build_model(*network)
    images, size = np.array(np.load(pool, mmap_mode="r")), _automatic(model)

    def portion():
        return len(model.predict(images, batch_size=size, verbose=0))

    return portion


def one_by_one(network, pool):
    """Contestant: the article's loop, `model.predict` for each image."""
    model, images = build_model(*network), np.array(np.load(pool, mmap_mode="r")[:50])

    def portion():
        return len([model.predict(image[None], verbose=0) for image in images])

    return portion


def peak_memory(count):
    """Label `count` images with ResNet-8 in a fresh process.

    Returns:
        (peak of RssAnon in MiB, images a second).
    """
    with tempfile.TemporaryDirectory() as folder:
        pool = make_pool(folder, count)
        context = multiprocessing.get_context("spawn")
        here, there = context.Pipe()
        process = context.Process(target=_label_and_watch, args=(there, pool))
        process.start()
        there.close()  # so that a process that dies ends the waiting
        result = here.recv()
        process.join()
    return result


def _label_and_watch(pipe, pool):
    model, done, seen = build_model("resnet", 8, 16), threading.Event(), [0.0]

    def watch():
        while not done.wait(SAMPLE):
            seen.append(anonymous_memory())

    watcher = threading.Thread(target=watch)
    watcher.start()
    images, began = np.load(pool, mmap_mode="r"), time.perf_counter()
    _label(model, images, Path(pool).with_name("probs.npy"), batch_size=BATCH)
    seconds = time.perf_counter() - began
    done.set()
    watcher.join()
    pipe.send((max(seen), len(images) / seconds))


def anonymous_memory(process="self"):
    """RssAnon of a process in MiB: what it holds itself, without the pages of mapped files; 0 if it has ended."""
    try:
        status = Path(f"/proc/{process}/status").read_text(encoding="ascii")
    except OSError:
        return 0
    found = re.search(r"RssAnon:\s+(\d+) kB", status)
    return int(found[1]) / 1024 if found else 0


def main():
    """Print the tables as Markdown."""
    parser = new_parser("benchmarks.labelling", __doc__)
    parser.add_argument("--full", action="store_true", help="measure the memory at 1,000,000 images too")
    full = parser.parse_args().full
    print(f"## Labelling\n\n`python -m benchmarks.labelling{' --full' if full else ''}`\n")
    print(machine("tensorflow", "keras", "numpy"))
    contestants = {
        OURS: ours,
        BARE: bare,
        "Keras' model.predict, our batch size": keras_predict,
        "model.predict one by one (the article)": one_by_one,
    }
    with tempfile.TemporaryDirectory() as folder:
        for title, (*network, count) in NETWORKS.items():
            print(f"measuring {title}", file=sys.stderr)
            pool = make_pool(folder, count)
            factories = {name: functools.partial(way, network, pool) for name, way in contestants.items()}
            print(f"\n### {title}, {SIDE}x{SIDE}, float32, {count:,} images\n")
            print(table(compare(factories), unit="images/s", reference=BARE))
            os.unlink(pool)
    print(f"\n### Memory: ResNet-8, width 16, {SIDE}x{SIDE}, batch {BATCH}\n")
    print("| images | pool, MiB | highest RssAnon, MiB | images/s |\n|---:|---:|---:|---:|")
    for count in (10_000, 100_000, *([1_000_000] if full else [])):
        print(f"measuring the memory at {count:,} images", file=sys.stderr)
        memory, rate = peak_memory(count)
        print(f"| {count:,} | {count * SIDE**2 * 3 / 2**20:,.0f} | {memory:,.0f} | {rate:,.0f} |", flush=True)


if __name__ == "__main__":
    console.use_utf8()
    main()

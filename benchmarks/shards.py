"""Labelling a pool by shards: workers of this machine and of Ray beside the bare forward pass; the driver's memory.

python -m benchmarks.shards            # 1,000,000 images in 200 shards (3 GB in the temporary folder): an hour
python -m benchmarks.shards --trial    # 4,000 in 8, to try it: its figures say nothing

Needs requirements-ray.txt; without it Ray's rows say so.
"""

import argparse
import functools
import hashlib
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.harness import compare, machine
from benchmarks.labelling import BARE, SAMPLE, anonymous_memory, bare, make_pool
from benchmarks.predict import CLASSES, NETWORK, described_model
from commands import new_parser
from commands import preset as presets
from noisy_student.executors.settings import VARIABLE
from noisy_student.runtime import console, layout
from noisy_student.runtime.environment import threads
from noisy_student.runtime.files import write_json

WORKERS, TURNS = 2, 3
EXECUTORS = {"local": f"workers={WORKERS}", "Ray": f"name=ray,workers={WORKERS}"}
LEAST = {"local": 0.9, "Ray": 0.85}  # of images a second, once warm, to those of the bare forward pass
MOST_MEMORY, FEW = 1.2, 10_000  # of the ratio of the driver's peaks, to that of so many images
VALUES = Path("values.json")


@dataclass(frozen=True)
class Run:
    """A labelling of the pool.

    Attributes:
        whole: images a second from the start of the driver to its end.
        warm: of all workers at the median shard's time.
        peak: anonymous memory of the driver, MiB.
        digest: of all labels.
    """

    whole: float
    warm: float
    peak: float
    digest: str


def lay_out(folder, count, shard):
    """Write a pool of so many images, and a teacher for it, as stages have them."""
    from noisy_student.inference.saving import save

    unlabelled = folder / layout.UNLABELLED
    unlabelled.mkdir(parents=True)
    make_pool(unlabelled, count).rename(unlabelled / "images.npy")
    write_json(folder / layout.CLASSES, list(CLASSES))
    model, described = described_model()
    save(model, folder / layout.TEACHER.path, described)
    values = presets.parameters("digits")
    values["pseudolabel"] |= {"shard_images": shard, "threads": max(1, threads() // WORKERS)}
    write_json(folder / VALUES, values)


def label():
    """Label the pool of this folder by the executor that EXECUTOR names; print what the record of the run has."""
    from noisy_student import backends
    from noisy_student.settings.params import check

    settings = check(json.loads(VALUES.read_text(encoding="utf-8")))
    backends.select(settings.backend)
    from noisy_student.steps.labelling import label_pool

    print(json.dumps(label_pool(settings, "gen1")))


def run(folder, executor):
    """A `Run` in a process of its own."""
    above = str(Path(__file__).parents[1])
    environment = {**os.environ, VARIABLE: executor, "PYTHONPATH": above}
    command, began, peak = [sys.executable, "-m", "benchmarks.shards", "--label"], time.perf_counter(), 0
    with tempfile.TemporaryFile("w+", encoding="utf-8") as said:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=said, stderr=subprocess.DEVNULL)
        while process.poll() is None:
            peak = max(peak, anonymous_memory(process.pid))
            time.sleep(SAMPLE)
        seconds = time.perf_counter() - began
        if process.returncode:
            raise RuntimeError(f"labelling by {executor} ended with status {process.returncode}")
        said.seek(0)
        facts = json.loads(said.read().splitlines()[-1])
    files, digest = sorted((folder / layout.pseudo_labels("gen1")).iterdir()), hashlib.sha256()
    for path in files:
        digest.update(path.read_bytes())
    images = facts["images"]
    warm = WORKERS * images / facts["shards"] / facts["seconds_a_shard"]["median"]
    return Run(images / seconds, warm, peak, digest.hexdigest())


def installed():
    """The names of `EXECUTORS` that can run here."""
    return [name for name in EXECUTORS if name != "Ray" or importlib.util.find_spec("ray")]


def measure(count, shard, turns, *, beside=True):
    """{name: its runs}, and the rates of the bare forward pass if it runs beside them, in turns."""
    runs, rates = {name: [] for name in installed()}, []
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        lay_out(folder, count, shard)
        pool = folder / layout.UNLABELLED / "images.npy"
        cores = WORKERS * max(1, threads() // WORKERS)
        for _ in range(turns):
            if beside:
                (alone,) = compare({BARE: functools.partial(bare, NETWORK, pool)}, rounds=1, cores=cores)
                rates.append(alone.median)
            for name, own in runs.items():
                own.append(run(folder, EXECUTORS[name]))
    return runs, rates


def speed_table(runs, rates):
    """Markdown: each executor beside the bare forward pass."""
    lines = [f"| {WORKERS} workers | images/s, warm | with the start | warm: ratio to the {BARE} | at least |"]
    lines.append("|---|---:|---:|---:|---:|")
    for name in EXECUTORS:
        if name not in runs:
            lines.append(f"| {name} | not run: it is not installed | | | {LEAST[name]} |")
            continue
        warm, whole = ([getattr(one, kind) for one in runs[name]] for kind in ("warm", "whole"))
        ratio = statistics.median(own / alone for own, alone in zip(warm, rates, strict=True))
        numbers = f"{statistics.median(warm):,.0f} | {statistics.median(whole):,.0f} | {ratio:.2f}"
        lines.append(f"| {name} | {numbers} | {LEAST[name]} |")
    return "\n".join(lines)


def memory_table(many, few, count, few_count):
    """Markdown: the driver's peaks at two sizes of the pool."""
    lines = [
        f"| the driver's peak, MiB | {few_count:,} images | {count:,} | ratio | at most |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, own in many.items():
        least, most = (statistics.median(one.peak for one in group) for group in (few[name], own))
        lines.append(f"| {name} | {least:,.0f} | {most:,.0f} | {most / least:.2f} | {MOST_MEMORY} |")
    return "\n".join(lines)


def main():
    """Print the tables as Markdown."""
    parser = new_parser("benchmarks.shards", __doc__)
    parser.add_argument("--trial", action="store_true", help="4,000 images in 8 shards, one turn")
    parser.add_argument("--label", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.label:
        label()
        return
    count, shards, turns, few_count = (4_000, 8, 1, 1_000) if arguments.trial else (1_000_000, 200, TURNS, FEW)
    print("## Labelling by shards\n\n`python -m benchmarks.shards`\n")
    print(machine("tensorflow", "keras", "numpy", "ray"))
    many, rates = measure(count, count // shards, turns)
    print(f"\n{count:,} images in {shards} shards, {turns} turns; the {BARE} on as many cores: ", end="")
    print(f"{statistics.median(rates):,.0f} images/s.\n\n{speed_table(many, rates)}\n")
    few, _ = measure(few_count, count // shards, 1, beside=False)
    print(memory_table(many, few, count, few_count))
    digests = {one.digest for own in many.values() for one in own}
    print(f"\nLabels: {'the same bytes' if len(digests) == 1 else f'{len(digests)} DIFFERENT files'} in all runs.")


if __name__ == "__main__":
    console.use_utf8()
    main()

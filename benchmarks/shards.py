"""Labelling a pool by shards on two workers, local and of Ray: speed, the driver's memory, and what survives kills.

python -m benchmarks.shards                # 1,000,000 images in 200 shards (3 GB in the temporary folder): all of it
python -m benchmarks.shards --part local   # one part of it, which adds to those before; the last one prints all
python -m benchmarks.shards --trial        # 8,000 in 16, to try it: its figures say nothing

Parts: local, ray (a turn of speed and memory each, beside the bare forward pass), kills-local, kills-ray, memory.
Needs requirements-ray.txt; without it Ray's rows say so.
"""

import argparse
import contextlib
import functools
import hashlib
import importlib.util
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from benchmarks.harness import compare, machine
from benchmarks.labelling import BARE, SAMPLE, anonymous_memory, bare, make_pool
from benchmarks.predict import CLASSES, NETWORK, described_model
from commands import new_parser
from commands import preset as presets
from noisy_student.executors.settings import VARIABLE
from noisy_student.runtime import console, layout
from noisy_student.runtime.environment import threads
from noisy_student.runtime.files import read_json, write_json

WORKERS, TURNS, KILLS = 2, 3, 10
EXECUTORS = {"local": f"workers={WORKERS}", "ray": f"name=ray,workers={WORKERS}"}
LEAST = {"local": 0.9, "ray": 0.85}  # of images a second, once warm, to those of the bare forward pass
MOST_MEMORY, FEW = 1.2, 10_000  # of the ratio of the driver's peaks, to that of so many images
COLD = 0.1  # of the shards are done before workers count as warm
BARE_IMAGES = 20_000  # of a turn of the bare forward pass
PARTS = (*EXECUTORS, *(f"kills-{name}" for name in EXECUTORS), "memory")
VALUES, SMALL_POOL, FOUND = "values.json", "bare.npy", "found.json"
DONE = "checkpoints/pseudolabel@gen1/*/shard-*.npy"  # shards of a labelling that is not at its end


def lay_out(folder, count, shard):
    """Write a pool of so many images, and a teacher for it, as stages have them; once."""
    if (folder / VALUES).exists():
        return
    from noisy_student.inference.saving import save

    unlabelled = folder / layout.UNLABELLED
    unlabelled.mkdir(parents=True, exist_ok=True)
    make_pool(unlabelled, count).rename(unlabelled / "images.npy")
    make_pool(folder, min(count, BARE_IMAGES)).rename(folder / SMALL_POOL)
    write_json(folder / layout.CLASSES, list(CLASSES))
    model, described = described_model()
    save(model, folder / layout.TEACHER.path, described)
    values = presets.parameters("digits")
    values["pseudolabel"] |= {"shard_images": shard, "threads": max(1, threads() // WORKERS)}
    write_json(folder / VALUES, values)  # at last: it says that all is there


def label():
    """Label the pool of this folder by the executor that EXECUTOR names; print what is known of it."""
    from noisy_student import backends
    from noisy_student.executors import running
    from noisy_student.settings.params import check

    ends, seconds = [], []

    class Timed(running.Report):
        def add(self, outcome):
            super().add(outcome)
            ends.append(time.perf_counter())
            seconds.append(outcome.facts["seconds"])

    running.Report = Timed
    settings = check(read_json(VALUES))
    backends.select(settings.backend)
    from noisy_student.steps.labelling import label_pool

    print(json.dumps(label_pool(settings, "gen1") | {"ends": ends, "seconds": seconds}))


class Driver:
    """The labelling of a folder's pool, in a process of its own."""

    def __init__(self, folder, executor):
        self.folder, self.executor, self.peak = folder, executor, 0
        environment = {**os.environ, VARIABLE: EXECUTORS[executor], "PYTHONPATH": str(Path(__file__).parents[1])}
        command = [sys.executable, "-m", "benchmarks.shards", "--label"]
        self.said, self.errors = (Path(folder, name) for name in ("said.txt", "errors.txt"))
        self.began = time.perf_counter()
        with self.said.open("wb") as output, self.errors.open("wb") as errors:
            self.process = subprocess.Popen(command, cwd=folder, env=environment, stdout=output, stderr=errors)

    def runs(self):
        """Whether it does; look at its memory, too."""
        self.peak = max(self.peak, anonymous_memory(self.process.pid))
        return self.process.poll() is None

    def facts(self):
        """What it says at its end, with the "whole" seconds and the "peak" of its anonymous memory in MiB."""
        while self.runs():
            time.sleep(SAMPLE)
        whole = time.perf_counter() - self.began
        if self.process.returncode:
            errors = self.errors.read_text(encoding="utf-8", errors="replace")
            raise RuntimeError(f"{self.executor}: status {self.process.returncode}\n{errors[-2000:]}")
        said = self.said.read_text(encoding="utf-8").splitlines()
        return json.loads(said[-1]) | {"whole": whole, "peak": self.peak}

    def done(self):
        """{name: (inode, when it was written)} of the shards that are whole."""
        return {path.name: _identity(path) for path in self.folder.glob(DONE)}

    def workers(self):
        """Processes that are at work on a shard."""
        found = []
        with contextlib.suppress(psutil.Error):
            for process in psutil.Process(self.process.pid).children(recursive=True):
                with contextlib.suppress(psutil.Error):  # it has ended
                    line = " ".join(process.cmdline())
                    if "noisy_student.executors.worker" in line or line.startswith("ray::_remote"):
                        found.append(process)
        return found


def _identity(path):
    facts = path.stat()
    return facts.st_ino, facts.st_mtime_ns


def digest(folder):
    """Of all labels, file by file."""
    found = hashlib.sha256()
    for path in sorted((folder / layout.pseudo_labels("gen1")).iterdir()):
        found.update(path.read_bytes())
    return found.hexdigest()


def turn(folder, executor):
    """Label all beside the bare forward pass, once."""
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)  # of one that was stopped
    alone = _bare(folder)
    facts = Driver(folder, executor).facts()
    ends, images = facts["ends"], facts["images"] / facts["shards"]
    cold = max(1, int(len(ends) * COLD))
    return {
        "bare": alone,
        "warm": (len(ends) - cold) * images / (ends[-1] - ends[cold - 1]),
        "with_start": facts["images"] / facts["whole"],
        "peak": facts["peak"],
        "digest": digest(folder),
        "images_a_shard": images,
        "seconds": [round(each, 4) for each in facts["seconds"]],
    }


def _bare(folder):
    """Images a second of the bare forward pass on as many cores."""
    cores = WORKERS * max(1, threads() // WORKERS)
    (alone,) = compare({BARE: functools.partial(bare, NETWORK, folder / SMALL_POOL)}, rounds=3, cores=cores)
    return alone.median


def kill_often(folder, executor, shards):
    """SIGKILL workers at random moments of a labelling, then its driver, begin again at once, and look."""
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    draws, kills = random.Random(0), min(KILLS, shards // 8)
    driver = Driver(folder, executor)
    for number in range(kills):
        _wait(driver, lambda: len(driver.done()) > shards * (number + 1) / (kills + 2) and driver.workers())  # noqa: B023
        time.sleep(draws.uniform(0, 0.5))
        with contextlib.suppress(psutil.NoSuchProcess):
            draws.choice(driver.workers()).kill()
    _wait(driver, lambda: len(driver.done()) > shards * (kills + 1) / (kills + 2))
    driver.process.kill()
    driver.process.wait()
    finished = driver.done()
    facts = Driver(folder, executor).facts()
    labels = folder / layout.pseudo_labels("gen1")
    again = [name for name, identity in finished.items() if _identity(labels / name) != identity]
    return {
        "kills": kills,
        "finished_before_the_driver_died": len(finished),
        "not_begun_again": facts["shards_done_before"],
        "done_again": len(again),
        "digest": digest(folder),
    }


def _wait(driver, condition):
    while not condition():
        if not driver.runs():
            driver.facts()
            raise RuntimeError(f"{driver.executor}: it ended before all kills were done; take a larger pool")
        time.sleep(SAMPLE)


def few_images(count, shard):
    """{executor: the driver's peak} for a small pool."""
    with tempfile.TemporaryDirectory() as made:
        lay_out(Path(made), count, shard)
        return {name: Driver(Path(made), name).facts()["peak"] for name in installed()}


def installed():
    """The names of `EXECUTORS` that can run here."""
    return [name for name in EXECUTORS if name != "ray" or importlib.util.find_spec("ray")]


def measure(folder, part, count, shards, few):
    """Do a part and add it to what was found before in this folder."""
    lay_out(folder, count, count // shards)
    path = folder / FOUND
    found = read_json(path) if path.exists() else {"turns": {}, "kills": {}, "few": {}}
    name = part.removeprefix("kills-")
    if part == "memory":
        found["few"] = few_images(few, count // shards)
    elif name not in installed():
        return found
    elif part == name:
        found["turns"].setdefault(name, []).append(turn(folder, name))
    else:
        found["kills"][name] = kill_often(folder, name, shards)
    write_json(path, found)
    return found


def speed_table(turns):
    """Markdown: each executor beside the bare forward pass."""
    lines = [f"| {WORKERS} workers | turns | images/s, warm | with the start | warm: ratio to the {BARE} | at least |"]
    lines.append("|---|---:|---:|---:|---:|---:|")
    for name in EXECUTORS:
        if not (own := turns.get(name)):
            lines.append(f"| {name} | not run | | | | {LEAST[name]} |")
            continue
        ratio = statistics.median(one["warm"] / one["bare"] for one in own)
        numbers = " | ".join(f"{statistics.median(one[key] for one in own):,.0f}" for key in ("warm", "with_start"))
        lines.append(f"| {name} | {len(own)} | {numbers} | {ratio:.2f} | {LEAST[name]} |")
    return "\n".join(lines)


def memory_table(turns, few, count, few_count):
    """Markdown: the driver's peaks at two sizes of the pool."""
    lines = [f"| the driver's peak, MiB | {few_count:,} images | {count:,} | ratio | at most |"]
    lines.append("|---|---:|---:|---:|---:|")
    for name in EXECUTORS:
        if name in few and name in turns:
            most = statistics.median(one["peak"] for one in turns[name])
            lines.append(f"| {name} | {few[name]:,.0f} | {most:,.0f} | {most / few[name]:.2f} | {MOST_MEMORY} |")
        else:
            lines.append(f"| {name} | not run | | | {MOST_MEMORY} |")
    return "\n".join(lines)


def kills_table(kills, shards):
    """Markdown: what came of the kills."""
    lines = ["| killed (SIGKILL) | shards done before the driver died | kept | done again | shards in the end |"]
    lines.append("|---|---:|---:|---:|---:|")
    for name in EXECUTORS:
        if own := kills.get(name):
            killed = f"{name}: {own['kills']} workers, then the driver"
            numbers = [own["finished_before_the_driver_died"], own["not_begun_again"], own["done_again"], shards]
            lines.append(f"| {killed} | {' | '.join(map(str, numbers))} |")
        else:
            lines.append(f"| {name}: not run | | | | |")
    return "\n".join(lines)


def same_bytes(found):
    """A sentence about the labels of all runs."""
    runs = [one for own in found["turns"].values() for one in own] + list(found["kills"].values())
    different = len({one["digest"] for one in runs})
    return f"Labels: {'the same bytes' if different == 1 else f'{different} DIFFERENT sets'} in all {len(runs)} runs."


def report(found, count, shards, few):
    """All tables, as Markdown."""
    bares = [one["bare"] for own in found["turns"].values() for one in own]
    rate = f"{statistics.median(bares):,.0f} images/s" if bares else "not run"
    sizes = {one["images_a_shard"] for own in found["turns"].values() for one in own}
    shards = round(count / sizes.pop()) if sizes else shards  # of whole batches, so that they may be fewer
    yield "## Labelling by shards\n\n`python -m benchmarks.shards`\n"
    yield machine("tensorflow", "keras", "numpy", "ray") + "\n"
    yield f"{count:,} images in {shards} shards; the {BARE} on as many cores: {rate}.\n"
    yield speed_table(found["turns"]) + "\n"
    yield memory_table(found["turns"], found["few"], count, few) + "\n"
    yield kills_table(found["kills"], shards) + "\n"
    yield same_bytes(found)


def main():
    """Print the tables as Markdown."""
    parser = new_parser("benchmarks.shards", __doc__)
    parser.add_argument("--part", choices=PARTS, help="this alone, in a folder that stays; default: all")
    parser.add_argument("--trial", action="store_true", help="8,000 images in 16 shards, one turn")
    parser.add_argument("--label", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.label:
        label()
        return
    sizes = (8_000, 16, 1_000) if arguments.trial else (1_000_000, 200, FEW)
    if arguments.part:
        folder = Path(tempfile.gettempdir(), f"noisy-student-shards-{sizes[0]}")
        found = measure(folder, arguments.part, *sizes)
        print(f"{folder} stays for the other parts: remove it in the end", file=sys.stderr)
    else:
        turns = 1 if arguments.trial else TURNS
        with tempfile.TemporaryDirectory() as made:
            for part in [*EXECUTORS] * turns + [*PARTS[len(EXECUTORS) :]]:
                print(f"measuring: {part}", file=sys.stderr)
                found = measure(Path(made), part, *sizes)
    for lines in report(found, *sizes):
        print(lines)


if __name__ == "__main__":
    console.use_utf8()
    main()

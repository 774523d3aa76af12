"""How every benchmark measures: each contestant in a process of its own, taking turns."""

import contextlib
import multiprocessing
import os
import platform
import re
import statistics
import subprocess
import sys
import time
import traceback
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata

from noisy_student.runtime import environment

ROUNDS = 7


class MissingRival(Exception):
    """A rival's package is not installed."""


@dataclass(frozen=True)
class Result:
    """What one contestant did.

    Attributes:
        name: of the contestant.
        rates: items a second, one a round.
        note: what the contestant says of itself, or why it did not run.
        cpu_rates: items a CPU second of all its threads, which other work on the machine disturbs less.
    """

    name: str
    rates: tuple
    note: str = ""
    cpu_rates: tuple = ()

    @property
    def median(self):
        """The median rate; None if it did not run."""
        return statistics.median(self.rates) if self.rates else None


def compare(contestants, *, rounds=ROUNDS, cores=None, environments=None):
    """Time contestants alternately, so that whatever else the machine does hits all alike.

    Each contestant lives in a process of its own: frameworks do not share threads, and only one of
    them works at any time.

    Args:
        contestants: {name: factory}; a factory is a picklable callable without arguments that prepares
            the work, warms up, and returns a callable that does one portion and returns how many
            items it did. It may raise MissingRival. A callable with an attribute `note` is quoted.
        rounds: turns of each.
        cores: CPU cores that each may use; None: all of the machine.
        environments: {name: variables} that a contestant's process is started with besides this one's.

    Returns:
        list of Result, in the order of `contestants`.
    """
    context = multiprocessing.get_context("spawn")
    workers = {}
    for name, factory in contestants.items():
        ours, theirs = context.Pipe()
        # no daemon, which could have no processes of its own; it ends when this one does and the pipe breaks
        process = context.Process(target=_work, args=(theirs, factory, cores))
        with _variables((environments or {}).get(name, {})):
            process.start()
        theirs.close()
        kind, said = ours.recv()  # one after the other: warming up must not disturb the others
        workers[name] = (process, ours, kind, said)
    rates, cpu_rates = {name: [] for name in workers}, {name: [] for name in workers}
    for _ in range(rounds):
        for name, (_, pipe, kind, _) in workers.items():
            if kind == "ready":
                pipe.send("go")
                done, seconds, cpu_seconds = pipe.recv()
                rates[name].append(done / seconds)
                cpu_rates[name].append(done / cpu_seconds)
    for process, pipe, kind, _ in workers.values():
        if kind == "ready":
            pipe.send("stop")
        process.join(timeout=60)
        process.terminate()  # where threads or processes of a library keep it
    return [Result(name, tuple(rates[name]), said, tuple(cpu_rates[name])) for name, (_, _, _, said) in workers.items()]


@contextlib.contextmanager
def _variables(changes):
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def _work(pipe, factory, cores):
    if cores is not None:
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
    try:
        portion = factory()
    except MissingRival as error:
        pipe.send(("absent", str(error)))
        return
    except Exception:
        pipe.send(("failed", traceback.format_exc()))
        raise
    portion()
    pipe.send(("ready", getattr(portion, "note", "")))
    while pipe.recv() == "go":
        began, cpu_began = time.perf_counter(), time.process_time()
        done = portion()
        pipe.send((done, time.perf_counter() - began, time.process_time() - cpu_began))


def table(results, *, unit, reference):
    """A Markdown table of medians, ranges and ratios to one of the contestants.

    Args:
        results: of `compare`.
        unit: of the rates, e.g. "images/s".
        reference: the name of the contestant that the last column divides by. It is the ratio of medians.
    """
    base = next(r.median for r in results if r.name == reference)
    lines = [f"| | median {unit} | lowest to highest | ratio to {reference} |", "|---|---:|---:|---:|"]
    for result in results:
        if result.median is None:
            lines.append(f"| {result.name} | not run: {result.note.strip().splitlines()[-1]} | | |")
            continue
        spread = f"{_short(min(result.rates))} to {_short(max(result.rates))}"
        ratio = "" if base is None else f"{result.median / base:.2f}"
        lines.append(f"| {result.name} | {_short(result.median)} | {spread} | {ratio} |")
    notes = [f"{r.name}: {r.note}" for r in results if r.median is not None and r.note]
    return "\n".join(lines + (["", *notes] if notes else []))


def _short(rate):
    return f"{rate:,.0f}" if rate >= 100 else f"{rate:.3g}"


# A convolution, at which oneDNN tells which instructions it takes; TensorFlow as this project sets it up.
PROBES = {
    "tensorflow": "from noisy_student import backends; backends.select('tensorflow'); "
    "import tensorflow as l; l.nn.conv2d(l.ones([1, 8, 8, 3]), l.ones([3, 3, 3, 4]), 1, 'SAME')",
    # a batch of some size: PyTorch leaves small convolutions to kernels of its own
    "torch": "import torch as l; l.nn.functional.conv2d(l.ones(32, 32, 32, 32), l.ones(32, 32, 3, 3))",
}


def onednn(package):
    """The instruction set that the package's oneDNN takes here, in oneDNN's words; None: it is not used."""
    environment = {**os.environ, "ONEDNN_VERBOSE": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-c", PROBES[package]]
    run = subprocess.run(command, env=environment, capture_output=True, text=True)
    said = re.search(r"^onednn_verbose.*,isa:(.+)$", run.stdout, re.MULTILINE)
    return said[1].strip() if said else None


def machine(*packages):
    """One line about the machine, the day and the versions of the named packages.

    The CPU's name, instruction sets and cores are set in bold: `benchmarks.report` keeps one table for each of them.
    """
    versions = [f"Python {platform.python_version()}"]
    for package in packages:
        try:
            version = f"{package} {metadata.version(package)}"
        except metadata.PackageNotFoundError:
            continue
        versions.append(f"{version} (oneDNN: {onednn(package) or 'not used'})" if package in PROBES else version)
    cpu = environment.cpu()
    flags = [
        flag for flag in ("amx_bf16", "avx512_bf16", "avx512f", "avx2") if flag in cpu.get("instructions", "").split()
    ]
    cores = f"{environment.threads()} cores"
    today = datetime.now(UTC).date().isoformat()
    return f"**{cpu['name']} ({', '.join(flags[:2]) or 'no AVX2'}), {cores}**, {today}; {', '.join(versions)}"

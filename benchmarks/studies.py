"""What a run of a study costs: DVC with a process for every stage, against DVC whose stages are forked from a worker.

python -m benchmarks.studies
"""

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.harness import machine
from benchmarks.stages import copy_tree
from commands import new_parser
from commands import preset as presets
from experiments.study.worker import Worker
from noisy_student.runtime import console

ROUNDS = 5
FEW = {"steps": 20, "validate_every": 10}  # so that what is compared is all but the training
CLEAN = {"pseudolabel": {"threshold": 0.0}, "balance": {"on_empty": "skip"}, "eval": {"robustness": "off"}}


def parameters(seed):
    """The default's, with hardly any training."""
    found = presets.defaults()
    found |= {section: found[section] | FEW for section in ("teacher", "student")}
    found |= {section: found[section] | values for section, values in CLEAN.items()}
    return found | {"seed": seed}


def spent(run, folder, seed):
    """(processor seconds, seconds) of a run; all of its processes have ended and were waited for."""
    path = folder / "params.yaml"
    path.write_text(presets.rewrite(path.read_text(encoding="utf-8"), parameters(seed)), encoding="utf-8")
    began = time.perf_counter()
    processor = run(f"run{seed}")
    return processor, time.perf_counter() - began


def by_dvc(folder):
    """A function that runs an experiment in processes, and returns its processor seconds."""

    def run(name):
        before = _of_children()
        subprocess.run(["dvc", "exp", "run", "--name", name], cwd=folder, stdout=sys.stderr, check=True)
        return _of_children() - before

    return run


def by(worker):
    """The same by a worker; what that spends itself counts, its first imports too."""

    def run(name):
        before = _of_worker(worker)
        log = Path(tempfile.gettempdir(), f"{name}.log")
        worker.start(["exp", "run", "--name", name], log)
        while not worker.ended(1.0):
            pass
        assert "failed" not in log.read_text(encoding="utf-8"), log
        return _of_worker(worker) - before

    return run


def _of_children():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _of_worker(worker):
    fields = Path(f"/proc/{worker.process.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")  # its own and its children's, user and system


def main():
    """Print the table as Markdown."""
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with tempfile.TemporaryDirectory() as parent, Path(parent, "lock").open("w") as lock:
        os.environ["DVC_SITE_CACHE_DIR"] = str(Path(parent, "site-cache"))
        folders = [Path(parent, name) for name in ("processes", "worker")]
        for folder in folders:
            folder.mkdir()
            copy_tree(folder)
            for key, value in {"user.name": "Benchmark", "user.email": "benchmark@example.org"}.items():
                subprocess.run(["git", "config", key, value], cwd=folder, check=True)
            subprocess.run(["git", "add", "-A"], cwd=folder, check=True)
            subprocess.run(["git", "commit", "-qm", "benchmark"], cwd=folder, check=True)
        options = {"backend": "tensorflow", "log": Path(parent, "log"), "lock": lock.fileno(), "cores": None}
        worker = Worker(folders[1], **options)
        runs = [by_dvc(folders[0]), by(worker)]
        pairs = list(zip(runs, folders, strict=True))
        timed = [[spent(run, folder, seed) for run, folder in pairs] for seed in range(ROUNDS)]
        worker.close()
    print(f"## A study's run\n\n`python -m benchmarks.studies`\n\n{machine('tensorflow', 'keras', 'dvc')}\n")
    print(f"The default with {FEW['steps']} steps a training, without robustness; the imports of the worker are in its")
    print(f"first run.\n\n| median of {ROUNDS} runs | processor seconds | seconds | ratio of processor seconds |")
    print("|---|---:|---:|---:|")
    rows = {name: [run[place] for run in timed] for place, name in enumerate(("a process a stage", "forked stages"))}
    first = statistics.median(processor for processor, _ in rows["a process a stage"])
    for name, measured in rows.items():
        processor, seconds = (statistics.median(column) for column in zip(*measured, strict=True))
        print(f"| {name} | {processor:.1f} | {seconds:.1f} | {processor / first:.2f} |")


if __name__ == "__main__":
    console.use_utf8()
    new_parser("benchmarks.studies", __doc__).parse_args()
    main()

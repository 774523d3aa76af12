"""What a run of a study on the digits costs: today's forked stages against the way of an earlier commit.

python -m benchmarks.studies          # five runs of each, minutes on two idle cores
python -m benchmarks.studies --trial  # with hardly any training: shows that it works
"""

import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

from benchmarks import earlier
from benchmarks.harness import machine
from commands import new_parser
from experiments.study.worker import Worker
from noisy_student.runtime import console

ROUNDS = 5
TESTED = ("accuracy", "nll", "ece")
MODEL = "student-gen1"


def spent(run, folder, seed):
    """(processor seconds, seconds, what of TESTED was measured) of a run, all of whose processes have ended."""
    earlier.change(folder, seed=seed)
    began = time.perf_counter()
    processor = run(f"run{seed}")
    seconds, measured = time.perf_counter() - began, earlier.tested(folder, MODEL)
    return processor, seconds, *(measured[name] for name in TESTED)


def by_dvc(folder):
    """A function that runs an experiment in processes, and returns its processor seconds."""

    def run(name):
        before = _of_children()
        subprocess.run(["dvc", "exp", "run", "--name", name], cwd=folder, stdout=sys.stderr, check=True)
        return _of_children() - before

    return run


def by(worker, folder):
    """The same by a worker; what that spends itself counts."""

    def run(name):
        before = _of_worker(worker)
        log = folder.with_name(f"{name}.log")
        log.write_bytes(b"")
        worker.start(["exp", "run", "--name", name], log)
        while not worker.ended(1.0):
            pass
        said = log.read_text(encoding="utf-8")
        if not worker.alive or "ERROR" in said or "failed" in said:
            sys.exit(f"error: the run failed\n{said}")
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
    parser = new_parser("benchmarks.studies", __doc__)
    parser.add_argument("--trial", action="store_true", help="one round, with hardly any training")
    trial = parser.parse_args().trial
    rounds = 1 if trial else ROUNDS
    with earlier.both() as (old, new), Path(new.parent, "lock").open("w") as lock:
        earlier.use_preset(new, "digits-100")  # what the earlier commit's params.yaml says
        earlier.change(new, eval__robustness="off")  # as a study has it that does not report it
        if trial:
            earlier.few_steps(old)
            earlier.few_steps(new)
        options = {"backend": "tensorflow", "log": Path(new.parent, "log"), "lock": lock.fileno(), "cores": None}
        worker = Worker(new, **options)
        ways = {f"commit {earlier.COMMIT}": (by_dvc(old), old), "now": (by(worker, new), new)}
        timed = {name: [] for name in ways}
        for seed in range(1, rounds + 1):
            for name, (run, folder) in ways.items():
                timed[name].append(spent(run, folder, seed))
        worker.close()
    print(f"## A study's run\n\n`python -m benchmarks.studies{' --trial' if trial else ''}`\n")
    print(
        "The digits with 100 labels, one student, all steps of training. The earlier commit starts a process for every"
    )
    print("stage and measures robustness in every study; now stages are forked from one worker (its imports, once a")
    print("study, are in its first run, which the median leaves out), and robustness is measured where a study reports")
    print("it.\n")
    print(machine("tensorflow", "keras", "dvc"))
    costs = "processor seconds | seconds | ratio of processor seconds"
    print(f"\n| median of {rounds} runs | {costs} | test accuracy, % | NLL | ECE |\n|---{6 * '|---:'}|")
    first = None
    for name, measured in timed.items():
        processor, seconds, accuracy, nll, ece = (statistics.median(column) for column in zip(*measured, strict=True))
        first = first or processor
        costs = f"{processor:.1f} | {seconds:.1f} | {processor / first:.2f}"
        print(f"| {name} | {costs} | {accuracy:.1f} | {nll:.3f} | {ece:.3f} |")


if __name__ == "__main__":
    console.use_utf8()
    main()

"""Run every benchmark, one after the other, and write docs/benchmarks.md.

python -m benchmarks              # all but reaching, which takes hours and downloads CIFAR-10
python -m benchmarks randaugment  # only these sections; the others stay as they are in the file

A table takes the place of an earlier one of the same CPU (name, instruction sets, cores); those of other CPUs stay.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

from benchmarks.report import Section, parse
from commands import new_parser
from noisy_student.runtime import console
from noisy_student.runtime.files import write_bytes

REPORT = Path("docs/benchmarks.md")
SECTIONS = (
    "training",
    "kernels",
    "profile",
    "randaugment",
    "feeding",
    "rounds",
    "labelling",
    "shards",
    "predict",
    "resuming",
    "corruptions",
    "schedules",
    "stages",
    "studies",
    "repro",
    "stores",
    "arithmetic",
    "large",
    "reaching",
)
WHERE_NAMED = {"reaching"}  # runs only where it is asked for
HEAD = """# Benchmarks

Written by `make bench` (`python -m benchmarks`), which needs `requirements-bench.txt`. Every contestant
runs in a process of its own, they take turns, and a table shows the median of at least five turns each,
where it says nothing else: on a shared machine only ratios within one table count. A table says on which
CPU it was made (name, instruction sets, cores; newer ones also which of them oneDNN takes, where it is
used) and on which day, and stays when another CPU's is added below it. What the figures mean and where the
time goes: [performance.md](performance.md).
"""


def parser() -> argparse.ArgumentParser:
    """That of this command."""
    own = new_parser("benchmarks", __doc__)
    own.add_argument(
        "sections",
        nargs="*",
        metavar="SECTION",
        help=f"{', '.join(SECTIONS)}; default: all but {', '.join(WHERE_NAMED)}",
    )
    return own


def main():
    """Run benchmarks and write their tables into the report."""
    chosen = parser().parse_args().sections or [name for name in SECTIONS if name not in WHERE_NAMED]
    unknown = sorted(set(chosen) - set(SECTIONS))
    if unknown:
        parser().error(f"no such benchmark: {', '.join(unknown)}. There are {', '.join(SECTIONS)}.")
    sections = parse(REPORT.read_text(encoding="utf-8")) if REPORT.exists() else {}
    for name in chosen:
        print(f"== {name}", flush=True)
        command, environment = [sys.executable, "-m", f"benchmarks.{name}"], {**os.environ, "PYTHONIOENCODING": "utf-8"}
        run = subprocess.run(command, env=environment, stdout=subprocess.PIPE, encoding="utf-8")
        if run.returncode:
            sys.exit(f"error: benchmarks.{name} failed; docs/benchmarks.md is as it was before it")
        print(run.stdout, flush=True)
        sections[name] = sections.get(name, Section("")).renewed(run.stdout)
        write_bytes(REPORT, written(sections).encode())


def written(sections: dict[str, Section]) -> str:
    """The text of the report."""
    known = [name for name in SECTIONS if name in sections]
    return HEAD + "".join(f"\n<!-- {name} -->\n{sections[name]}\n" for name in known)


if __name__ == "__main__":
    console.use_utf8()
    main()

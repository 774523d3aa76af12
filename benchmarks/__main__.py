"""Run every benchmark, one after the other, and write docs/benchmarks.md.

python -m benchmarks              # all
python -m benchmarks randaugment  # only these sections; the others stay as they are in the file
"""

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path

from noisy_student.runtime import console
from noisy_student.runtime.files import write_bytes

REPORT = Path("docs/benchmarks.md")
SECTIONS = (
    "training",
    "profile",
    "randaugment",
    "feeding",
    "rounds",
    "labelling",
    "resuming",
    "corruptions",
    "schedules",
    "stages",
    "studies",
    "stores",
    "large",
)
HEAD = """# Benchmarks

Written by `make bench` (`python -m benchmarks`), which needs `requirements-bench.txt`. Every contestant runs
in a process of its own, they take turns, and a table shows the median of at least five turns each: on a
shared machine only ratios within one table count. What the figures mean and where the time goes:
[performance.md](performance.md).
"""


def main():
    """Run benchmarks and write their tables into the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=", ".join(SECTIONS))
    chosen = parser.parse_args().sections or SECTIONS
    unknown = sorted(set(chosen) - set(SECTIONS))
    if unknown:
        parser.error(f"no such benchmark: {', '.join(unknown)}. There are {', '.join(SECTIONS)}.")
    texts = _read()
    for name in chosen:
        print(f"== {name}", flush=True)
        command, environment = [sys.executable, "-m", f"benchmarks.{name}"], {**os.environ, "PYTHONIOENCODING": "utf-8"}
        run = subprocess.run(command, env=environment, stdout=subprocess.PIPE, encoding="utf-8")
        if run.returncode:
            sys.exit(f"error: benchmarks.{name} failed; docs/benchmarks.md is as it was before it")
        print(run.stdout, flush=True)
        texts[name] = run.stdout.strip()
        write_bytes(REPORT, _report(texts).encode())


def _read():
    """{section: text} of the report as it is."""
    if not REPORT.exists():
        return {}
    parts = re.split(r"^<!-- (\w+) -->\n", REPORT.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {name: text.strip() for name, text in zip(parts[1::2], parts[2::2], strict=True)}


def _report(texts):
    known = [name for name in SECTIONS if name in texts]
    return HEAD + "".join(f"\n<!-- {name} -->\n{texts[name]}\n" for name in known)


if __name__ == "__main__":
    console.use_utf8()
    main()

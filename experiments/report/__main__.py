"""Write the last run on one page that needs no network, and the studies on another.

python -m experiments.report                  # report.html and studies.html; or: make report
python -m experiments.report --out page.html
"""

import argparse
import sys
from pathlib import Path

from commands import new_parser
from experiments.report.gather import gather
from experiments.report.page import render, render_studies
from experiments.study.findings import all_findings
from noisy_student.runtime import console
from noisy_student.runtime.errors import UserError
from noisy_student.runtime.files import write_bytes

STUDIES = "studies.html"


def parser() -> argparse.ArgumentParser:
    """That of this command."""
    own = new_parser("experiments.report", __doc__)
    own.add_argument(
        "--out", type=Path, default=Path("report.html"), metavar="FILE", help="the page; default: report.html"
    )
    return own


def main() -> None:
    """Write the page of the command line."""
    out = parser().parse_args().out
    if not out.name:
        parser().error(f"--out: {out} names no file")
    if out.name == STUDIES:
        parser().error(f"--out: {STUDIES} is the page of the studies, which is written beside it; choose another name")
    try:
        run, findings = gather(), all_findings()
        pages = {out: render(run, studies=STUDIES if findings else None)}
        if findings:
            pages[out.with_name(STUDIES)] = render_studies(findings, back=out.name)
    except UserError as error:
        sys.exit(f"error: {error}")
    for path, page in pages.items():
        try:
            write_bytes(path, page.encode())
        except OSError as error:
            sys.exit(f"error: {path}: cannot be written ({error.strerror}). Name another file with --out.")
        print(f"{path}: {len(page.encode()) / 2**20:.1f} MiB, open it in a browser")


if __name__ == "__main__":
    console.use_utf8()
    main()

"""Write report.html: the last run and the studies on one page that needs no network.

python -m experiments.report                  # or: make report
python -m experiments.report --out page.html
"""

import argparse
import sys
from pathlib import Path

from experiments.report.gather import gather
from experiments.report.page import render
from noisy_student.runtime import console
from noisy_student.runtime.errors import UserError
from noisy_student.runtime.files import write_bytes


def main() -> None:
    """Write the page of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("report.html"), help="default: report.html")
    out = parser.parse_args().out
    if not out.name:
        parser.error(f"--out: {out} names no file")
    try:
        page = render(gather()).encode()
    except UserError as error:
        sys.exit(f"error: {error}")
    try:
        write_bytes(out, page)
    except OSError as error:
        sys.exit(f"error: {out}: cannot be written ({error.strerror}). Name another file with --out.")
    print(f"{out}: {len(page) / 2**20:.1f} MiB, open it in a browser")


if __name__ == "__main__":
    console.use_utf8()
    main()

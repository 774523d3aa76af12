"""Measure how far the estimate of images of no class is off, on pools whose share is known.

python -m experiments.verdict.known --seeds 3    # runs what is missing, then writes the table of docs/verdict.md

A pool is made of digits that are neither labelled nor test images, and of patches of two photographs, of which 0, 10,
30 or 50 % of it are. With each the preset `digits` is trained to its last student, and the share is estimated as in a
verdict.
"""

import argparse
import contextlib
import copy
import io
import re
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from commands import at_least_one, new_parser
from commands import preset as presets
from experiments.study.clones import WORK
from experiments.study.definition import OWN
from experiments.study.run import Job
from experiments.verdict.__main__ import run
from experiments.verdict.measured import outside_of
from experiments.verdict.plan import Plan, plan
from noisy_student.runtime import console, environment, signals
from noisy_student.runtime.errors import UserError
from noisy_student.runtime.files import new_folder, read_csv, write_bytes, write_csv
from noisy_student.settings import params
from noisy_student.settings.schema import DataParams
from noisy_student.sources import photographs
from noisy_student.sources.prepare import prepare

SHARES = 0.0, 0.1, 0.3, 0.5
INSIDE = 900  # digits of a pool at most, so that there are as many patches for half of it
TABLE, PAGE = Path("docs/verdict-known.csv"), Path("docs/verdict.md")
POOLS = WORK / "known-pools"
_MARKED = re.compile(r"(?<=<!-- known -->\n).*?(?=<!-- end -->)", re.DOTALL)


def parser() -> argparse.ArgumentParser:
    """That of this command."""
    own = new_parser("experiments.verdict.known", __doc__)
    own.add_argument("--seeds", type=at_least_one, default=3, metavar="N", help="how many, from 0 on; default: 3")
    own.add_argument("--jobs", type=at_least_one, default=1, metavar="N", help="runs at a time; default: 1")
    return own


def main() -> None:
    """Run, estimate, and write the table."""
    arguments = parser().parse_args()
    signals.raise_on_sigterm()
    try:
        planned, jobs = plans(arguments.seeds)
        run(planned, jobs, at_a_time=arguments.jobs)
        rows = [_row(planned, job) for job in jobs]
    except UserError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt as interrupt:
        print("stopped; run the same command again to go on", file=sys.stderr)
        sys.exit(128 + signals.number_of(interrupt))
    write_csv(TABLE, rows)
    page = PAGE.read_text(encoding="utf-8")
    write_bytes(PAGE, _MARKED.sub(lambda _: f"{table(rows)}\n", page).encode())
    print(table(rows))


def plans(seeds: int, values: dict[str, Any] | None = None) -> tuple[Plan, list[Job]]:
    """The plan without noise alone, and its jobs, one a share and seed; pools are written.

    Args:
        values: parameters; None: the preset `digits`.
    """
    planned = plan(values or presets.parameters("digits"))
    del planned.parameters["generations"][planned.control]
    planned = replace(planned, images=planned.images // 2, preset=f"{OWN}known-{planned.preset.removeprefix(OWN)}")
    jobs, code = [], environment.code_digest()
    for seed in range(seeds):
        for share in SHARES:
            values, arm = copy.deepcopy(planned.parameters), f"share-{round(100 * share)}"
            values["seed"] = values["data"]["seed"] = seed
            folder = Path.cwd() / POOLS / f"{planned.preset}-{arm}-{seed}"
            if not folder.exists():  # its name tells parameters and code apart; a run of an earlier call may read it
                with new_folder(folder) as begun:
                    write_pool(begun, params.check(values).data, share)
            values["data"]["unlabelled_from"] = str(folder)
            teacher = values["generations"][planned.chain[-1]]["teacher"]
            jobs.append(Job("known", planned.preset, arm, seed, planned.student.name, teacher, arm, values, code))
    return planned, jobs


def write_pool(folder: Path, data: DataParams, share: float) -> None:
    """Write the images of a pool, a share of which are patches; digits are those that these splits hold back."""
    with tempfile.TemporaryDirectory() as cut, contextlib.redirect_stdout(io.StringIO()):
        prepare(data, Path(cut))
        digits = np.load(Path(cut, "unlabelled/images.npy"))[:INSIDE]
    patches = photographs.patches(data)[: round(len(digits) * share / (1 - share))]
    folder.mkdir(parents=True, exist_ok=True)
    for name, images in (("digit", digits), ("patch", patches)):
        for number, image in enumerate(images):
            Image.fromarray(image).save(folder / f"{name}-{number:04}.png")


def _row(planned, job):
    found = outside_of(planned, job)
    assert found is not None, "the digits' teacher labels plainly"
    share = int(job.arm.removeprefix("share-")) / 100
    return {"share": share, "seed": job.seed, "estimate": round(found.share, 4), "images": found.images} | {
        name: round(getattr(found, name), 4) for name in ("low", "high")
    }


def read() -> list[dict[str, Any]]:
    """The committed rows; none where there is no file."""
    return read_csv(TABLE) if TABLE.exists() else []


def table(rows: Iterable[dict[str, Any]]) -> str:
    """Markdown: estimates by share, over seeds."""
    lines = ["| of no class, % | seeds | estimate, %: mean (lowest to highest) | error, points: mean | largest |"]
    lines.append("|---:|---:|---|---:|---:|")
    rows = list(rows)
    for share in sorted({row["share"] for row in rows}):
        found = 100 * np.array([row["estimate"] for row in rows if row["share"] == share])
        errors = found - 100 * share
        cells = [f"{100 * share:.0f}", f"{len(found)}", f"{found.mean():.1f} ({found.min():.1f} to {found.max():.1f})"]
        cells += [f"{errors.mean():+.1f}", f"{errors[np.abs(errors).argmax()]:+.1f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    console.use_utf8()
    main()

"""How long a pool takes on many workers, of which some are slow and some die: simulated from measured shard times.

python -m benchmarks.stragglers FILE                    # 300 million images on 1 to 256 workers
python -m benchmarks.stragglers FILE --picture times.png

FILE has the times: found.json of `benchmarks.shards` (every shard's), or metrics/run.json of a labelling (least, median
and most, between which times are taken as equally spread). A longer shard takes longer by the ratio of its images.
"""

import heapq
import json
import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from commands import new_parser
from noisy_student.drawing import charts
from noisy_student.drawing.canvas import save_chart
from noisy_student.executors.tasks import TRIES
from noisy_student.runtime import console
from noisy_student.runtime.errors import UserError
from noisy_student.runtime.types import Floats, Ints

IMAGES, SHARD, WORKERS = 300_000_000, 131_072, (1, 4, 16, 64, 256)
DRAWS = 100  # labellings of the whole pool
HOUR = 3600.0

Times = Callable[[np.random.Generator, int], Floats]  # seconds of so many shards


@dataclass(frozen=True)
class Deaths:
    """How workers die: each at any moment alike, whatever it has done before.

    Attributes:
        every: seconds between two deaths of a worker, on average.
        restart: seconds until a worker is there again.
        saved_every: seconds of work after which what is done of a shard is kept; infinite: it begins anew.
    """

    every: float
    restart: float
    saved_every: float = math.inf


def read_times(path: Path) -> tuple[Times, float]:
    """Where times are drawn from, and the images of a shard that take so long.

    Raises:
        UserError: the file has no times of shards.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read ({error}). Give found.json or metrics/run.json.") from error
    turns = [turn for own in found.get("turns", {}).values() for turn in own]
    if turns:
        measured = np.concatenate([turn["seconds"] for turn in turns])
        return lambda rng, count: rng.choice(measured, count), turns[0]["images_a_shard"]
    for record in found.values():
        if isinstance(record, dict) and "seconds_a_shard" in record:
            return _spread(**record["seconds_a_shard"]), record["images"] / record["shards"]
    raise UserError(f"{path}: no seconds of shards in it. Give found.json of benchmarks.shards, or metrics/run.json.")


def _spread(*, least, median, most):
    return lambda rng, count: np.interp(rng.random(count), [0, 0.5, 1], [least, median, most])


def survived(seconds: Floats, deaths: Deaths, rng: np.random.Generator) -> tuple[Floats, Ints]:
    """Seconds that shards take whose workers die and begin again, and how often each died."""
    left, spent, died = seconds.astype(float), np.zeros(len(seconds)), np.zeros(len(seconds), np.int64)
    open_ = np.arange(len(seconds))
    while len(open_):
        until = rng.exponential(deaths.every, len(open_))
        dies = until < left[open_]
        spent[open_] += np.where(dies, until + deaths.restart, left[open_])
        open_, until = open_[dies], until[dies]
        died[open_] += 1
        if math.isfinite(deaths.saved_every):
            left[open_] -= until // deaths.saved_every * deaths.saved_every
    return spent, died


def makespan(seconds: Floats, workers: int, *, slow: float = 0.0, factor: float = 1.0) -> float:
    """Seconds until all shards are done, each begun by the first worker that is free.

    Args:
        slow: the share of the workers that take `factor` times as long.
    """
    slowed = round(slow * workers)
    free = [(0.0, factor if number < slowed else 1.0) for number in range(workers)]
    heapq.heapify(free)
    end = 0.0
    for own in seconds.tolist():
        when, pace = heapq.heappop(free)
        end = max(end, when + own * pace)
        heapq.heappush(free, (when + own * pace, pace))
    return end


def simulate(times: Times, shards: int, workers: int, *, deaths: Deaths, slow: float, factor: float) -> dict:
    """A row of the table, from `DRAWS` labellings; the same draws for every number of workers."""
    rng, alone, hit, again, failed, ideal = np.random.default_rng(0), [], [], [], 0, []
    for _ in range(DRAWS):
        seconds = times(rng, shards)
        ideal.append(seconds.sum() / workers)
        alone.append(makespan(seconds, workers, slow=slow, factor=factor))
        seconds, died = survived(seconds, deaths, rng)
        hit.append(makespan(seconds, workers, slow=slow, factor=factor))
        again.append(died.sum())
        failed += (died >= TRIES).any()
    return {
        "workers": workers,
        "ideal": statistics.median(ideal) / HOUR,
        "without deaths": statistics.median(alone) / HOUR,
        "with deaths": statistics.median(hit) / HOUR,
        "with deaths, 95 %": float(np.quantile(hit, 0.95)) / HOUR,
        "begun again": statistics.fmean(again),
        "failed": failed / DRAWS,
    }


def table(rows: list[dict]) -> str:
    """Markdown of `simulate`'s rows."""
    columns = ("without deaths, h", "to the ideal", "with deaths, h", "95 % of times below", "begun again")
    lines = [f"| workers | ideal, h | {' | '.join(columns)} | a shard fails {TRIES} times |", "|---:" * 8 + "|"]
    for row in rows:
        numbers = [f"{row['ideal']:.3g}", f"{row['without deaths']:.3g}"]
        numbers += [f"{row['without deaths'] / row['ideal']:.2f}", f"{row['with deaths']:.3g}"]
        numbers += [f"{row['with deaths, 95 %']:.3g}", f"{row['begun again']:.3g}", f"{100 * row['failed']:.0f} %"]
        lines.append(f"| {row['workers']} | {' | '.join(numbers)} |")
    return "\n".join(lines)


def picture(rows: list[dict], title: str) -> dict:
    """A chart of how much longer than ideal it takes."""
    points = [
        {"workers": row["workers"], "ratio": row[name] / row["ideal"], "model": name}
        for row in rows
        for name in ("without deaths", "with deaths", "with deaths, 95 %")
    ]
    encoding = {
        "x": charts.axis("workers", "workers", scale={"type": "log", "base": 2}),
        "y": charts.axis("ratio", "hours, to the ideal", scale={"zero": False}),
        "color": charts.axis("model", None, "nominal", sort=None),
    }
    mark = {"type": "line", "point": True}
    return charts.chart(title, points, mark=mark, encoding=encoding, width=480, height=280)


def main():
    """Print the table as Markdown."""
    parser = new_parser("benchmarks.stragglers", __doc__)
    parser.add_argument("file", type=Path, metavar="FILE", help="found.json of benchmarks.shards, or metrics/run.json")
    parser.add_argument("--images", type=int, default=IMAGES, help=f"of the pool; default: {IMAGES:,}")
    parser.add_argument("--shard-images", type=int, default=SHARD, help=f"of a shard; default: {SHARD:,}")
    parser.add_argument("--workers", type=int, nargs="+", default=WORKERS, help="default: 1 4 16 64 256")
    parser.add_argument("--days", type=float, default=7.0, help="between two deaths of a worker; default: 7")
    parser.add_argument("--restart", type=float, default=60.0, help="seconds until it is there again; default: 60")
    parser.add_argument("--saved-every", type=float, default=5.0, help="checkpoint.every_minutes; default: 5")
    parser.add_argument("--slow", type=float, nargs=2, default=(0.0, 1.0), metavar=("SHARE", "FACTOR"))
    parser.add_argument("--picture", type=Path, metavar="PNG", help="draw it, too")
    given = parser.parse_args()
    times, images = read_times(given.file)
    shards, scale = math.ceil(given.images / given.shard_images), given.shard_images / images
    deaths = Deaths(given.days * 24 * HOUR, given.restart, given.saved_every * 60)
    rows = [
        simulate(
            lambda rng, n: scale * times(rng, n),
            shards,
            workers,
            deaths=deaths,
            slow=given.slow[0],
            factor=given.slow[1],
        )
        for workers in given.workers
    ]
    title = f"{given.images:,} images in {shards:,} shards of {given.shard_images:,}"
    print(f"{title}; a worker dies every {given.days:g} days; medians of {DRAWS} draws.\n\n{table(rows)}")
    if given.picture:
        save_chart(given.picture, picture(rows, title))


if __name__ == "__main__":
    console.use_utf8()
    main()

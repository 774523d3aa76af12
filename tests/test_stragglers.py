"""The simulation of stragglers and deaths, beside what is known of queues and of failures in closed form."""

import json
import math

import numpy as np
import pytest

from benchmarks.stragglers import IMAGES, SHARD, Deaths, makespan, picture, read_times, simulate, survived, table
from noisy_student.runtime.errors import UserError


def _mean(numbers):
    """Their mean, and four times its standard error."""
    return np.mean(numbers), 4 * np.std(numbers) / math.sqrt(len(numbers))


@pytest.mark.parametrize(("shards", "workers"), [(8, 8), (40, 8), (40, 1)])
def test_exponential_times_end_as_order_statistics_say(shards, workers):
    """While all N work, shards end every 1/N; the last N take 1/N + ... + 1/1 (Rényi 1953)."""
    rng = np.random.default_rng(0)
    ends, tolerance = _mean([makespan(rng.exponential(1.0, shards), workers) for _ in range(4000)])
    expected = (shards - workers) / workers + sum(1 / k for k in range(1, workers + 1))
    assert ends == pytest.approx(expected, abs=tolerance)


@pytest.mark.parametrize("saved_every", [math.inf, 0.5, 0.75])
def test_deaths_cost_what_renewals_say(saved_every):
    """A stretch of t ends after (exp(t / m) - 1) (m + r) on average, if each death, every m, costs all of it and r."""
    mean, restart, whole = 2.0, 0.3, 3.0
    rng = np.random.default_rng(1)
    spent, died = survived(np.full(40_000, whole), Deaths(mean, restart, saved_every), rng)
    stretch = min(saved_every, whole)
    expected = whole / stretch * (math.exp(stretch / mean) - 1) * (mean + restart)
    found, tolerance = _mean(spent)
    assert found == pytest.approx(expected, abs=tolerance)
    found, tolerance = _mean(died)
    assert found == pytest.approx(whole / stretch * (math.exp(stretch / mean) - 1), abs=tolerance)


def test_a_slow_worker_costs_at_most_a_shard_of_its_own():
    """By hand: 9 shards of 1 on a worker of 1 and one of 4: the slow one does two of them, the other 7."""
    assert makespan(np.ones(9), 2, slow=0.5, factor=4.0) == 8.0
    assert makespan(np.ones(9), 2) == 5.0
    assert makespan(np.array([1.0, 1.0, 5.0]), 2) == 6.0  # the longest at last


def test_times_are_those_of_the_file(tmp_path):
    file, rng = tmp_path / "found.json", np.random.default_rng(0)
    file.write_text(json.dumps({"turns": {"local": [{"seconds": [1.0, 4.0], "images_a_shard": 5000.0}]}}))
    times, images = read_times(file)
    assert (set(times(rng, 100)), images) == ({1.0, 4.0}, 5000.0)
    seconds = {"least": 1.0, "median": 2.0, "most": 10.0}
    file.write_text(json.dumps({"pseudolabel@gen1": {"seconds_a_shard": seconds, "images": 600, "shards": 6}}))
    times, images = read_times(file)
    drawn = times(rng, 10_000)
    assert (images, drawn.min() >= 1, drawn.max() <= 10) == (100, True, True)
    assert np.median(drawn) == pytest.approx(2, abs=0.1)
    file.write_text('{"teacher": {}}')
    with pytest.raises(UserError, match="no seconds of shards"):
        read_times(file)
    with pytest.raises(UserError, match="cannot be read"):
        read_times(tmp_path / "none.json")


def test_table_and_picture_have_what_was_simulated():
    deaths = Deaths(every=5.0, restart=1.0)
    rows = [simulate(lambda rng, n: np.ones(n), 8, n, deaths=deaths, slow=0, factor=1) for n in (1, 3)]
    assert [row["without deaths"] * 3600 for row in rows] == [8, 3]
    assert all(row["with deaths, 95 %"] >= row["with deaths"] >= row["without deaths"] for row in rows)
    lines = table(rows).splitlines()
    assert len({line.count("|") for line in lines}) == 1
    assert "| 3 |" in lines[3]
    assert "| 1.13 |" in lines[3]  # 3 of 8 / 3
    assert {point["workers"] for point in picture(rows, "title")["data"]["values"]} == {1, 3}
    assert math.ceil(IMAGES / SHARD) == 2289

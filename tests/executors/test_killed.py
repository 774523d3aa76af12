"""SIGKILL to workers and to the driver, at any moment: nothing is lost, doubled or done again."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import time

import psutil
import pytest
from executors_used import HERE, WORKERS

from support import ROOT

SHARDS = 40
DRIVER = f"""
import sys
from pathlib import Path
from noisy_student.executors.running import run
from noisy_student.executors.settings import ExecutorSettings
from noisy_student.executors.tasks import Call, Task, Work

log = str(Path("log").resolve())
tasks = [Task(f"n{{n}}", Path(f"out/{{n}}.txt"), 1, dict(number=n)) for n in range({SHARDS})]
seconds = float(sys.argv[2])
work = Work(Call("shard_work:square", dict(log=log, seconds=seconds)), Call("shard_work:begin", dict(log=log)))
report = run(work, tasks, ExecutorSettings(name=sys.argv[1], workers=2), title="t")
print(report.skipped, report.retries)
"""


def _start(folder, executor, seconds=0.1):
    """The driver in a process of its own; the log of its tasks is a new one."""
    (folder / "out").mkdir(exist_ok=True)
    environment = {**os.environ, "PYTHONPATH": f"{HERE}:{ROOT}"}
    output = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    command = [sys.executable, "-c", DRIVER, executor, str(seconds)]
    return subprocess.Popen(command, cwd=folder, env=environment, start_new_session=True, **output)


def _workers(folder):
    """Those that have begun a task and live."""
    found = []
    for number in {int(line.split()[-1]) for line in _begun(folder)}:
        with contextlib.suppress(psutil.Error):  # it has died
            found.append(psutil.Process(number))
    return list(filter(_is_alive, found))


def _begun(folder):
    with contextlib.suppress(FileNotFoundError):
        return [line for line in (folder / "log").read_text().splitlines() if line.startswith("begin")]
    return []


def _is_alive(process):
    with contextlib.suppress(psutil.Error):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def _wait(condition, seconds=300.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)


@pytest.mark.parametrize("settings", WORKERS)
def test_kills_of_workers_and_of_the_driver(tmp_path, settings):
    draws, kills = random.Random(0), 0

    def done():
        return {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("[0-9]*.txt")}

    driver = _start(tmp_path, settings.name)
    while kills < 6:
        before = len(done())
        _wait(lambda: len(done()) > before and _workers(tmp_path))  # noqa: B023
        time.sleep(draws.uniform(0, 0.05))
        draws.choice(_workers(tmp_path)).send_signal(signal.SIGKILL)
        kills += 1
    left = psutil.Process(driver.pid).children(recursive=True)  # also those that have begun nothing yet
    driver.kill()
    driver.wait()
    _wait(lambda: not any(map(_is_alive, left)))
    finished = done()
    assert 6 <= len(finished) < SHARDS
    again = _start(tmp_path, settings.name)
    output, errors = again.communicate(timeout=300)
    assert again.returncode == 0, errors
    assert output.split() == [str(len(finished)).encode(), b"0"]
    for n in range(SHARDS):
        assert (tmp_path / f"out/{n}.txt").read_text() == f"{n * n}\n" * 1000
    assert len(list((tmp_path / "out").iterdir())) == SHARDS  # no temporary file is left
    assert {path: when for path, when in done().items() if path in finished} == finished
    assert (
        SHARDS <= len(_begun(tmp_path)) <= SHARDS + kills + settings.workers
    )  # only what was being done is done again


@pytest.mark.parametrize("settings", WORKERS)
def test_workers_of_a_dead_driver_end_at_once(tmp_path, settings):
    """Not when their tasks are done, which may take an hour."""
    driver = _start(tmp_path, settings.name, seconds=300)
    _wait(lambda: len(_workers(tmp_path)) == 2)
    workers, left = _workers(tmp_path), psutil.Process(driver.pid).children(recursive=True)
    driver.kill()
    driver.communicate()
    _wait(lambda: not any(map(_is_alive, workers)), seconds=60)
    _wait(lambda: not any(map(_is_alive, left)), seconds=180)  # Ray's agents take a minute to see that theirs has died


@pytest.mark.parametrize("settings", WORKERS)
@pytest.mark.parametrize("way", ["SIGTERM", "Ctrl-C"])
def test_one_who_asks_to_stop_gets_an_end(tmp_path, settings, way):
    """SIGTERM to the driver, or Ctrl-C to all of its terminal: a message, and no process that goes on."""
    driver = _start(tmp_path, settings.name, seconds=1.0)  # all would take 20 s
    _wait(lambda: list((tmp_path / "out").glob("[0-9]*.txt")))
    workers = _workers(tmp_path)
    os.kill(driver.pid, signal.SIGTERM) if way == "SIGTERM" else os.killpg(driver.pid, signal.SIGINT)
    _, errors = driver.communicate(timeout=60)
    assert b"shards are done. Run the same command again to go on." in errors
    assert b"begun again" not in errors
    _wait(lambda: not any(map(_is_alive, workers)))
    assert not list((tmp_path / "out").glob(".tmp-*"))

"""A Ray cluster over two hosts, of which one is cut off: what it was at is done by the other, or after a restart."""

import contextlib
import importlib.util
import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
from namespaces import hosts, refusal

from noisy_student.runtime import layout
from noisy_student.runtime.files import write_array
from support import ROOT, set_params

pytestmark = [
    pytest.mark.slow,  # a cluster takes seconds to start, and Ray half a minute to miss a host
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed (requirements-ray.txt)"),
    pytest.mark.skipif(bool(why := refusal()), reason=why),
]
IMAGES = 3_000
POOL = {"pseudolabel.batch_size": 1, "pseudolabel.shard_images": 4, "checkpoint.every_minutes": 60.0}
# Ray's own times are minutes; these are read by all of its processes
SOON = {
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_period_ms": "500",
    "RAY_health_check_timeout_ms": "1000",
    "RAY_health_check_failure_threshold": "3",
    "RAY_grpc_client_keepalive_time_ms": "2000",
    "RAY_grpc_client_keepalive_timeout_ms": "3000",
}
LABEL = [sys.executable, "-m", "stages.pseudolabel", "gen1"]


@pytest.fixture
def project(workspace):
    """A workspace with a pool that takes a while, as the current directory."""
    set_params(POOL)
    pool = np.random.default_rng(0).integers(0, 256, (IMAGES, 8, 8, 3), dtype=np.uint8)
    write_array(layout.UNLABELLED / "images.npy", pool)
    return workspace


@pytest.fixture
def cluster(monkeypatch):
    """Two hosts with a processor each for Ray, the first its head; how to start its second again."""
    folder = tempfile.mkdtemp(prefix="r", dir="/tmp")  # names of sockets may not be long
    variables = SOON | {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    variables |= {"RAY_USAGE_STATS_ENABLED": "0", "PYTHONPATH": str(ROOT)}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    for name in ("EXECUTOR", "DVC_ROOT"):
        monkeypatch.delenv(name, raising=False)
    ray = [str(Path(sys.executable).with_name("ray")), "start", "--num-cpus", "1", "--disable-usage-stats"]
    ray += ["--object-store-memory", "100000000"]
    with hosts(2) as (head, other):
        own = ["--head", "--port", "6379", "--include-dashboard", "false", "--temp-dir", folder]
        head.run(*ray, *own, "--node-ip-address", head.address)

        def join():
            other.run(*ray, "--address", f"{head.address}:6379", "--node-ip-address", other.address)

        join()
        yield head, other, join
    shutil.rmtree(folder, ignore_errors=True)


def _begin(host, head):
    """The stage on a host."""
    environment = {**os.environ, "EXECUTOR": f"name=ray,address={head.address}:6379"}
    return host.start(*LABEL, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _done():
    return {path.name: path.stat().st_ino for path in Path().glob("checkpoints/pseudolabel@gen1/*/shard-*.npy")}


def _is_at_work(host):
    for number in host.processes():
        with contextlib.suppress(OSError):
            if Path(f"/proc/{number}/cmdline").read_bytes().startswith(b"ray::_remote"):
                return True
    return False


def _wait_until_both_are_at_work(driver, head, other):
    """And have done some shards, but not most."""
    until = time.monotonic() + 120
    while not (len(_done()) >= 20 and _is_at_work(head) and _is_at_work(other)):
        assert driver.poll() is None, driver.communicate()
        assert time.monotonic() < until, f"{len(_done())} shards"
        time.sleep(0.01)
    assert len(_done()) < IMAGES // 4 - 20


def _labels():
    return [path.read_bytes() for path in sorted(layout.pseudo_labels("gen1").iterdir())]


def _expected():
    """The labels of the stage's own process."""
    subprocess.run(LABEL, check=True, env={**os.environ, "EXECUTOR": "local"})
    return _labels()


def test_what_a_host_was_at_that_is_cut_off_is_done_by_the_other(project, cluster):
    head, other, _ = cluster
    driver = _begin(head, head)
    _wait_until_both_are_at_work(driver, head, other)
    other.cut_off()
    said, errors = driver.communicate(timeout=200)
    assert driver.returncode == 0, errors
    assert f"address: {other.address}" in said  # Ray's words
    assert "has been marked dead" in said
    assert len(_labels()) == IMAGES // 4
    assert _labels() == _expected()


def test_a_driver_that_is_cut_off_says_so_and_goes_on_when_it_is_back(project, cluster):
    head, other, join = cluster
    driver = _begin(other, head)
    _wait_until_both_are_at_work(driver, head, other)
    other.cut_off()
    _, errors = driver.communicate(timeout=200)
    assert driver.returncode
    assert f"executor address: {head.address}:6379: the head of the Ray cluster does not answer any more" in errors
    assert "run the same command again" in errors
    assert "Traceback" not in errors
    other.kill_all()
    other.plug_in()
    join()
    finished = _done()
    again = _begin(other, head)
    _, errors = again.communicate(timeout=200)
    assert again.returncode == 0, errors
    labels = layout.pseudo_labels("gen1")
    assert {name: (labels / name).stat().st_ino for name in finished} == finished  # not done again
    assert _labels() == _expected()


LAUNCH = (
    "import json, sys; from noisy_student.launching.launcher import launched; "
    "print(json.dumps(launched('rank_work', 'waiting', sys.argv[1], title='student@gen1')))"
)


def _launch(head, folder, monkeypatch, patience):
    """A training of two ranks, one on each host; (its launcher, the marks of those that have begun)."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(ROOT / "tests/distribution")]))
    environment = {**os.environ, "LAUNCH": f"name=ray,workers=2,patience={patience},address={head.address}:6379"}
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    launcher = head.start(sys.executable, "-c", LAUNCH, str(folder), env=environment, **options)
    _wait_for_ranks(launcher, folder, 2)
    return launcher


def _wait_for_ranks(launcher, folder, count):
    until = time.monotonic() + 200
    while len(list(folder.glob("begun-*"))) < count:
        assert launcher.poll() is None, launcher.communicate()
        assert time.monotonic() < until, list(folder.iterdir())
        time.sleep(0.1)


def test_a_training_begins_again_when_a_host_is_cut_off_and_comes_back(tmp_path, cluster, monkeypatch):
    head, other, join = cluster
    launcher = _launch(head, tmp_path, monkeypatch, patience=200)
    other.cut_off()
    time.sleep(10)  # Ray takes it for dead after 2
    other.kill_all()
    other.plug_in()
    join()
    _wait_for_ranks(launcher, tmp_path, 4)
    (tmp_path / "enough").touch()
    said, errors = launcher.communicate(timeout=200)
    assert launcher.returncode == 0, errors
    assert "student@gen1: a worker of Ray, or its host, was lost; all begin again from the last checkpoint" in errors
    found = json.loads(said.splitlines()[-1])
    assert (found["workers"], found["restarts"]) == (2, 1)
    assert sorted(found["hosts"]) == [head.name, other.name]


def test_a_training_whose_host_stays_away_says_so(tmp_path, cluster, monkeypatch):
    head, other, _ = cluster
    launcher = _launch(head, tmp_path, monkeypatch, patience=100)
    other.cut_off()
    _, errors = launcher.communicate(timeout=400)
    assert launcher.returncode
    assert re.search(r"after 100 s rank 0 \(host .*\), rank 1 \(host .*\) did not start; all 2 are needed", errors)
    assert "The cluster has 1 processors and 0 GPUs" in errors

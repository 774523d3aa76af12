#!/usr/bin/env bash
# Ray 2.60.0: two of a small cluster's processes outlive their killed driver by a minute.
#
# Guess before the run: `ray.init()` without an address starts a cluster that belongs to its driver, so that after a SIGKILL of
# the driver (or the system's, for want of memory) all of its processes are gone within ten seconds.
# Seen: the scheduler, the workers and their tasks are gone within five seconds, but the dashboard's agent and the agent for
# runtime environments stay for about a minute, with some 200 MB, until they notice by themselves.
# For us: a test that waits for the end of every process gives them three minutes; the tasks' own end is asserted apart.
set -euo pipefail
folder=$(mktemp -d /tmp/rXXXX)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "ray[default]==2.60.0" psutil==7.2.2 2>/dev/null
export HOME="$folder" RAY_USAGE_STATS_ENABLED=0 RAY_AUTH_MODE=token RAY_AUTH_TOKEN=0123456789abcdef0123456789abcdef
unset RAY_ADDRESS RAY_AUTH_TOKEN_PATH
cat >"$folder/driver.py" <<'PYTHON'
"""A cluster of two processors, on which two tasks sleep."""

import time

import ray

ray.init(address="local", num_cpus=2, object_store_memory=100_000_000, include_dashboard=False, logging_level="error")


@ray.remote
def sleeping():
    print("begun", flush=True)
    time.sleep(600)


ray.get([sleeping.remote() for _ in range(2)])
PYTHON
cat >"$folder/look.py" <<'PYTHON'
"""Kill the driver, then say what is left of its processes."""

import contextlib
import subprocess
import sys
import time

import psutil


def alive(process):
    with contextlib.suppress(psutil.Error):
        return process.status() != psutil.STATUS_ZOMBIE
    return False


driver = psutil.Popen([sys.executable, sys.argv[1]], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
until = time.monotonic() + 120
while sum("sleeping" in str(p.cmdline()) for p in driver.children(recursive=True)) < 2:
    assert time.monotonic() < until, "the tasks did not begin"
    time.sleep(1)
everything = {p: (p.cmdline() or [p.name()])[0].strip() for p in driver.children(recursive=True)}
driver.kill()
driver.wait()
began, left = time.monotonic(), everything
while left and time.monotonic() < began + 300:
    time.sleep(5)
    now = {p: name for p, name in left.items() if alive(p)}
    if now.keys() != left.keys():
        print(f"  after {time.monotonic() - began:3.0f} s: {len(now)} of {len(everything)}:", *now.values())
    if left is everything:
        early = now
    left, ended = now, time.monotonic() - began
sys.exit(not (early and all("Agent" in name for name in early.values()) and 30 < ended < 300))
PYTHON
echo "Processes of the cluster, after its driver was killed:"
"$folder/venv/bin/python" "$folder/look.py" "$folder/driver.py"

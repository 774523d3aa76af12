#!/usr/bin/env bash
# Ray 2.60.0: a training by Ray Train leaves an actor on the cluster, after `fit()` has returned and its driver is gone.
#
# Guess before the run: what a driver has started on a shared cluster ends with it unless it asked for `lifetime="detached"`;
# `DataParallelTrainer.fit()` asks for nothing of the kind, so after it and `ray.shutdown()` the cluster is as before.
# Seen: Ray Train creates the actor "AutoscalingCoordinator", in a namespace of the same name, detached. It stays until the
# cluster ends or somebody kills it by name, keeps a process of some 190 MB on the node where the first training's
# controller ran, and serves the trainings of all later drivers: it is one for the cluster, made from the first user's code.
# For us: docs/scale.md says that it stays.
set -euo pipefail
folder=$(mktemp -d /tmp/rXXXX)
trap 'python "$folder/end.py" || true; rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "ray[train]==2.60.0" psutil==7.2.2 2>/dev/null
export HOME="$folder" RAY_USAGE_STATS_ENABLED=0 RAY_AUTH_MODE=token RAY_AUTH_TOKEN=0123456789abcdef0123456789abcdef
export PATH="$folder/venv/bin:$PATH"
unset RAY_ADDRESS RAY_AUTH_TOKEN_PATH
port=$(python -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
ray start --head --port="$port" --num-cpus=2 --object-store-memory=100000000 --include-dashboard=false \
  --temp-dir="$folder/ray" >/dev/null
cat >"$folder/train.py" <<'PYTHON'
"""A training that does nothing, by a driver of its own."""

import sys

import ray
from ray.train import RunConfig, ScalingConfig
from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer

ray.init(address=sys.argv[1], logging_level="error", log_to_driver=False)
scaling = ScalingConfig(num_workers=1)
DataParallelTrainer(lambda: None, scaling_config=scaling, run_config=RunConfig(storage_path=sys.argv[2])).fit()
ray.shutdown()
PYTHON
cat >"$folder/look.py" <<'PYTHON'
"""The named actors of all drivers; how many there are is the status."""

import sys

import psutil
import ray
from ray.util import list_named_actors

ray.init(address=sys.argv[1], logging_level="error")
found = list_named_actors(all_namespaces=True)
processes = [p for p in psutil.process_iter(["cmdline", "memory_info"]) if "ray::_Autoscaling" in str(p.info["cmdline"])]
print("  named actors:", found, *(f"{p.info['memory_info'].rss / 1e6:.0f} MB" for p in processes))
sys.exit(len(found))
PYTHON
cat >"$folder/end.py" <<'PYTHON'
"""End what was started here, and no other Ray of this machine."""

import contextlib
import os

import psutil

for process in psutil.process_iter(["environ"]):
    own = (process.info["environ"] or {}).get("HOME") == os.environ["HOME"]
    if own and process.pid not in (os.getpid(), os.getppid()):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
PYTHON
before=0 after=0
echo "Before a training:"
python "$folder/look.py" "127.0.0.1:$port" 2>/dev/null || before=$?
python "$folder/train.py" "127.0.0.1:$port" "$folder/results" >/dev/null 2>&1
sleep 5
echo "Five seconds after its driver has ended:"
python "$folder/look.py" "127.0.0.1:$port" 2>/dev/null || after=$?
[ "$before" = 0 ] && [ "$after" = 1 ]

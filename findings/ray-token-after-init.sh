#!/usr/bin/env bash
# Ray 2.60.0: after one `ray.init()`, the command that `ray start --head` prints for other nodes is refused.
#
# Guess before the run: `ray.init()` starts a cluster of this process alone and leaves nothing behind; `ray start --head`
# then starts one without authentication, as the environment asks for none, and a node joins it by the line that the head
# prints, `ray start --address='HOST:PORT'`.
# Seen: `ray.init()` writes ~/.ray/auth_token. From then on every head of this user wants that token, though nobody has
# set RAY_AUTH_MODE, and what it prints says nothing of it. The printed command fails, on the very same machine and for
# the same user: "InvalidAuthToken: Authentication token is missing or incorrect", for `ray start --address` looks for the
# token only where RAY_AUTH_MODE=token. Without the file the same two commands make a cluster.
# For us: the executor of one machine gives its cluster a token of its own and writes none into the home folder;
# docs/scale.md sets RAY_AUTH_MODE=token on every node.
set -euo pipefail
folder=$(mktemp -d /tmp/rXXXX)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check ray==2.60.0 psutil==7.2.2
export HOME="$folder" RAY_USAGE_STATS_ENABLED=0 PATH="$folder/venv/bin:$PATH"
unset RAY_AUTH_MODE RAY_AUTH_TOKEN RAY_AUTH_TOKEN_PATH RAY_ADDRESS
cat >"$folder/joined.py" <<'PYTHON'
"""Whether a second node joins a head by the command that the head prints; all that was started is ended."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys

import psutil

with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
small = ["--num-cpus", "1", "--object-store-memory", "100000000"]
head = ["ray", "start", "--head", f"--port={port}", "--include-dashboard=false", f"--temp-dir={sys.argv[1]}", *small]
said = subprocess.run(head, capture_output=True, text=True, check=True).stdout
command = re.search(r"ray start --address='(.+?)'", said)
print("  the head prints:", command[0], "" if "uth" not in said else "(and speaks of authentication)")
node = subprocess.run(["ray", "start", f"--address={command[1]}", *small], capture_output=True, text=True)
last = (node.stdout + node.stderr).strip().splitlines()[-1]
print(f"  a node by it: status {node.returncode}: {last[:100]}")
mine = [p for p in psutil.process_iter(["environ"]) if (p.info["environ"] or {}).get("HOME") == os.environ["HOME"]]
for process in mine:
    if process.pid != os.getpid():
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGKILL)
sys.exit(node.returncode)
PYTHON
echo "Before ray.init():"
before=0
python "$folder/joined.py" "$folder/1" || before=$?
python -c 'import ray; ray.init(address="local", num_cpus=1, include_dashboard=False, logging_level="error"); ray.shutdown()'
ls "$folder/.ray"
echo "After it:"
after=0
python "$folder/joined.py" "$folder/2" || after=$?
[ "$before" = 0 ] && [ "$after" != 0 ]

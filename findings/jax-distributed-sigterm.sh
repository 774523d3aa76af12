#!/usr/bin/env bash
# JAX 0.10.2 on Linux: after `jax.distributed.initialize` SIGTERM no longer ends the process, nor reaches Python.
#
# Guess before the run: finding the other processes leaves signals alone: SIGTERM ends a Python process, or runs the
# handler that `signal.signal` has set before.
# Seen: a handler of C++ takes SIGTERM over. Its only trace is a line "SIGTERM caught" on standard error; the process goes
# on, and Python's handler is not called. The option `jax_enable_preemption_service` (default: True) turns that off.
# For us: `backends/jax.py` turns it off before it joins, so that a training can be stopped and saves its state.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check jax==0.10.2 jaxlib==0.10.2
cat > "$folder/one.py" <<'PYTHON'
import os
import signal
import socket
import sys
import time

import jax

called = []
signal.signal(signal.SIGTERM, lambda number, frame: called.append(number))
jax.config.update("jax_enable_preemption_service", sys.argv[1] == "on")
with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
jax.distributed.initialize(f"127.0.0.1:{port}", num_processes=1, process_id=0)
os.kill(os.getpid(), signal.SIGTERM)
time.sleep(1)
print("handler called" if called else "nothing happened", flush=True)
os._exit(0)
PYTHON
on=$("$folder/venv/bin/python" "$folder/one.py" on)
off=$("$folder/venv/bin/python" "$folder/one.py" off)
echo "jax 0.10.2, preemption service on (the default): SIGTERM: $on"
echo "jax 0.10.2, preemption service off: SIGTERM: $off"
[ "$on" = "nothing happened" ] && [ "$off" = "handler called" ]

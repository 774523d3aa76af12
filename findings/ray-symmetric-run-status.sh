#!/usr/bin/env bash
# Ray 2.60.0: `ray symmetric-run` ends with status 0 though Ray could not start and the command never ran.
#
# Guess before the run: where the head cannot start, because another program has the port, `ray symmetric-run` says so
# and ends with another status than 0, so that a batch job fails.
# Seen: it prints "Failed to start Ray", runs `ray stop`, which ends all Ray processes of the user on the machine, and
# ends with status 0; the file that the command would have made is not there. Slurm would call the job COMPLETED.
# For us: docs/examples/ray.sbatch asks `dvc status` at its end, and that decides the job's status.
# Needs Linux with unshare, and that users may make namespaces: `ray stop` must find no other cluster of this machine.
set -euo pipefail
folder=$(mktemp -d /tmp/rXXXX)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check ray==2.60.0
export HOME="$folder" PATH="$folder/venv/bin:$PATH" RAY_USAGE_STATS_ENABLED=0 RAY_AUTH_MODE=disabled
unset RAY_ADDRESS
cat >"$folder/inside.sh" <<'BASH'
set -euo pipefail
ip link set lo up
python -c 'import socket, time
taken = socket.create_server(("127.0.0.1", 6379))
time.sleep(1000)' &
sleep 2
status=0
ray symmetric-run --address 127.0.0.1:6379 -- touch "$1/ran" >"$1/said" 2>&1 || status=$?
grep --max-count 1 "Failed to start Ray" "$1/said" | cut -c 1-60
ls "$1/ran" 2>/dev/null || echo "the command did not run"
echo "status $status"
[ "$status" = 0 ] && [ ! -e "$1/ran" ]
BASH
unshare --user --map-root-user --net --pid --fork --kill-child --mount-proc bash "$folder/inside.sh" "$folder"

#!/usr/bin/env bash
# DVC 3.67.1: `dvc exp show` prints, beside a failed queued experiment, metrics that it never made.
#
# Guess before the run: as with queued experiments, whose metrics are left out, a failed one has none.
# Seen: the row of the failed experiment has the metrics file of the commit that it started from, 0.75 here, beside its own
# changed parameter. `repo/experiments/queue/celery.py` (`collect_failed_data`) reads the stash commit and adds an
# error; the table ignores the error, and `--json` has both.
# For us: `make experiments` shows no metrics of what failed, and the README's own line has `--hide-failed`.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check dvc==3.67.1
export PATH="$folder/venv/bin:$PATH" HOME="$folder" DVC_NO_ANALYTICS=1
mkdir "$folder/project"
cd "$folder/project"
git init --quiet
git config user.name Test
git config user.email test@example.org
dvc init --quiet
echo "share: 0.75" > params.yaml
cat > stage.py <<'PYTHON'
import json, re
share = float(re.search("share: (.*)", open("params.yaml").read())[1])
assert share <= 1
json.dump({"accuracy": share}, open("metrics.json", "w"))
PYTHON
dvc stage add --quiet --name train --params share --deps stage.py --metrics-no-cache metrics.json python stage.py
dvc repro --quiet
git add -A
git commit --quiet --message base
dvc exp run --quiet --queue --name broken --set-param share=5
dvc queue start --quiet
for _ in $(seq 60); do
  sleep 1
  dvc queue status | grep --quiet Failed && break
done
dvc exp show --json > "$folder/shown.json"
python - "$folder/shown.json" <<'PYTHON'
import json, sys

import dvc

(run,) = json.load(open(sys.argv[1]))[1]["experiments"]
state, tip = run["executor"]["state"], run["revs"][0]
metrics = tip["data"]["metrics"]["metrics.json"]["data"]
share = tip["data"]["params"]["params.yaml"]["data"]["share"]
print(f"dvc {dvc.__version__}: {tip['name']} {state}, share {share}, metrics {metrics}, error {tip['error']['msg']!r}")
sys.exit(0 if (state, share, metrics) == ("failed", 5, {"accuracy": 0.75}) else 1)
PYTHON

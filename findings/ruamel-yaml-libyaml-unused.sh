#!/usr/bin/env bash
# ruamel.yaml 0.19.1: its extra `libyaml` installs a C parser that `YAML(typ="safe")` never uses; `oldlibyaml`'s it does.
#
# Guess before the run: 0.19.1 comes without a C parser, as its release notes say; with the extra that they recommend,
# `ruamel.yaml[libyaml]`, `YAML(typ="safe")` reads with it, several times as fast, as it did by default up to 0.18.
# Seen: `__with_libyaml__` becomes True, and yet `YAML(typ="safe")` goes on with the parser in Python: the module that makes
# the choice knows only the name of the older package. With `ruamel.yaml[oldlibyaml]` it is the C parser, four times as fast.
# For us: DVC 3.67.1 takes ruamel.yaml without an extra, and reads all of dvc.lock after every stage. requirements/base.in
# asks for `oldlibyaml`.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat >"$folder/look.py" <<'PYTHON'
"""Which parser `YAML(typ="safe")` has, and what a lock file of some size costs it."""

import io
import time

import ruamel.yaml
from ruamel.yaml import YAML

stages = {f"stage{i}": {"cmd": "python -m it", "deps": [{"path": f"file{j}.py", "size": j} for j in range(40)]} for i in range(30)}
stream = io.StringIO()
YAML().dump({"schema": "2.0", "stages": stages}, stream)
times = []
for _ in range(3):
    began = time.process_time()
    read = YAML(typ="safe").load(stream.getvalue())
    times.append(time.process_time() - began)
assert read["stages"] == stages
parser = YAML(typ="safe").Parser
kind = "Python" if parser is ruamel.yaml.parser.Parser else "C"
print(f"says it has libyaml: {ruamel.yaml.__with_libyaml__}; parser: {kind}; {min(times):.2f} s")
PYTHON
failed=0
see() { # requirements
  rm -rf "$folder/venv"
  python3 -m venv "$folder/venv"
  "$folder/venv/bin/pip" install --quiet --disable-pip-version-check "$@" 2>/dev/null
  seen=$("$folder/venv/bin/python" "$folder/look.py")
  echo "$*: $seen"
}
expect() { [[ $seen == *"$1"* ]] || { echo "expected: $1"; failed=1; }; }
see "ruamel.yaml==0.19.1"
expect "libyaml: False; parser: Python"
see "ruamel.yaml[libyaml]==0.19.1" "ruamel.yaml.clibz==0.3.7"
expect "libyaml: True; parser: Python"
see "ruamel.yaml[oldlibyaml]==0.19.1" "ruamel.yaml.clib==0.2.15"
expect "libyaml: True; parser: C"
see "ruamel.yaml==0.18.16" "ruamel.yaml.clib==0.2.15"
expect "libyaml: True; parser: C"
exit $failed

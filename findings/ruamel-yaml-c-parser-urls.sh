#!/usr/bin/env bash
# ruamel.yaml 0.19.1, ruamel.yaml.clib 0.2.15: with the C parser installed, `[http://host/x]` is no YAML any more.
#
# Guess before the run: an optional C parser changes the speed of `YAML(typ="safe")`, and what it accepts only in tabs and the
# like; it holds libyaml 0.2.5, of 2020, or newer, as PyYAML's does.
# Seen: it holds libyaml 0.1.7. That refuses a colon within an unquoted value inside of [...] or {...}, so every URL that
# stands there, with "found unexpected ':'". The same package's parser in Python, and both of PyYAML's, read it.
# For us: DVC 3.67.1 reads params.yaml with whatever is installed. `python -m commands.check`, so `make repro` too, says before
# the first stage that such values need quotes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  ruamel.yaml==0.19.1 ruamel.yaml.clib==0.2.15 PyYAML==6.0.3 2>/dev/null
cat >"$folder/look.py" <<'PYTHON'
"""One value, as a plain URL in a flow sequence, read by four parsers."""

import sys

import _ruamel_yaml
import yaml
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

TEXT = "sets: [http://host/images, s3://bucket/images]"
READERS = {
    "ruamel.yaml, Python": lambda: YAML(typ="safe", pure=True).load(TEXT),
    "ruamel.yaml, C": lambda: YAML(typ="safe").load(TEXT),
    "PyYAML, Python": lambda: yaml.load(TEXT, yaml.SafeLoader),
    "PyYAML, C": lambda: yaml.load(TEXT, yaml.CSafeLoader),
}
refused = []
for name, read in READERS.items():
    try:
        print(f"{name}: {read()}")
    except (YAMLError, yaml.YAMLError) as error:
        print(f"{name}: {type(error).__name__}, {error.problem}")
        refused.append(name)
versions = [".".join(map(str, module.get_version())) for module in (_ruamel_yaml, yaml._yaml)]
print(f"libyaml of ruamel.yaml.clib: {versions[0]}; of PyYAML: {versions[1]}")
sys.exit(refused != ["ruamel.yaml, C"] or versions[0] != "0.1.7")
PYTHON
"$folder/venv/bin/python" "$folder/look.py"

#!/usr/bin/env bash
# pydantic 2.14.3: `Literal[1]` takes True and 1.0, in strict mode too.
#
# Guess before the run: they are refused, in strict mode above all, which turns nothing into anything else: a strict
# `int` refuses both, and to Python's typing (PEP 586) `Literal[1]` and `Literal[True]` are different types.
# Seen: both pass and come out as 1; `Literal[True]` takes 1 and 1.0 as True. Literals are looked up by equality and
# hash. With both in one `Literal[0, False]` each comes out as itself.
# For us: the schema's literals are words only, numbers are `int` with bounds.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pydantic==2.14.3 pydantic-core==2.50.4
"$folder/venv/bin/python" - <<'PYTHON'
import sys
from typing import Literal

import pydantic


def strictly(kind, value):
    try:
        return repr(pydantic.TypeAdapter(kind).validate_python(value, strict=True))
    except pydantic.ValidationError as error:
        return error.errors()[0]["type"]


seen = {}
for kind, value in ((int, True), (int, 1.0), (Literal[1], True), (Literal[1], 1.0), (Literal[True], 1)):
    name = "int" if kind is int else str(kind).removeprefix("typing.")
    seen[f"{name} given {value}"] = strictly(kind, value)
    print(f"pydantic {pydantic.VERSION}, strict: {name} given {value}: {seen[f'{name} given {value}']}")
expected = ["int_type", "int_type", "1", "1", "True"]
sys.exit(0 if list(seen.values()) == expected else 1)
PYTHON

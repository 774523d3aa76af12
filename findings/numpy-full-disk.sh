#!/usr/bin/env bash
# NumPy 2.4.6 on Linux: an array of less than 4 KiB is "written" to a full disk without an error.
#
# Guess before the run: `ndarray.tofile`, and so `numpy.save` to an open file, raises OSError wherever the bytes cannot
# be written, as Python's own `file.write` and `flush` do.
# Seen: 3,200 bytes to /dev/full give no error; 4,800 bytes give OSError "600 requested and 0 written". NumPy writes
# through a C stream of its own, with its buffer of 4 KiB, and does not look at what closing that stream returns.
# For us: `files.write_array` hands NumPy an object that only has Python's `file.write`, which does report it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import numpy as np

seen = {}
for count in (400, 600):
    with open("/dev/full", "wb", buffering=0) as file:  # every write to this device fails: no space left
        try:
            np.zeros(count).tofile(file)
            seen[count] = "no error"
        except OSError as error:
            seen[count] = f"OSError: {error}"
    print(f"numpy {np.__version__}: {8 * count} bytes: {seen[count]}")
sys.exit(0 if seen == {400: "no error", 600: "OSError: 600 requested and 0 written"} else 1)
PYTHON

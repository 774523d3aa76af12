#!/usr/bin/env bash
# Keras 3.15.1: a fourth member in a .keras archive makes `load_model` unpack all of it onto the disk.
#
# Guess before the run: a member that Keras does not know is passed over.
# Seen: with three members nothing is unpacked; with a fourth, whatever its name, the whole archive is, weights too, into
# the temporary folder, and is removed afterwards. A key of ours in metadata.json, which Keras never reads, costs nothing.
# For us: what a model says of itself stands in metadata.json (noisy_student/inference/description.py).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check keras==3.15.1 jax==0.10.2 numpy==2.4.6
cat > "$folder/load.py" <<'PYTHON'
import json
import sys
import zipfile

import keras

keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]).save("plain.keras")
unpacked = []
extractall = zipfile.ZipFile.extractall
zipfile.ZipFile.extractall = lambda self, *a, **k: (unpacked.append(self.filename), extractall(self, *a, **k))[1]
with zipfile.ZipFile("plain.keras") as old:
    members = {name: old.read(name) for name in old.namelist()}
assert len(members) == 3, sorted(members)


def loads_unpacking(changed):
    with zipfile.ZipFile("changed.keras", "w") as new:
        for name, data in changed.items():
            new.writestr(name, data)
    unpacked.clear()
    keras.saving.load_model("changed.keras", safe_mode=True)
    return bool(unpacked)


metadata = json.dumps(json.loads(members["metadata.json"]) | {"ours": {"classes": ["a"]}})
seen = [loads_unpacking(members | change) for change in ({}, {"metadata.json": metadata}, {"ours.json": "{}"})]
print("unpacked: as saved, a key in metadata.json, a fourth member:", seen)
sys.exit(seen != [False, False, True])
PYTHON
cd "$folder"
KERAS_BACKEND=jax "$folder/venv/bin/python" load.py

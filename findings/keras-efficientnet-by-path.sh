#!/usr/bin/env bash
# Keras 3.15.1: EfficientNetB0(weights=PATH) of the very file that weights="imagenet" loads is another network.
#
# Guess before the run: with the file on disk, `weights="imagenet"` and `weights=PATH` give the same outputs; a file that
# does not match its hash is removed by `keras.utils.get_file`; `.weights.h5` names its groups by the layers' names.
# Seen: "imagenet" has a second Rescaling after the Normalization, because the files that Keras ships hold ImageNet's
# deviation where that layer wants the variance; by path it is left out, without a word. `get_file` raises ValueError and
# leaves the wrong file in its place. Groups are named by classes (`layers/conv2d_1`), layers by the attribute `name`.
# For us: `pretrained/keras_files.py` takes the variance as it was meant, whatever the file's name, and reads layers by the
# attribute; `commands/weights.py` fetches into a temporary folder.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check keras==3.15.1 jax==0.10.2 h5py==3.16.0
cd "$folder"
KERAS_BACKEND=jax venv/bin/python - <<'PYTHON'
import sys
from pathlib import Path

import h5py
import keras
import numpy as np
from keras.src.applications import efficientnet

options = {"include_top": False, "input_shape": (32, 32, 3), "pooling": "avg"}
first = keras.applications.EfficientNetB0(weights=None, **options)
next(layer for layer in first.layers if layer.name.startswith("normalization")).set_weights(
    [np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225]), np.array(0)]
)
first.save_weights("b0.weights.h5")
with h5py.File("b0.weights.h5") as file:
    named = file["layers/conv2d_1/vars"].attrs["name"]
efficientnet.file_utils.get_file = lambda *_, **__: "b0.weights.h5"
pixels = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype("float32")
outputs = [keras.applications.EfficientNetB0(weights=given, **options) for given in ("imagenet", "b0.weights.h5")]
rescalings = [sum(isinstance(layer, keras.layers.Rescaling) for layer in model.layers) for model in outputs]
difference = float(np.abs(np.subtract(*(model.predict(pixels, verbose=0) for model in outputs))).max())
Path("origin.bin").write_bytes(b"another file")
try:
    keras.utils.get_file("x.bin", Path("origin.bin").absolute().as_uri(), cache_dir=".", cache_subdir="", file_hash="0" * 32)
    left = None
except ValueError:
    left = Path("x.bin").is_file()
print(f"keras {keras.__version__}: Rescaling layers {rescalings}, largest difference {difference:.3g}")
print(f"conv2d_1 is the layer {named}; a file with another hash is left: {left}")
sys.exit(0 if rescalings == [2, 1] and difference > 0 and left else 1)
PYTHON

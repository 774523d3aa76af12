#!/usr/bin/env bash
# Keras 3.15.1: RandomPosterization(8), eight bits of eight, leaves one to seven of them.
#
# Guess before the run: `factor`, by its documentation the number of bits to keep, is that number, so that 8 changes nothing and 4
# keeps 16 levels, as Pillow's posterize does.
# Seen with 300 images each: a single number is the upper end of a range that begins at 1 and leaves its end out. 8 gives
# 2 to 128 levels, evenly; 4 gives 2, 4 or 8, never 16. A pair of equal numbers, (4, 4), keeps so many bits.
# For us: our posterize is Pillow's (noisy_student/noise); a row in docs/recipes.md.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check keras==3.15.1 jax==0.10.2 numpy==2.4.6
KERAS_BACKEND=jax JAX_PLATFORMS=cpu "$folder/venv/bin/python" - <<'PYTHON'
import sys

import keras
import numpy as np

ramp = np.arange(256, dtype="float32").reshape(1, 16, 16, 1).repeat(300, axis=0).repeat(3, axis=3)


def levels(factor):
    out = keras.layers.RandomPosterization(factor, seed=0)(ramp, training=True)
    return sorted({len(np.unique(image)) for image in keras.ops.convert_to_numpy(out)})


seen = {str(factor): levels(factor) for factor in (8, 4, (8, 8), (4, 4))}
print(f"keras {keras.__version__}: levels that are left, by factor: {seen}; expected 256 and 16 in all")
expected = {"8": [2**bits for bits in range(1, 8)], "4": [2, 4, 8], "(8, 8)": [256], "(4, 4)": [16]}
sys.exit(0 if seen == expected else 1)
PYTHON

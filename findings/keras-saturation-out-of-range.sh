#!/usr/bin/env bash
# Keras 3.15.1: RandomSaturation of images of 0 to 255 gives values far below 0.
#
# Guess before the run: `value_range` (0, 255) is the range of what comes out, too; more saturation ends at pure colours.
# Seen with a muted colour (180, 120, 100): up to a factor of 0.69 its saturation of 0.44 grows to 1, the lowest channel falls to
# 0. Then it goes on: -60 at 0.75, -273 at 0.85; the saturation, a share of 0 to 1, is cut off at 255, the upper end of the pixels. With
# value_range (0, 1) and pixels of 0 to 1 it is cut off at 1, and all is as guessed.
# For us: no layer of Keras makes our noise; a row in docs/recipes.md.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check keras==3.15.1 jax==0.10.2 numpy==2.4.6
KERAS_BACKEND=jax JAX_PLATFORMS=cpu "$folder/venv/bin/python" - <<'PYTHON'
import sys

import keras
import numpy as np

pixels = np.broadcast_to(np.array([180.0, 120.0, 100.0], "float32"), (1, 4, 4, 3))


def lowest(factor, top):
    layer = keras.layers.RandomSaturation((factor, factor), value_range=(0, top), seed=0)
    return 255 / top * float(keras.ops.convert_to_numpy(layer(pixels * top / 255, training=True)).min())


factors = (0.5, 0.6, 0.75, 0.85)
wide, unit = ([round(lowest(factor, top)) for factor in factors] for top in (255, 1))
print(f"keras {keras.__version__}: lowest channel of (180, 120, 100) at the factors {factors}, in grey levels:")
print(f"pixels of 0 to 255: {wide}; of 0 to 1: {unit}; expected none below 0")
sys.exit(0 if wide[0] == unit[0] == 100 and wide[-1] < -200 and min(unit) >= 0 else 1)
PYTHON

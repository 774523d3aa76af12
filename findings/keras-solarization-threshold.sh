#!/usr/bin/env bash
# Keras 3.15.1: Solarization(threshold_factor=(0.5, 0.5)) draws its threshold from 0.5 to 127.5, not 127.5.
#
# Guess before the run: both ends of threshold_factor are shares of 255, so that two equal ends fix the threshold, as they
# do in every other layer with a range of factors; Pillow's solarize(image, 128) is the same.
# Seen: only the upper end is multiplied by 255. In 200 draws with (0.5, 0.5) the threshold lies anywhere below 128, at
# 70 on average. A single number as factor means 0 to that by the
# documentation, so there it does not show.
# For us: our solarize is Pillow's (noisy_student/noise), and no layer of Keras makes our noise.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check keras==3.15.1 tensorflow==2.21.0 numpy==2.4.6
TF_CPP_MIN_LOG_LEVEL=3 "$folder/venv/bin/python" - <<'PYTHON'
import sys

import keras
import numpy as np

keras.utils.set_random_seed(0)
ramp = np.arange(256, dtype="float32").reshape(1, 16, 16, 1).repeat(3, axis=3)
layer = keras.layers.Solarization(threshold_factor=(0.5, 0.5), value_range=(0, 255))
first = []
for _ in range(200):
    out = keras.ops.convert_to_numpy(layer(ramp, training=True))
    first.append(int(np.flatnonzero(out[..., 0].ravel() != ramp[..., 0].ravel())[0]))
print(f"keras {keras.__version__}: lowest inverted value in 200 draws with (0.5, 0.5): ", end="")
print(f"{min(first)} to {max(first)}, mean {np.mean(first):.0f}; expected 128 in all")
sys.exit(0 if min(first) < 20 and 100 < max(first) <= 128 and 50 < np.mean(first) < 80 else 1)
PYTHON

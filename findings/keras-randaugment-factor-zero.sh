#!/usr/bin/env bash
# Keras 3.15.1: RandAugment and AugMix with `factor=0.0` posterize to two levels and invert whole images.
#
# Guess before the run: `factor`, by the documentation the strength from 0 to 1, moves nothing, turns nothing and recolours nothing at 0;
# only operations without a strength (contrast stretched, histogram evened) change an image, and on a full ramp of grey these do nothing.
# Seen in 150 calls with one operation each: 106 leave the ramp as it is, 12 posterize it to two levels, 13 invert it, 19 are others
# (RandomSharpness blurs at 0; what changes nothing there is 0.5). So the weakest setting has two of the strongest distortions there are, and
# posterization becomes milder as the strength grows. AugMix at 0 changes the ramp by 23 of 255 levels in the mean.
# For us: our magnitudes run from no change to the table's end (noisy_student/noise); a row in docs/recipes.md.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check keras==3.15.1 jax==0.10.2 numpy==2.4.6
KERAS_BACKEND=jax JAX_PLATFORMS=cpu "$folder/venv/bin/python" - <<'PYTHON'
import sys
from collections import Counter

import keras
import numpy as np

keras.utils.set_random_seed(0)
ramp = np.arange(256, dtype="float32").reshape(1, 16, 16, 1).repeat(3, axis=3)


def kind(out):
    if np.abs(out - ramp).max() < 2:
        return "unchanged"
    if len(np.unique(out)) == 2:
        return "two levels"
    return "inverted" if np.abs(out - (255 - ramp)).max() < 2 else "other"


layer = keras.layers.RandAugment(num_ops=1, factor=0.0)
seen = Counter(kind(keras.ops.convert_to_numpy(layer(ramp, training=True))) for _ in range(150))
mix = keras.layers.AugMix(factor=0.0)
mixed = [np.abs(keras.ops.convert_to_numpy(mix(ramp, training=True)) - ramp).mean() for _ in range(60)]
print(f"keras {keras.__version__}: 150 calls of RandAugment(num_ops=1, factor=0.0): {dict(seen)}; expected unchanged in all")
print(f"60 calls of AugMix(factor=0.0): changed by {np.mean(mixed):.0f} grey levels in the mean, {max(mixed):.0f} at most")
sys.exit(0 if min(seen["two levels"], seen["inverted"]) >= 3 and seen["unchanged"] > 60 and np.mean(mixed) > 3 else 1)
PYTHON

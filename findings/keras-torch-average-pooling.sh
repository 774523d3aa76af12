#!/usr/bin/env bash
# Keras 3.15.1 with PyTorch: AveragePooling with padding="same" counts repeated border values.
#
# Guess before the run: padding="same" leaves what lies outside of the image out of the average, on every backend: the
# last window of 0..7 with pool 3, stride 3 holds 6 and 7, so it gives 6.5.
# Seen: 6.5 with NumPy and JAX, 6.667 = (6 + 7 + 7) / 3 with PyTorch. Where as much is added on both sides (stride 1)
# all agree; where one side gets more (an even size with pool 3 and stride 2, say) the backend adds the last value again
# before it pools. The difference is one of the last row and column, and a model's file says nothing of it.
# For us: our networks use global pooling and MaxPooling alone; a network of your own with AveragePooling(padding="same")
# gives other figures with backend=torch.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check keras==3.15.1 jax==0.10.2 torch==2.15.0 numpy==2.4.6
cat > "$folder/seen.py" <<'PYTHON'
import sys

import keras
import numpy as np
from keras.ops import convert_to_numpy

line = np.arange(8, dtype="float32").reshape(1, 8, 1)


def last(stride):
    return float(convert_to_numpy(keras.layers.AveragePooling1D(3, stride, padding="same")(line))[0, -1, 0])


values = {stride: round(last(stride), 3) for stride in (1, 2, 3)}
print(f"keras {keras.__version__} {keras.backend.backend()}: last average of 0..7, pool 3, by stride: {values}")
torch = keras.backend.backend() == "torch"
sys.exit(0 if values == ({1: 6.5, 2: 6.667, 3: 6.667} if torch else {1: 6.5, 2: 6.5, 3: 6.5}) else 1)
PYTHON
for backend in numpy jax torch; do
    KERAS_BACKEND=$backend "$folder/venv/bin/python" "$folder/seen.py"
done

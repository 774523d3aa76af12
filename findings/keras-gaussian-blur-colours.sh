#!/usr/bin/env bash
# Keras 3.15.1: gaussian_blur without a data_format blurs along width and colours, with JAX and PyTorch.
#
# Guess before the run: keras.ops.image.gaussian_blur takes the configured data format (channels_last, the default), as
# resize and the others do, and blurs along height and width, with the same values on every backend.
# Seen: with NumPy so it is. With JAX and PyTorch the format stays None and is taken for channels_first: a red pixel
# becomes one lit row with green and blue in it, and a kernel that is not square changes the shape with PyTorch. With
# data_format="channels_last" spelt out all agree. Known: keras, pull request 23542, merged after this release.
# For us: nothing here blurs by Keras (corruptions are NumPy's, in noisy_student/robustness); a network of your own on
# several backends has to name the format: docs/adding.md.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check keras==3.15.1 jax==0.10.2 torch==2.15.0 torchvision==0.29.2 numpy==2.4.6
cat > "$folder/seen.py" <<'PYTHON'
import sys

import keras
import numpy as np
from keras.ops import convert_to_numpy
from keras.ops.image import gaussian_blur

images = np.zeros((1, 9, 9, 3), "float32")
images[0, 4, 4, 0] = 1  # one red pixel


def blurred(kernel, **options):
    return convert_to_numpy(gaussian_blur(images, kernel, (1.0, 1.0), **options))


def facts(image):
    return int(image[0].any(axis=(1, 2)).sum()), [round(float(light), 2) for light in image[0].sum(axis=(0, 1))]


silent, spelt = facts(blurred((5, 5))), facts(blurred((5, 5), data_format="channels_last"))
shape = blurred((3, 5)).shape
backend = keras.backend.backend()
print(f"keras {keras.__version__} {backend}: lit rows and light of red, green, blue {silent}, ", end="")
print(f"with the format named {spelt}; shape with a kernel of 3 x 5: {shape}")
right = (5, [1.0, 0.0, 0.0])
wrong = silent[0] == 1 and min(silent[1]) > 0
seen = spelt == right and (silent == right if backend == "numpy" else wrong)
sys.exit(0 if seen and (shape == images.shape) == (backend != "torch") else 1)
PYTHON
for backend in numpy jax torch; do
    KERAS_BACKEND=$backend "$folder/venv/bin/python" "$folder/seen.py"
done

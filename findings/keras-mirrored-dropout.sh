#!/usr/bin/env bash
# Keras 3.15.1 on TensorFlow 2.21.0: under MirroredStrategy all replicas drop the same units.
#
# Guess before the run: each replica draws a mask of its own, so that the images of a batch are noised independently, as
# on one device.
# Seen: the seed generator of a layer has the same state on every replica, so the masks are equal, call after call: image i of
# one replica and image i of the other lose the same units. On one device the two halves of a batch differ.
# For us: `models/stochastic_depth.py` draws coins and masks for the whole batch, of which each replica takes its rows.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check keras==3.15.1 tensorflow==2.21.0
export TF_CPP_MIN_LOG_LEVEL=3 KERAS_BACKEND=tensorflow CUDA_VISIBLE_DEVICES=
"$folder/venv/bin/python" - 2> "$folder/log" <<'PYTHON' || { tail -5 "$folder/log"; exit 1; }
import sys

import keras
import numpy as np
import tensorflow as tf

(cpu,) = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
strategy = tf.distribute.MirroredStrategy([device.name for device in tf.config.list_logical_devices("CPU")])
with strategy.scope():
    layer = keras.layers.Dropout(0.5, seed=1)
alone = keras.layers.Dropout(0.5, seed=1)


@tf.function
def dropped():
    return strategy.run(lambda: layer(tf.ones((8, 100)), training=True))


equal, halves = [], []
for _ in range(3):
    first, second = (part.numpy() for part in strategy.experimental_local_results(dropped()))
    equal.append(bool(np.array_equal(first, second)))
    whole = np.array(alone(tf.ones((16, 100)), training=True))
    halves.append(bool(np.array_equal(whole[:8], whole[8:])))
versions = f"keras {keras.__version__}, tensorflow {tf.__version__}"
print(f"{versions}: masks of 8 x 100 units are equal on both replicas: {equal}; in both halves of a batch: {halves}")
sys.exit(0 if equal == [True] * 3 and halves == [False] * 3 else 1)
PYTHON

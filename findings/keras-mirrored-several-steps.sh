#!/usr/bin/env bash
# Keras 3.15.1 on TensorFlow 2.21.0, two virtual CPUs: `fit` under MirroredStrategy fails with steps_per_execution=2.
#
# Guess before the run: several steps an execution are for speed only, so that what trains with 1 trains with 2.
# Seen: with 1 it trains; with 2 the first execution ends in InvalidArgumentError, "You must feed a value for placeholder
# tensor 'while/body/...'", for arrays and for a tf.data pipeline alike.
# For us: `backends/tensorflow.py` takes one step at a time where devices share the batches.
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
seen = {}
for steps in (1, 2):
    strategy = tf.distribute.MirroredStrategy([device.name for device in tf.config.list_logical_devices("CPU")])
    with strategy.scope():
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
        model.compile("sgd", "mse", steps_per_execution=steps, jit_compile=False)
    try:
        model.fit(np.ones((32, 4), "float32"), np.ones((32, 3), "float32"), batch_size=8, verbose=0)
        seen[steps] = "trained"
    except tf.errors.InvalidArgumentError as error:
        seen[steps] = "InvalidArgumentError" if "must feed a value for placeholder" in str(error) else str(error)
    print(f"keras {keras.__version__}, tensorflow {tf.__version__}: steps_per_execution={steps}: {seen[steps]}")
sys.exit(0 if seen == {1: "trained", 2: "InvalidArgumentError"} else 1)
PYTHON

#!/usr/bin/env bash
# Keras 3.15.1 on PyTorch 2.15.0: an optimizer with weight decay from which every variable is excluded ends in an error.
#
# Guess before the run: with `exclude_from_weight_decay` naming all variables (or where only biases and normalisation learn)
# nothing decays, on every backend; the documentation sets no least number.
# Seen: on PyTorch every optimizer tried ends at the first step in "RuntimeError: Tensor list must have at least one tensor.";
# on TensorFlow and JAX all go on. The parallel optimizers hand PyTorch's _foreach functions an empty list.
# For us: training/optimization.py asks first (tests/training/test_optimization.py); docs/adding.md.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check keras==3.15.1 torch==2.15.0 jax==0.10.2 numpy==2.4.6
for backend in torch jax; do
  KERAS_BACKEND=$backend "$folder/venv/bin/python" - <<'PYTHON' || exit 1
import sys

import keras

found = {}
for name in ("SGD", "Adam", "AdamW", "RMSprop", "Lion", "Adagrad"):
    layer = keras.layers.Dense(2)
    layer.build((None, 3))
    optimizer = getattr(keras.optimizers, name)(0.1, weight_decay=0.1)
    optimizer.exclude_from_weight_decay(var_list=layer.trainable_variables)
    optimizer.build(layer.trainable_variables)
    try:
        optimizer.apply([keras.ops.ones(v.shape) for v in layer.trainable_variables], layer.trainable_variables)
        found[name] = "a step"
    except RuntimeError as error:
        found[name] = str(error)
print("keras", keras.__version__, keras.backend.backend(), found)
expected = "Tensor list must have at least one tensor." if keras.backend.backend() == "torch" else "a step"
sys.exit(0 if set(found.values()) == {expected} else 1)
PYTHON
done

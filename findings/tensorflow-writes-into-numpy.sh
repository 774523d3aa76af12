#!/usr/bin/env bash
# TensorFlow 2.21.0, MirroredStrategy of two CPUs: a NumPy array that tf.numpy_function returned is overwritten later.
#
# Guess before the run: what a Python function gives to tf.data by tf.numpy_function is copied, or only read; an array
# that it returns each time (weights of examples, say) keeps its values.
# Seen: the tensor lies in the array's own memory, and kernels write their results there: after 100 steps that compute
# x * 0.5 an array of fours holds other numbers, and so do the "fours" of later steps. In 4 of 12 processes, for it takes
# that nobody else holds the tensor at that moment; one device showed it in none.
# For us: `training/batches.py` gives each batch an array of its own; trainings on two devices had differed by run.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check tensorflow==2.21.0 numpy==2.4.6
cat > "$folder/steps.py" <<'PYTHON'
import sys

import numpy as np
import tensorflow as tf

(cpu,) = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
fours = np.full(64, 4.0, np.float32)
strategy = tf.distribute.MirroredStrategy([device.name for device in tf.config.list_logical_devices("CPU")])


def given(_):
    return fours if sys.argv[1] == "same" else fours.copy()


def fetch(index):
    return tf.ensure_shape(tf.numpy_function(given, [index], tf.float32), [64])


batches = strategy.experimental_distribute_dataset(tf.data.Dataset.range(5).map(fetch).prefetch(2))


@tf.function
def step(iterator):
    sums = strategy.run(lambda x: tf.reduce_sum(x * 0.5), args=(next(iterator),))
    return strategy.reduce("SUM", sums, axis=None)


seen = set()
for _ in range(20):
    iterator = iter(batches)
    seen |= {float(step(iterator)) for _ in range(5)}
print("kept" if seen == {128.0} and (fours == 4).all() else "overwritten")
PYTHON
cd "$folder"
export TF_CPP_MIN_LOG_LEVEL=3
for _ in $(seq 30); do # until it is seen
  "$folder/venv/bin/python" steps.py same 2> /dev/null >> same.txt
  "$folder/venv/bin/python" steps.py copies 2> /dev/null >> copies.txt
  if grep -q overwritten same.txt; then break; fi
done
echo "the same array: $(sort same.txt | uniq -c | xargs); copies: $(sort copies.txt | uniq -c | xargs)"
grep -q overwritten same.txt && ! grep -q overwritten copies.txt

#!/usr/bin/env bash
# TensorFlow 2.21.0 on x86-64: with deterministic operations, a product of matrices still depends on the number of threads.
#
# Guess before the run: `tf.config.experimental.enable_op_determinism()` makes a product of two float32 matrices the same
# bytes for any number of threads, since each element of the result is a sum of its own.
# Seen: (64, 5000) x (5000, 33) has other bytes with 1, 2 and 4 threads. Eigen cuts a long sum into parts by the number of
# threads; deterministic operations fix their order, not their number.
# For us: `arithmetic: portable` fixes the number of threads too; metrics/run.json records it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check tensorflow==2.21.0 numpy==2.4.6
cat > "$folder/product.py" <<'PYTHON'
import hashlib

import numpy as np
import tensorflow as tf

tf.config.experimental.enable_op_determinism()
draw = np.random.Generator(np.random.PCG64(1))
a, b = (draw.integers(-(2**20), 2**20, shape).astype(np.float32) / 2**20 for shape in ((64, 5000), (5000, 33)))
first, again = (tf.matmul(a, b).numpy().tobytes() for _ in range(2))
assert first == again, "not even twice the same"
print(hashlib.sha256(first).hexdigest()[:12])
PYTHON
export TF_CPP_MIN_LOG_LEVEL=3 TF_ENABLE_ONEDNN_OPTS=0
seen=$(for threads in 1 2 4; do TF_NUM_INTRAOP_THREADS=$threads "$folder/venv/bin/python" "$folder/product.py" 2> /dev/null; done)
echo "$seen"
test "$(sort -u <<< "$seen" | wc -l)" = 3

#!/usr/bin/env bash
# TensorFlow 2.21.0 with oneDNN on AVX2: the filter gradient of a 1x1 convolution of stride 2 is wrong now and then.
#
# Guess before the run: kernels differ in their last digits only, and enable_op_determinism makes two calls equal.
# Seen with TF_ENABLE_ONEDNN_OPTS=1 and 4 input channels (64 images of 8 x 8, 8 filters): of 2,000 equal calls 5 to 73 %
# (by the process) give another gradient, whose largest error is not 1e-5 but as large as the gradient itself. The log
# promises slightly different results by round-off. With 8 or 16 channels, or without oneDNN, all calls agree.
# Nothing is said, also with deterministic operations. It is the projection shortcut of every ResNet that is narrow.
# For us: oneDNN is not switched on where TensorFlow does not take it by itself, but `arithmetic: portable` does, and
# there it holds for networks narrower than 8 filters: docs/reproducibility.md.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check tensorflow==2.21.0 numpy==2.4.6
cat > "$folder/seen.py" <<'PYTHON'
import collections
import os
import sys

import numpy as np
import tensorflow as tf

tf.config.experimental.enable_op_determinism()
random = np.random.default_rng(0)
on, seen = os.environ["TF_ENABLE_ONEDNN_OPTS"] == "1", True
for channels in (4, 8, 16):
    x = tf.constant(random.normal(size=(64, 8, 8, channels)).astype("float32"))
    g = tf.constant(random.normal(size=(64, 4, 4, 2 * channels)).astype("float32"))
    shape = [1, 1, channels, 2 * channels]

    @tf.function
    def gradient(x=x, g=g, shape=shape):
        return tf.raw_ops.Conv2DBackpropFilter(
            input=x, filter_sizes=shape, out_backprop=g, strides=[1, 2, 2, 1], padding="SAME"
        )

    found, beside = collections.Counter(), []
    for _ in range(2000):
        found[gradient().numpy().tobytes()] += 1
        beside = [*beside[-20:], tf.zeros([random.integers(1, 50)])]  # as other tensors of a training come and go
    exact = np.einsum("nijc,nijo->co", x.numpy()[:, ::2, ::2].astype(float), g.numpy().astype(float))
    errors = {key: np.abs(np.frombuffer(key, "float32").reshape(exact.shape) - exact).max() for key in found}
    wrong = sum(count for key, count in found.items() if errors[key] > 1e-3)
    print(f"TensorFlow {tf.__version__}, oneDNN {'on' if on else 'off'}, {channels} channels: {len(found)} different ", end="")
    print(f"results, {wrong} of 2,000 wrong, largest error {max(errors.values()):.1e} of {np.abs(exact).max():.0f}")
    seen &= (wrong > 0) == (on and channels == 4) and (wrong > 0 or len(found) == 1)
sys.exit(0 if seen else 1)
PYTHON
for onednn in 1 0; do
    TF_CPP_MIN_LOG_LEVEL=3 ONEDNN_MAX_CPU_ISA=AVX2 TF_ENABLE_ONEDNN_OPTS=$onednn "$folder/venv/bin/python" "$folder/seen.py"
done

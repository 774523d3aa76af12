#!/usr/bin/env bash
# TensorFlow 2.21.0: on x86-64 CPUs without AVX512-VNNI, AVX-VNNI or AMX its convolutions are Eigen's, at half the speed.
#
# Guess before the run: TensorFlow's Linux packages use oneDNN by default (since 2.9), so that a training step on any
# CPU with AVX2 runs its kernels.
# Seen on an AMD EPYC with AVX2: by default no primitive of oneDNN runs. With TF_ENABLE_ONEDNN_OPTS=1 they do, and the
# gradient of a 3x3 convolution (256 to 256 channels, 3 x 3 places, batch 128) takes a tenth of the time. Nothing in the
# log says that the slower kernels are in use; with oneDNN it says that they are. Release notes name the instruction sets.
# For us: stages set the switch; docs/performance.md says what it brings.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check tensorflow==2.21.0 numpy==2.4.6
cat > "$folder/seen.py" <<'PYTHON'
import statistics
import time

import tensorflow as tf

kernel, cotangent = tf.random.normal([3, 3, 256, 256]), tf.random.normal([128, 3, 3, 256])
seconds = []
for _ in range(15):
    began = time.perf_counter()
    tf.nn.conv2d_transpose(cotangent, kernel, [128, 3, 3, 256], 1, "SAME").numpy()
    seconds.append(time.perf_counter() - began)
print(f"milliseconds: {1e3 * statistics.median(seconds):.1f}")
PYTHON
run() { env -u TF_ENABLE_ONEDNN_OPTS TF_CPP_MIN_LOG_LEVEL=3 ONEDNN_VERBOSE=1 "$@" "$folder/venv/bin/python" "$folder/seen.py" 2> /dev/null; }
run env > "$folder/default"
run env TF_ENABLE_ONEDNN_OPTS=1 > "$folder/on"
count() { grep -c ',convolution,\|,deconvolution,' "$1" || true; }
grep -o -w -E 'avx2|avx_vnni|avx512_vnni|avx512_bf16|amx_tile' /proc/cpuinfo | sort -u | xargs echo "TensorFlow 2.21.0, CPU with:"
echo "by default: $(count "$folder/default") convolutions of oneDNN, $(grep milli "$folder/default")"
echo "TF_ENABLE_ONEDNN_OPTS=1: $(count "$folder/on") convolutions of oneDNN, $(grep milli "$folder/on")"
if grep -q -w -E 'avx_vnni|avx512_vnni|avx512_bf16|amx_tile' /proc/cpuinfo; then
    [ "$(count "$folder/default")" -gt 0 ]
else
    [ "$(count "$folder/default")" -eq 0 ] && [ "$(count "$folder/on")" -gt 0 ]
fi

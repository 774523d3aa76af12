#!/usr/bin/env bash
# PyTorch 2.15.0: set_float32_matmul_precision("medium"), meant for GPUs, turns products on CPUs with AMX into bfloat16.
#
# Guess before the run: on a CPU float32 stays float32; training scripts set "medium" for tensor cores, and it is ignored
# where there are none.
# Seen on an Intel Xeon with AMX: errors of products, linear layers, attention and gradients rise from 6e-7 to 2e-3 of the
# largest value, and the distance of a vector to itself by `torch.cdist` from 0.06 % to 5 % of the largest one. Convolutions
# and LSTMs stay float32. With oneDNN held to AVX512, or on a CPU with no more, nothing changes; "high" changes nothing on either.
# For us: stages call no such function; docs/reproducibility.md names it for those who train from Python on PyTorch.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.15.0 numpy==2.4.6
cat > "$folder/seen.py" <<'PYTHON'
import copy

import torch

torch.manual_seed(0)
a, b, images = torch.randn(256, 256), torch.randn(256, 256), torch.randn(8, 64, 16, 16)
vectors = torch.randn(64, 512)
linear, convolution, lstm = torch.nn.Linear(256, 256), torch.nn.Conv2d(64, 64, 3), torch.nn.LSTM(256, 64)


def computed(change):
    def called(module, values):
        return change(copy.deepcopy(module))(change(values))

    given = change(vectors)
    found = {"product": change(a) @ change(b), "linear": called(linear, a), "convolution": called(convolution, images)}
    return found | {"LSTM": called(lstm, a)[0], "distances": torch.cdist(given, given)}


with torch.no_grad():
    right = computed(lambda one: one.double())
    for precision in ("highest", "high", "medium"):
        torch.set_float32_matmul_precision(precision)
        found = computed(lambda one: one)
        errors = {name: float((found[name] - right[name]).abs().max() / right[name].abs().max()) for name in right}
        print(precision, *(f"{name} {error:.0e}" for name, error in errors.items()), sep="  ")
PYTHON
echo "PyTorch 2.15.0, CPU with: $(grep -o -w -m1 amx_bf16 /proc/cpuinfo | head -1 || echo 'no AMX')"
"$folder/venv/bin/python" "$folder/seen.py" | tee "$folder/default"
echo "oneDNN held to AVX512:"
ONEDNN_MAX_CPU_ISA=AVX512_CORE "$folder/venv/bin/python" "$folder/seen.py" | tee "$folder/held"
[ "$(grep -c -E 'product [0-9]e-0?7' "$folder/held")" -eq 3 ] || exit 1
[ "$(grep -c -E 'product [0-9]e-0?7' "$folder/default")" -ge 2 ] || exit 1
if grep -q -w amx_bf16 /proc/cpuinfo; then
    grep -q -E '^medium +product [0-9]e-0?3 +linear [0-9]e-0?3 +convolution [0-9]e-0?7 +LSTM [0-9]e-0?7' "$folder/default" || exit 1
fi

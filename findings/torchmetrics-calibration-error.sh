#!/usr/bin/env bash
# torchmetrics 1.9.0: confidences of exactly 1.0 have a bin of their own in the calibration error.
#
# Guess before the run: n_bins=15 means Guo et al.'s 15 bins ((m - 1) / 15, m / 15], and a confidence of 1.0 falls into
# the last. 500 images at 1.0, of which 450 are right, and 500 at 0.99, all right: |0.95 - 0.995| = 0.045.
# Seen: 0.055 = (|0.9 - 1| + |1 - 0.99|) / 2: there is a sixteenth bin for 1.0, and bins are closed on the left. A network
# in float32 gives exactly 1.0 from a distance of 17 between logits on, so over-confident networks show it most.
# For us: our ECE has 15 bins and 1.0 in the last (tests/test_metrics.py), as docs/tutorial.md says.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torchmetrics==1.9.0 torch==2.15.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import torch
import torchmetrics
from torchmetrics.functional.classification import multiclass_calibration_error

probs = torch.zeros(1000, 3)
probs[:500, 0] = 1.0
probs[500:, 0], probs[500:, 1] = 0.99, 0.01
labels = torch.zeros(1000, dtype=torch.long)
labels[:50] = 1
last = multiclass_calibration_error(probs, labels, num_classes=3, n_bins=15).item()
print(f"torchmetrics {torchmetrics.__version__}: {last:.4f}, one last bin would give {abs(0.95 - 0.995):.4f}")
half = torch.tensor([[0.5, 0.5], [0.48, 0.52]] * 100, dtype=torch.float64)  # 0.5 closes the fifth of ten bins
edge = multiclass_calibration_error(half, torch.tensor([1, 1] * 100), num_classes=2, n_bins=10).item()
print(f"0.5 (wrong) and 0.52 (right) in ten bins: {edge:.4f}; in bins closed on the right 0.49, in one bin 0.01")
saturated = torch.softmax(torch.tensor([17.4, 0.0, 0.0]), 0)[0].item()
print(f"softmax of logits 17.4, 0, 0 in float32: {saturated}")
sys.exit(0 if abs(last - 0.055) < 1e-5 and abs(edge - 0.01) < 1e-5 and saturated == 1.0 else 1)
PYTHON

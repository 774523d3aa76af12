#!/usr/bin/env bash
# timm 1.0.31: ModelEmaV3(use_warmup=True) does not warm up unless every update is told its step.
#
# Guess before the run: `ModelEmaV3(model, decay=0.9999, use_warmup=True)` counts its calls of `update(model)`, so that its decay
# starts near 0 and the average forgets the random weights; a missing step would be an error.
# Seen: without `step` each update has the full decay, silently: after 1,000 updates the average is still nine tenths random
# weights. With `update(model, step)` it warms up, and steps 0 and 1 copy the model, with use_warmup=False too.
# For us: docs/recipes.md; our average counts its own steps.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check timm==1.0.31 torch==2.15.0 torchvision==0.29.2 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import timm
import torch
from timm.utils import ModelEmaV3


def kept(steps_told, use_warmup=True, updates=1_000):
    """The share of the first weights in the average, where training sets all of them from 1 to 0 at once."""
    model = torch.nn.Linear(4, 4)
    with torch.no_grad():
        model.weight.fill_(1.0)
        average = ModelEmaV3(model, decay=0.9999, use_warmup=use_warmup)
        model.weight.fill_(0.0)
    for step in range(updates):
        average.update(model, step) if steps_told else average.update(model)
    return float(average.module.weight.detach().mean())


print("timm", timm.__version__)
silent, told, constant = kept(False), kept(True), kept(True, use_warmup=False)
print(f"use_warmup=True, update(model): {silent:.1%} of the average are the first weights after 1,000 updates")
print(f"use_warmup=True, update(model, step): {told:.1%}")
print(f"use_warmup=False, update(model, step): {constant:.1%}")
print(f"0.9999 ** 1000 = {0.9999**1000:.1%}")
sys.exit(0 if abs(silent - 0.9999**1000) < 1e-3 and told == 0.0 and constant == 0.0 else 1)
PYTHON

#!/usr/bin/env bash
# kornia 0.9.0 and Keras 3.15.1: RandAugment of a batch draws its operations once, for all images.
#
# Guess before the run: layers that take a batch draw operations for each image, as the paper (Cubuk et al. 2020) does,
# and as their own flips, rotations and crops do.
# Seen with one operation an image: in a batch of 64 all are moved (sheared, rotated, shifted) or all have other colours,
# never both; only sign and strength differ. torchvision, called image by image, mixes both in every batch. The noise of
# a training step is then one transformation.
# For us: ours draws for each image (noisy_student/noise), equal on host and device; docs/recipes.md.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check keras==3.15.1 kornia==0.9.0 torch==2.15.0 torchvision==0.29.2 numpy==2.4.6
KERAS_BACKEND=torch "$folder/venv/bin/python" - <<'PYTHON'
import sys

import keras
import kornia
import numpy as np
import torch
import torchvision
from kornia.augmentation.auto import RandAugment

torch.manual_seed(0)
keras.utils.set_random_seed(0)
image = torch.full((3, 32, 32), 0.25)
image[:, :, 16:] = 0.75
image[0] *= 0.8
batch = image.repeat(64, 1, 1, 1)


def kind(one):
    one = np.asarray(one, "float32")
    if any(np.ptp(half, axis=(1, 2)).max() > 1e-3 for half in (one[:, :, :16], one[:, :, 16:])):
        return "moved"
    return "same" if np.abs(one - image.numpy()).max() < 1e-2 else "coloured"


def mixed(name, make, batches=12):
    kinds = [{kind(one) for one in make()} for _ in range(batches)]
    both = sum({"moved", "coloured"} <= each for each in kinds)
    print(f"{name}: batches with moved and with recoloured images: {both} of {batches}")
    return both


def by_keras():
    return np.moveaxis(keras.ops.convert_to_numpy(layer(batch.permute(0, 2, 3, 1), training=True)), -1, 1)


layer = keras.layers.RandAugment(value_range=(0, 1), num_ops=1, factor=0.33)
one_by_one = torchvision.transforms.RandAugment(1, 10, 31)
pixels = (image * 255).round().to(torch.uint8)
seen = mixed(f"kornia {kornia.__version__}", lambda: RandAugment(n=1, m=10)(batch)) == 0
seen &= mixed(f"keras {keras.__version__}", by_keras) == 0
seen &= mixed(f"torchvision {torchvision.__version__}", lambda: [one_by_one(pixels) / 255 for _ in range(64)]) == 12
sys.exit(0 if seen else 1)
PYTHON

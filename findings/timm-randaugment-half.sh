#!/usr/bin/env bash
# timm 1.0.31: rand-m10-n2 carries out each of its two operations with probability 0.5, and some grow weaker with m.
#
# Guess before the run: N=2 operations are carried out on every image (Cubuk et al. 2020, algorithm 1), each the stronger
# the larger M is.
# Seen: each operation happens with probability 0.5 unless the recipe says p1.0; a third of all images stay as they are.
# Without inc1, posterize, solarize and the four enhancements are AutoAugment's: posterize keeps 0 bits at m0 and 4 at
# m10, and solarize inverts everything at m0 and nothing at m10. "N = 2, M = 10" of a paper is rand-m10-n2-p1.0-inc1.
# For us: docs/recipes.md says what our N and M mean.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check timm==1.0.31 torch==2.15.0 torchvision==0.29.2 numpy==2.4.6 pillow==13.0.0
"$folder/venv/bin/python" - <<'PYTHON'
import random
import sys

import numpy as np
import timm
from PIL import Image
from timm.data.auto_augment import AugmentOp, rand_augment_transform

pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)


def unchanged(recipe, images=3_000):
    random.seed(0)
    np.random.seed(0)
    augment = rand_augment_transform(recipe, {"translate_const": 10})
    share = np.mean([np.array_equal(augment(Image.fromarray(pixels)), pixels) for _ in range(images)])
    print(f"timm {timm.__version__} {recipe}: {share:.1%} of images unchanged")
    return share


def changed(operation, magnitude):
    share = np.mean(np.asarray(AugmentOp(operation, 1.0, magnitude)(Image.fromarray(pixels))) != pixels)
    print(f"{operation}, m{magnitude}: {share:.0%} of pixel values changed")
    return share


some, few = unchanged("rand-m10-n2"), unchanged("rand-m10-n2-p1.0")
weaker = changed("Solarize", 1) > changed("Solarize", 9) and changed("Solarize", 10) == 0
stronger = changed("SolarizeIncreasing", 1) < changed("SolarizeIncreasing", 9)
sys.exit(0 if some > 0.28 and few < 0.05 and weaker and stronger else 1)
PYTHON

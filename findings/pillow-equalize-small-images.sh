#!/usr/bin/env bash
# Pillow 13.0.0: ImageOps.equalize does nothing to images of up to 256 pixels, and makes a quarter of a 32 x 32 one white.
#
# Guess before the run: equalize gives about equally many pixels to every level, at any size, as OpenCV's equalizeHist.
# Seen on noise of levels 60 to 179: its step is the whole number of pixels a level, (pixels - those of the lightest
# level) // 255. Up to 16 x 16 it is 0: the image stays as it is. At 22 x 22 it is 1 in place of 1.9, and nearly half
# of the pixels become 255; at 32 x 32 it is 3 in place of 4, and 25 % do. At 224 x 224 nothing is lost. torchvision and timm
# call it, and RandAugment on CIFAR-10 has been measured with it.
# For us: our equalize is Pillow's to the pixel (tests/noise), so on the default digits (8 x 8) it is one more identity;
# docs/recipes.md, RandAugment's tables.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pillow==13.0.0 opencv-python-headless==5.0.0.93 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import cv2
import numpy as np
import PIL
from PIL import Image, ImageOps

random = np.random.default_rng(0)
seen = True
for side, white in ((8, None), (16, None), (22, 0.47), (32, 0.25), (224, 0.01)):
    image = random.integers(60, 180, (side, side), dtype=np.uint8)
    pillow, opencv = np.asarray(ImageOps.equalize(Image.fromarray(image))), cv2.equalizeHist(image)
    same, share, other = np.array_equal(pillow, image), (pillow == 255).mean(), (opencv == 255).mean()
    print(f"Pillow {PIL.__version__}, {side} x {side}: {'unchanged' if same else f'{share:.0%} at 255'}; ", end="")
    print(f"OpenCV {cv2.__version__}: {other:.0%} at 255")
    seen &= other < 0.04 and (same if white is None else not same and abs(share - white) < 0.02)
sys.exit(0 if seen else 1)
PYTHON

#!/usr/bin/env bash
# semilearn 0.3.2 (USB, the semi-supervised benchmark): RandAugment(n, m) does not use its magnitude m.
#
# Guess before the run: RandAugment(3, 30) changes images more than RandAugment(3, 1), as magnitudes do (Cubuk et al. 2020),
# its four enhancements go both ways, and RandAugment(0, m) leaves an image as it is.
# Seen: from the same seed all magnitudes give the same pixels; each strength is drawn anew from its whole range. Brightness,
# color, contrast and sharpness only ever fall (factors 0.05 to 0.95), and whatever n is, a square is cut out at the end.
# For us: docs/recipes.md; results "with RandAugment(3, 5)" from there are not those of N = 3, M = 5 here.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
pip=("$folder/venv/bin/pip" install --quiet --disable-pip-version-check)
"${pip[@]}" torch==2.15.0 numpy==2.4.6 pillow==13.0.0
"${pip[@]}" --no-deps semilearn==0.3.2 # the rest of what it asks for is not used here
"$folder/venv/bin/python" - <<'PYTHON'
import importlib.metadata
import importlib.util
import random
import sys

import numpy as np
from PIL import Image

package = importlib.util.find_spec("semilearn").submodule_search_locations[0]
spec = importlib.util.spec_from_file_location("randaugment", f"{package}/datasets/augmentation/randaugment.py")
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)


def augmented(operations, magnitude, images=1_000):
    random.seed(0)
    np.random.seed(0)
    augment = module.RandAugment(operations, magnitude)
    return np.stack([np.asarray(augment(Image.fromarray(pixels))) for _ in range(images)])


print("semilearn", importlib.metadata.version("semilearn"))
by_magnitude = {magnitude: augmented(3, magnitude) for magnitude in (1, 5, 30)}
for magnitude, images in by_magnitude.items():
    change = np.abs(images.astype(float) - pixels).mean()
    print(f"RandAugment(3, {magnitude}): pixels change by {change:.2f} levels in the mean")
same = all(np.array_equal(images, by_magnitude[1]) for images in by_magnitude.values())
ranges = {operation.__name__: (low, high) for operation, low, high in module.augment_list()}
enhancements = [ranges[name] for name in ("Brightness", "Color", "Contrast", "Sharpness")]
print("the factors of its enhancements:", enhancements)
cut = np.mean([not np.array_equal(image, pixels) for image in augmented(0, 0)])
print(f"RandAugment(0, 0) changes {cut:.0%} of images")
sys.exit(0 if same and set(enhancements) == {(0.05, 0.95)} and cut > 0.9 else 1)
PYTHON

#!/usr/bin/env bash
# datasets 5.2.0: a class whose name holds the word train or test makes imagefolder leave out all other classes.
#
# Guess before the run: load_dataset("imagefolder", data_dir=...) on one folder a class gives one split with all images
# and the folders' names as labels, whatever they are called.
# Seen: bus, car, train give a split `train` of the trains alone, without labels; cat, "test tube" a split `test` of the
# tubes alone. Nothing is said. Words count as such between spaces, dashes, dots and underscores: "training" is a split's
# name too, "constraint" is not. With a folder train/ above the classes all is well.
# For us: our own reader asks for train/CLASS and takes any name for a class (docs/own-images.md); who brings images from
# or to Hugging Face should keep that folder.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check datasets==5.2.0 pillow==13.0.0 numpy==2.4.6
HF_HUB_OFFLINE=1 HF_HOME="$folder/cache" "$folder/venv/bin/python" - "$folder" <<'PYTHON'
import sys
from pathlib import Path

import datasets
from PIL import Image

datasets.disable_progress_bars()
folder = Path(sys.argv[1])


def read(*classes, above=""):
    root = folder / "-".join([*classes, above or "flat"])
    for name in classes:
        (root / above / name).mkdir(parents=True)
        for i in range(3):
            Image.new("RGB", (4, 4), (20 * i, len(name), 0)).save(root / above / name / f"{i}.png")
    splits = datasets.load_dataset("imagefolder", data_dir=str(root))
    found = {key: (len(split), getattr(split.features.get("label"), "names", None)) for key, split in splits.items()}
    print(f"datasets {datasets.__version__}, {above or 'no folder above'}, {classes}: {found}")
    return found


seen = read("bus", "car", "train") == {"train": (3, None)}
seen &= read("cat", "test tube") == {"test": (3, None)}
seen &= read("cat", "training") == {"train": (3, None)}
seen &= read("cat", "constraint") == {"train": (6, ["cat", "constraint"])}
seen &= read("bus", "car", "train", above="train") == {"train": (9, ["bus", "car", "train"])}
sys.exit(0 if seen else 1)
PYTHON

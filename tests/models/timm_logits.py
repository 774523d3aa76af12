"""Write timm_logits.json: what timm's tf_efficientnet_* give for weights filled from their names, and their sizes.

    pip install -r requirements-bench.txt && python tests/models/timm_logits.py

`filled` and `images` are the test's, too; timm and PyTorch are not.
"""

import json
import zlib
from pathlib import Path

import numpy as np

FILE = Path(__file__).with_name("timm_logits.json")
MODELS, SIDE, CLASSES = ("tf_efficientnet_b0", "tf_efficientnet_b2"), 65, 5  # an odd side: padding differs by parity
SIZES = (*(f"b{number}" for number in range(8)), "l2")


def filled(shapes):
    """{name: float32 array} for timm's names and shapes: a draw of each name's own, for moderate activations."""
    return {name: _draw(name, shape) for name, shape in shapes.items()}


def _draw(name, shape):
    draw = np.random.default_rng(zlib.crc32(name.encode()))
    if name.endswith("num_batches_tracked"):
        return np.zeros(shape, np.int64)
    if len(shape) > 1:
        return draw.normal(0.0, np.sqrt(2 / np.prod(shape[1:])), shape).astype(np.float32)
    scales = name.endswith(("weight", "running_var"))
    return draw.uniform(0.5 if scales else -0.3, 1.5 if scales else 0.3, shape).astype(np.float32)


def images():
    """(3, SIDE, SIDE, 3) uint8, of which one is darker."""
    most = np.reshape([256, 256, 64], (3, 1, 1, 1))
    return np.random.default_rng(0).integers(0, most, (3, SIDE, SIDE, 3), dtype=np.uint8)


def _of(name):
    import timm
    import torch

    model = timm.create_model(name, num_classes=CLASSES).eval()
    shapes = {key: list(value.shape) for key, value in model.state_dict().items()}
    model.load_state_dict({key: torch.from_numpy(value) for key, value in filled(shapes).items()})
    told = timm.get_pretrained_cfg(f"{name}.ns_jft_in1k")
    normalised = (images() / 255 - np.array(told.mean)) / np.array(told.std)
    with torch.no_grad():
        logits = model.double()(torch.from_numpy(normalised.transpose(0, 3, 1, 2)))
    return {"shapes": shapes, "logits": logits.numpy().tolist()}


def _outline(size):
    import timm
    import torch

    with torch.device("meta"):
        model = timm.create_model(f"tf_efficientnet_{size}")
    ends = {"stem": model.conv_stem.out_channels, "top": model.conv_head.out_channels}
    return {"blocks": [len(stage) for stage in model.blocks], **ends}


def main():
    """Ask timm."""
    import timm
    import torch

    answers = {"timm": timm.__version__, "torch": torch.__version__}
    answers |= {"models": {name: _of(name) for name in MODELS}, "sizes": {size: _outline(size) for size in SIZES}}
    FILE.write_text(json.dumps(answers, separators=(",", ":")).replace('},"', '},\n"') + "\n")


if __name__ == "__main__":
    main()

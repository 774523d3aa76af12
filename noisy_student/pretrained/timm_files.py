"""Weights of timm's `tf_efficientnet_*`, Noisy Student's among them, as `.safetensors` files.

timm's `efficientnet_*` without `tf_` has the same names and shapes, but another padding and another epsilon: it is
refused where the file's name or the `config.json` beside it, as in a download from the Hugging Face hub, says so. That
file also says by what the images were normalised; without it ImageNet's values hold, as for all Noisy Student ones.
"""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from noisy_student.models.networks.efficientnet import DEVIATION, MEAN
from noisy_student.pretrained.files import KINDS, PARAMETER, Stored, damaged
from noisy_student.runtime.errors import DataError

CONFIG = "config.json"
ENTRIES = {"interpolation": "interpolation", "crop_pct": "crop_share"}  # {of the configuration: in the record}
IMAGENET = MEAN, DEVIATION
OURS = {"conv_stem": "stem_conv", "bn1": "stem_bn", "conv_head": "top_conv", "bn2": "top_bn", "classifier": "logits"}
BLOCK = re.compile(r"blocks\.(\d+)\.(\d+)\.(.+)")
PARTS = {  # of a block that expands its input
    "conv_pw": "expand_conv",
    "bn1": "expand_bn",
    "conv_dw": "depthwise_conv",
    "bn2": "depthwise_bn",
    "se.conv_reduce": "reduce_conv",
    "se.conv_expand": "excite_conv",
    "conv_pwl": "project_conv",
    "bn3": "project_bn",
}
UNEXPANDED = PARTS | {
    "bn1": "depthwise_bn",
    "conv_pw": "project_conv",
    "bn2": "project_bn",
}
WEIGHTS = ("weight", "bias", "running_mean", "running_var")  # in the order of Keras' layers


@contextmanager
def opened(path: Path) -> Iterator[Stored]:
    """Open such a file.

    Raises:
        DataError: it is damaged, holds other tensors or is of a network that computes otherwise, or the package that
            reads it is missing.
    """
    try:
        from safetensors import SafetensorError, safe_open
    except ImportError as error:
        raise DataError(
            f"{PARAMETER}: {path} needs the Python package safetensors, which is not installed here. Run `make setup`, "
            "or install the requirements anew."
        ) from error
    told = _configuration(path)
    try:
        file = safe_open(path, framework="numpy")
    except (SafetensorError, OSError) as error:
        raise damaged(path, error) from error
    with file:
        layers = _layers(file.keys())
        if not layers:
            raise DataError(
                f"{PARAMETER}: {path} holds no tensor of timm's tf_efficientnet_* by its name. Put such a file there."
            )

        def read(layer):
            try:
                return [_as_keras(name, file.get_tensor(name)) for name in layers[layer]]
            except (SafetensorError, TypeError, AttributeError) as error:  # NumPy has no bfloat16, nor float8
                raise damaged(path, f"{error}; convert it to float32") from error

        shapes = {
            layer: [_as_keras(name, np.empty(file.get_slice(name).get_shape(), "V0")).shape for name in names]
            for layer, names in layers.items()
        }
        mean, deviation = (tuple(told.get(key, usual)) for key, usual in zip(("mean", "std"), IMAGENET, strict=True))
        config = {"interpolation": "bicubic"} | {new: told[key] for key, new in ENTRIES.items() if key in told}
        yield Stored(path, KINDS[".safetensors"], shapes, read, mean, deviation, config)


def _configuration(path):
    """`pretrained_cfg` of the configuration beside a file; empty where there is none."""
    beside = path.with_name(CONFIG)
    try:
        entries: dict[str, Any] = json.loads(beside.read_bytes()) if beside.is_file() else {}
        architecture, told = entries.get("architecture", path.stem), dict(entries.get("pretrained_cfg", {}))
        for key in {"mean", "std"} & set(told):
            if len(told[key]) != 3 or not all(isinstance(value, int | float) for value in told[key]):
                raise ValueError(f"{key} is {told[key]}")
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise DataError(f"{PARAMETER}: {beside} is no configuration of timm's ({error}). Remove or mend it.") from error
    if str(architecture).startswith("efficientnet"):
        raise DataError(
            f"{PARAMETER}: {path} is timm's {architecture}, which pads and normalises otherwise than TensorFlow's "
            f"EfficientNet. Put the weights of tf_{architecture} there."
        )
    return told


def _layers(names):
    """{layer of ours: names of its tensors}."""
    present = set(names)
    layers: dict[str, list[str]] = {}
    for place in dict.fromkeys(name.rpartition(".")[0] for name in sorted(present)):
        ours = _ours(place, present)
        if ours:
            layers[ours] = [f"{place}.{end}" for end in WEIGHTS if f"{place}.{end}" in present]
    return layers


def _ours(place, present):
    if place in OURS:
        return OURS[place]
    found = BLOCK.fullmatch(place)
    if found is None:
        return None
    stage, block, part = int(found[1]) + 1, int(found[2]) + 1, found[3]
    expands = f"blocks.{found[1]}.{found[2]}.conv_pwl.weight" in present
    parts = PARTS if expands else UNEXPANDED
    return f"stage{stage}_block{block}_{parts[part]}" if part in parts else None


def _as_keras(name, array):
    """PyTorch's kernels (out, in, H, W) as Keras' (H, W, in, out), or (H, W, in, 1) where each channel is by itself."""
    if array.ndim == 4:
        return array.transpose(2, 3, 0, 1) if "conv_dw" in name else array.transpose(2, 3, 1, 0)
    return array.transpose()

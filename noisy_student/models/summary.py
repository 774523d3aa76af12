"""What a network costs: parameters and multiply-accumulates."""

import math
from typing import Any

import keras


def macs(model: keras.Model) -> int:
    """Multiply-accumulates of the convolutions and dense layers for one image, biases not counted.

    Args:
        model: a flat `keras.Model` with a fixed image size, as `build` makes it.
    """
    total = 0
    for layer in model.layers:
        if isinstance(layer, keras.layers.Conv2D | keras.layers.DepthwiseConv2D):
            _, height, width, _ = layer.output.shape
            total += math.prod(layer.kernel.shape) * height * width
        elif isinstance(layer, keras.layers.Dense):
            total += math.prod(layer.kernel.shape)
    return total


def summarise(model: keras.Model, *, survival: dict[str, float]) -> dict[str, Any]:
    """Sum up a network as a dict that can be written as JSON.

    Args:
        model: a `keras.Model` made by `build`.
        survival: {block name: survival probability}, see `noisy_student.models.build.block_survival`.

    Returns:
        name; classes; image_size (pixels); parameters (all weights, the running statistics of batch normalisation
        included); trainable_parameters; macs (one image); survival_probability (a copy of `survival`).
    """
    trainable = sum(math.prod(weight.shape) for weight in model.trainable_weights)
    return {
        "name": model.name,
        "classes": model.output.shape[-1],
        "image_size": model.input.shape[1],
        "parameters": model.count_params(),
        "trainable_parameters": trainable,
        "macs": macs(model),
        "survival_probability": dict(survival),
    }

"""What a network costs: parameters and multiply-accumulates."""

import math
from typing import Any

import keras


def macs(model: keras.Model) -> int:
    """Multiply-accumulates of the convolutions and dense layers of a flat model for one image, without biases."""
    total = 0
    for layer in model.layers:
        if isinstance(layer, keras.layers.Conv2D | keras.layers.DepthwiseConv2D):
            _, height, width, _ = layer.output.shape
            total += math.prod(layer.kernel.shape) * height * width
        elif isinstance(layer, keras.layers.Dense):
            total += math.prod(layer.kernel.shape)
    return total


def summarise(model: keras.Model, *, survival: dict[str, float]) -> dict[str, Any]:
    """Sum up a network of `build` for JSON.

    "parameters" are all weights, the running statistics of batch normalisation included; `survival` is that of
    `models.build.block_survival`.
    """
    return {
        "name": model.name,
        "classes": model.output.shape[-1],
        "image_size": model.input.shape[1],
        "parameters": model.count_params(),
        "trainable_parameters": sum(math.prod(weight.shape) for weight in model.trainable_weights),
        "macs": macs(model),
        "survival_probability": dict(survival),
    }

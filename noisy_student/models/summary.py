"""What a network costs: parameters and multiply-accumulates."""

import math
from typing import Any

import keras


def macs(model: keras.Model) -> int:
    """Multiply-accumulates of the convolutions and dense layers of a flat model for one image, without biases."""
    kinds = keras.layers.Conv2D | keras.layers.DepthwiseConv2D | keras.layers.Dense
    layers = [layer for layer in model.layers if isinstance(layer, kinds)]
    return sum(math.prod((*layer.kernel.shape, *layer.output.shape[1:-1])) for layer in layers)


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

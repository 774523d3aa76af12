"""A network behind its input noise, so that the device that trains also noises."""

import keras
import numpy as np

from noisy_student.noise.in_graph import InGraphNoise


class _Noise(keras.layers.Layer):
    def __init__(self, in_graph, **kwargs):
        super().__init__(**kwargs, dtype="float32")
        self.in_graph = in_graph

    def call(self, inputs):
        draw = dict(inputs)
        return self.in_graph(draw.pop("images"), draw)

    def compute_output_spec(self, inputs):
        images, size = inputs["images"], self.in_graph.size
        shape = images.shape if size is None else (images.shape[0], *size, 3)
        return keras.KerasTensor(shape, dtype=images.dtype)


def behind_noise(network: keras.Model, in_graph: InGraphNoise, inputs: dict[str, np.ndarray]) -> keras.Model:
    """Put a network of uint8 images behind noise that is carried out in the graph; their weights are the same.

    What it takes is such a dict as `inputs`, a batch of images and their prepared draw, here for shapes and types.
    """
    tensors = {name: keras.Input(array.shape[1:], dtype=array.dtype.name, name=name) for name, array in inputs.items()}
    return keras.Model(tensors, network(_Noise(in_graph, name="noise")(tensors)), name=network.name)

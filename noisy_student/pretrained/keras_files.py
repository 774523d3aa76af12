"""Weights of keras.applications' EfficientNet, as Keras ships them (.h5) and as Keras 3 saves them (.weights.h5).

Both are HDF5. The older format names groups by layers; the newer one by classes in the order of the layers, with the
layer's name as an attribute. What else lies in the file, such as a head of one's own, is not used.
"""

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from noisy_student.models.networks.efficientnet import DEVIATION, MEAN
from noisy_student.pretrained.files import KINDS, Stored, damaged
from noisy_student.runtime.errors import DataError

OURS = {"predictions": "logits", **{name: name for name in ("stem_conv", "stem_bn", "top_conv", "top_bn")}}
BLOCK = re.compile(r"block(\d+)([a-z])_(\w+)")
PARTS = {  # {end of Keras' name: end of ours}
    "expand_conv": "expand_conv",
    "expand_bn": "expand_bn",
    "dwconv": "depthwise_conv",
    "bn": "depthwise_bn",
    "se_reduce": "reduce_conv",
    "se_expand": "excite_conv",
    "project_conv": "project_conv",
    "project_bn": "project_bn",
}
IMAGENET = MEAN, DEVIATION
CLOSE = 1e-5  # to ImageNet's values, which float32 rounds


@contextmanager
def opened(path: Path) -> Iterator[Stored]:
    """Open such a file.

    Raises:
        DataError: it is damaged, or holds no layers by name.
    """
    import h5py  # here, for `check` tells of packages that are missing

    try:
        file = h5py.File(path)
    except OSError as error:
        raise damaged(path, error) from error
    with file:
        try:
            datasets = _older(file) if "layer_names" in file.attrs else _newer(file)
            mean, deviation = _normalisation(datasets)
        except (OSError, KeyError, RuntimeError, ValueError, AttributeError) as error:
            raise damaged(path, error) from error
        layers = {ours: arrays for name, arrays in datasets.items() if (ours := _ours(name))}
        if not layers:
            raise DataError(
                f"teacher.weights: {path} holds no layer of keras.applications' EfficientNet by its name. If a Keras "
                "before 3.7 wrote it, load it there and save it anew: model.save_weights('NAME.weights.h5')."
            )

        def read(layer):
            try:
                return [dataset[()] for dataset in layers[layer]]
            except (OSError, RuntimeError) as error:
                raise damaged(path, error) from error

        shapes = {layer: [dataset.shape for dataset in arrays] for layer, arrays in layers.items()}
        yield Stored(path, KINDS[".h5"], shapes, read, mean, deviation, {"interpolation": "bicubic"})


def _ours(name):
    """The name that a layer of keras.applications has here; None: it is none of EfficientNet's with weights."""
    if name in OURS:
        return OURS[name]
    found = BLOCK.fullmatch(name)
    if found is None or found[3] not in PARTS:
        return None
    return f"stage{found[1]}_block{ord(found[2]) - ord('a') + 1}_{PARTS[found[3]]}"


def _older(file):
    """{layer: datasets} of the format before Keras 3."""
    found = {}
    for layer in _texts(file.attrs["layer_names"]):
        arrays = [file[layer][name] for name in _texts(file[layer].attrs["weight_names"])]
        if arrays:
            found[layer] = arrays
    return found


def _texts(names):
    return [name.decode() if isinstance(name, bytes) else str(name) for name in names]


def _newer(file):
    """{layer: datasets} of Keras 3's format, those of nested models too."""
    import h5py

    found = {}

    def visit(place, group):
        if isinstance(group, h5py.Group) and place.endswith("/vars") and "name" in group.attrs and len(group):
            found[group.attrs["name"]] = [group[key] for key in sorted(group, key=int)]

    file.visititems(visit)
    return found


def _normalisation(datasets):
    """(mean, deviation) by the layer Normalization; ImageNet's where there is none.

    In the files that Keras ships its variance is ImageNet's deviation: `weights="imagenet"` divides once more by its
    root, `weights=PATH` does not. Whoever trained on from such weights has that variance too, so it is taken as meant.
    """
    for name, arrays in datasets.items():
        if name.startswith("normalization") and [array.shape for array in arrays[:2]] == [(3,), (3,)]:
            mean, variance = (array[()].astype(float) for array in arrays[:2])
            if np.allclose(mean, IMAGENET[0], atol=CLOSE) and (
                np.allclose(variance, IMAGENET[1], atol=CLOSE)
                or np.allclose(variance, np.square(IMAGENET[1]), atol=CLOSE)
            ):
                return IMAGENET
            return tuple(map(float, mean)), tuple(math.sqrt(value) for value in variance)
    return IMAGENET

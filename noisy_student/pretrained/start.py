"""The network that a pretrained teacher starts from."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from noisy_student.inference.saving import load, read_description
from noisy_student.models.build import LOGITS, build, normalisation_of, normalise, scale_branches, survival_of
from noisy_student.pretrained import fitting
from noisy_student.pretrained.files import KINDS, PARAMETER, Stored
from noisy_student.runtime.errors import DataError, ParamsError
from noisy_student.runtime.files import sha256
from noisy_student.runtime.layout import TEACHER
from noisy_student.runtime.seeds import derive_seed
from noisy_student.settings.params import Params

Weights = dict[str, list[np.ndarray]]  # {layer of ours: its weights}


def pretrained(
    params: Params, path: Path, *, classes: Sequence[str], image_size: int
) -> tuple[keras.Model, dict[str, Any]]:
    """A network for the teacher with the weights of a file, and what the record of the run says of it.

    The last layer is the file's if it has as many classes, and these ones where it names them, else that of a random
    start. For un-noised images the network gives what the file's own gives, with whatever stochastic depth it was
    trained; `start_from` sees to the one with which it will be.

    Args:
        path: see `files.find`.
        classes: their names.
        image_size: of the training, in pixels.

    Raises:
        ParamsError: the file is of another network, or of another size.
        DataError: it is damaged.
    """
    teacher, digest = params.teacher, sha256(path, mend=f"It is what {PARAMETER} names: mend its permissions.")
    seed = derive_seed(params.seed, TEACHER.name)
    network = build(teacher.model, classes=len(classes), image_size=image_size, mode="inference", seed=seed)
    told: dict[str, Any] = {"file": path.name, "sha256": digest, "origin": KINDS[path.suffix]}
    if path.suffix in fitting.OPENERS:
        with fitting.opened(path, teacher.model) as stored:
            weights = {layer: stored.read(layer) for layer in stored.shapes}
            told |= {"mean": list(stored.mean), "deviation": list(stored.deviation), **stored.config}
            normalise(network, **_normalisation(network, stored))
        survival = {}
    else:
        own = _load(path)
        survival = survival_of(own)
        weights = {layer.name: layer.get_weights() for layer in own.layers if layer.weights}
        normalise(network, **normalisation_of(own))
        described = read_description(path)  # None: an older file
        if described is not None and described.classes != tuple(classes):
            weights.pop(LOGITS)
    kept = _fill(network, weights, path)
    scale_branches(network, survival)
    head = "its last layer too" if kept else f"a new last layer for {len(classes)} classes"
    print(f"{TEACHER.name}: starts from {path} ({told['origin']}, SHA-256 {digest[:12]}...), {head}", flush=True)
    return network, told | {"last_layer": "kept" if kept else "new"}


def _normalisation(network, stored: Stored):
    scale = [1 / (255 * deviation) for deviation in stored.deviation]
    offset = [-mean / deviation for mean, deviation in zip(stored.mean, stored.deviation, strict=True)]
    usual = normalisation_of(network)
    same = np.allclose([scale, offset], [usual["scale"], usual["offset"]], rtol=1e-12)
    return usual if same else {"scale": scale, "offset": offset}


def _load(path):
    """A model of this project."""
    try:
        model = load(path)
        normalisation_of(model)
    except DataError as error:
        reason = str(error).replace("Delete it and run `dvc repro` again.", "").strip()
        raise DataError(f"{PARAMETER}: {reason} Put another file there, or set teacher.init: random.") from error
    except ValueError as error:  # no such layer
        raise DataError(
            f"{PARAMETER}: {path} is no model of this project. Of one of keras.applications' save the weights: "
            "model.save_weights('NAME.weights.h5')."
        ) from error
    return model


def _fill(network, weights: Weights, path):
    """Put weights into a network; return whether the last layer is one of them, which may be of other classes."""
    own = {layer.name: layer for layer in network.layers if layer.weights}
    shapes = {name: [tuple(weight.shape) for weight in layer.weights] for name, layer in own.items()}
    present = {name: [array.shape for array in arrays] for name, arrays in weights.items()}
    for name in dict.fromkeys((*shapes, *present)):
        if name != LOGITS and shapes.get(name) != present.get(name):
            raise ParamsError(
                f"{PARAMETER}: {path} does not fit teacher.model, {network.name}: layer {name} has shapes "
                f"{present.get(name) or 'no weights'} in the file, {shapes.get(name) or 'no weights'} in the network. "
                "Set teacher.model to what the file was trained with, or put another file there."
            )
    kept = present.get(LOGITS) == shapes[LOGITS]
    for name, layer in own.items():
        if name != LOGITS or kept:
            layer.set_weights(weights[name])
    return kept

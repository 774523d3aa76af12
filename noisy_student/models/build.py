"""Build a network from its parameters, for training or for inference."""

from collections.abc import Callable
from typing import Any

import keras

from noisy_student.data.views import Images
from noisy_student.models.layers import Layers, layer_seed
from noisy_student.models.networks import network_of
from noisy_student.models.stochastic_depth import AlwaysOnDropout, BatchDropout, SkippableBranch, survival_schedule
from noisy_student.runtime.errors import ParamsError
from noisy_student.settings.schema import ModelParams, NoiseParams, empty

MODES = ("train", "inference", "noised")
NORMALISE, LOGITS = "normalise", "logits"  # names of the layer of the pixels and of the last one with weights


def block_survival(model: ModelParams, survival_probability: float) -> dict[str, float]:
    """{name: survival probability} of the blocks that have a shortcut, in order.

    See `survival_schedule`, in which blocks without a shortcut count too; the given one is the last block's.
    """
    network = network_of(model)
    names = network.block_names()
    schedule = dict(zip(names, survival_schedule(len(names), survival_probability), strict=True))
    return {name: schedule[name] for name in network.shortcuts()}


def build(
    model: ModelParams,
    *,
    classes: int,
    image_size: int,
    survival_probability: float = 1.0,
    coin: str = "batch",
    dropout: float = 0.0,
    mode: str = "train",
    precision: str = "float32",
    seed: int = 0,
) -> keras.Model:
    """Build a network, not compiled, that takes uint8 images (N, image_size, image_size, 3).

    Layers with weights have the same names and shapes in all modes, but not always the same order, which
    Keras takes from the depth of the graph: copy weights with `transfer_weights`, not by position.

    - "train" returns float32 logits (N, classes); stochastic depth and dropout act in training only.
    - "inference" returns float32 probabilities and holds stock Keras layers only: stochastic depth is
      a Rescaling by p_l, dropout is absent. Always float32, whatever `precision` says.
    - "noised" is "inference" with stochastic depth and dropout always on and normalisation always by
      the stored statistics: a teacher that is noised while it labels (arXiv:1911.04252, table 6).

    Args:
        survival_probability: p_L of the last block, in (0, 1]; 1 turns stochastic depth off.
        coin: "batch" or "sample", see `StochasticDepth`.
        dropout: rate before the last layer, in [0, 1).
        mode: "train", "inference" or "noised".
        precision: of the arithmetic: "float32" or "mixed_bfloat16"; weights, the last
            pooling and the last layer are float32 in any case.
        seed: same seed, same weights and same sequence of noise, whatever was built before.

    Raises:
        ParamsError: the images are too small for the strides.
        ValueError: unknown mode or coin, or a probability out of range.
    """
    if mode not in MODES:
        raise ValueError(f"mode must be one of {', '.join(MODES)}; got {mode!r}")
    network = network_of(model)
    network.check_image_size(image_size)
    layers = Layers(
        survival=block_survival(model, survival_probability),
        coin=coin,
        mode=mode,
        precision=precision if mode == "train" else "float32",
        seed=seed,
        normalisation=network.normalisation,
    )
    images = keras.Input((image_size, image_size, 3), dtype="uint8", name="images")
    # in float32: at lower precision the pixels would be rounded before the first layer
    x = keras.layers.Rescaling(**network.rescaling, dtype="float32", name=NORMALISE)(images)
    x = network.features(x, layers)
    built = keras.Model(images, _head(x, network, classes, dropout, mode, seed), name=network.title)
    if mode == "noised":
        built.trainable = False  # Keras then normalises by the stored statistics in any call
    return built


def model_noise(noise: NoiseParams | None) -> dict[str, Any]:
    """Arguments of `build` for the noise inside the model; none where there is no noise."""
    if noise is None:
        return {}
    depth = noise.stochastic_depth
    return {"dropout": noise.dropout, "survival_probability": depth.survival_probability, "coin": depth.coin}


def fit_to_images(network: keras.Model, model: ModelParams, images: Images) -> None:
    """Give a network to be trained what it takes from its training images before the first step, if it does.

    They are un-noised, and of the size of the training. Equal images give equal weights.
    """
    for name, kernel in network_of(model).fitted_kernels(images).items():
        network.get_layer(name).kernel.assign(kernel)


def freeze(network: keras.Model, model: ModelParams, blocks: int) -> None:
    """Let the stem and so many blocks of a network to be trained keep their weights and act as at inference."""
    described = network_of(model)
    described.check_frozen(blocks)
    names = described.block_names()[:blocks]
    for layer in network.layers:
        if layer.name.startswith(("stem_", *(f"{name}_" for name in names))):
            layer.trainable = False


def reseeder(network: keras.Model) -> Callable[[int], None]:
    """A function that sets all random generators of a new network as if they had been called so many times."""
    weights = {id(variable) for variable in network.weights}
    states = [variable for variable in network.variables if id(variable) not in weights]
    seeds = [keras.ops.convert_to_numpy(state.value)[0] for state in states]

    def reseed(count):
        for state, seed in zip(states, seeds, strict=True):
            state.assign([seed, count])  # what keras.random.SeedGenerator counts up by itself

    return reseed


def _head(x, network, classes, dropout, mode, seed):
    """Pooling, dropout and the last layer, all in float32: (N, H, W, C) -> (N, classes)."""
    pooling = {"average": keras.layers.GlobalAveragePooling2D, "max": keras.layers.GlobalMaxPooling2D}
    x = pooling[network.pooling](data_format="channels_last", dtype="float32", name="pool")(x)
    if dropout > 0.0 and mode != "inference":
        kind = AlwaysOnDropout if mode == "noised" else BatchDropout
        x = kind(dropout, seed=layer_seed(seed, "dropout"), dtype="float32", name="dropout")(x)
    initializer = keras.initializers.GlorotUniform(seed=layer_seed(seed, LOGITS))
    x = keras.layers.Dense(classes, kernel_initializer=initializer, dtype="float32", name=LOGITS)(x)
    if network.logit_scale != 1.0:
        x = keras.layers.Rescaling(network.logit_scale, dtype="float32", name="scaled_logits")(x)
    return x if mode == "train" else keras.layers.Softmax(dtype="float32", name="probs")(x)


def transfer_weights(source: keras.Model, target: keras.Model) -> None:
    """Copy all weights between two builds of the same `ModelParams`, layer by layer, by name.

    Modes, survival probabilities and dropout may differ. Nothing is copied unless everything fits. The normalisation of
    the pixels is copied too: that of pretrained weights is their origin's.

    Raises:
        ParamsError: the networks differ in layers with weights or in the shape of a weight.
    """
    layers = [_layers_with_weights(network) for network in (source, target)]
    shapes = [{n: [tuple(w.shape) for w in layer.weights] for n, layer in named.items()} for named in layers]
    for name in dict.fromkeys((*shapes[0], *shapes[1])):
        first, second = (named.get(name) for named in shapes)
        if first != second:
            raise ParamsError(
                f"The weights of {source.name} do not fit {target.name}: layer {name} has shapes "
                f"{first or 'no weights'} in the one, {second or 'no weights'} in the other. Give both the "
                "same model section and classes in params.yaml, or set student.init: random."
            )
    for name, layer in layers[0].items():
        layers[1][name].set_weights(layer.get_weights())
    normalise(target, **normalisation_of(source))


def start_from(source: keras.Model, target: keras.Model) -> None:
    """`transfer_weights`, so that at inference both give the same, with whatever stochastic depth.

    There a branch is multiplied by its survival probability: where these differ its last layer is scaled.
    """
    transfer_weights(source, target)
    before, after = survival_of(source), survival_of(target)
    scale_branches(target, {block: before.get(block, 1.0) / after[block] for block in after})


def survival_of(network: keras.Model) -> dict[str, float]:
    """{name: survival probability} of the blocks with a shortcut of a network that `build` made."""
    layers, survival = {layer.name: layer for layer in network.layers}, {}
    for name, layer in layers.items():
        block = name.removesuffix("_add")
        if block == name:
            continue
        if not isinstance(layer, SkippableBranch):
            layer = layers.get(f"{block}_survival")  # none: it always survives
        kind = "scale" if isinstance(layer, keras.layers.Rescaling) else "survival_probability"
        survival[block] = float(getattr(layer, kind, 1.0))
    return survival


def scale_branches(network: keras.Model, factors: dict[str, float]) -> None:
    """Multiply what residual branches give, by the last layer with weights of each.

    Args:
        factors: {block: above 0}; of 1 nothing is touched.
    """
    for block, factor in factors.items():
        if factor == 1.0:
            continue
        end = _end_of_branch(network, block)
        for name in ("gamma", "beta", "kernel", "bias"):
            weight = getattr(end, name, None)
            if weight is not None:
                weight.assign(weight * factor)


def _end_of_branch(network, block):
    """Its last layer with weights."""
    add = network.get_layer(f"{block}_add")
    if isinstance(add, SkippableBranch):
        network, tensor = add.branch, add.branch.output
    else:
        tensor = add.input[1]
    while True:
        layer = next(layer for layer in network.layers if layer.output is tensor)
        if layer.weights:
            return layer
        tensor = layer.input


def check_weights_fit(one: keras.Model, other: keras.Model, *, where: str) -> None:
    """Raise ParamsError unless two builds of a network for other image sizes have equal weights.

    They have them where all is convolutional up to the pooling over all places.

    Args:
        where: the parameter that asks for both sizes.
    """
    layers = [_layers_with_weights(network) for network in (one, other)]
    shapes = [{n: [tuple(w.shape) for w in layer.weights] for n, layer in named.items()} for named in layers]
    wrong = [name for name in dict.fromkeys((*shapes[0], *shapes[1])) if shapes[0].get(name) != shapes[1].get(name)]
    if wrong:
        sizes = " and ".join(str(network.input_shape[1]) for network in (one, other))
        raise ParamsError(
            f"{where}: {one.name} cannot be trained at {sizes} pixels with the same weights, because those of layer "
            f"{wrong[0]} depend on the size. A network has to be convolutional up to the pooling over all places; "
            f"leave {where} {empty(where)}."
        )


def normalisation_of(network: keras.Model) -> dict[str, Any]:
    """`scale` and `offset` of the pixels in a network that `build` made."""
    layer = network.get_layer(NORMALISE)
    return {"scale": layer.scale, "offset": layer.offset}


def normalise(network: keras.Model, *, scale: Any, offset: Any) -> None:
    """Give a network that has not been called yet another scale and offset of the pixels, numbers or one a channel."""
    layer = network.get_layer(NORMALISE)
    layer.scale, layer.offset = scale, offset


def _layers_with_weights(network):
    """{name: layer}, those inside skippable branches too."""
    layers: dict[str, keras.layers.Layer] = {}
    for layer in network.layers:
        if isinstance(layer, SkippableBranch):
            layers |= _layers_with_weights(layer.branch)
        elif layer.weights:
            layers[layer.name] = layer
    return layers

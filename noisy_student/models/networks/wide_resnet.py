"""Wide ResNets: pre-activation basic blocks (Zagoruyko & Komodakis 2016, arXiv:1605.07146, table 1).

Depth 6n + 4: a 3x3 convolution of 16 filters, then three stages of n blocks with 16k, 32k and 64k
filters. No dropout inside the blocks.
"""

RESCALING = {"scale": 1 / 127.5, "offset": -1.0}
NORMALISATION = {"momentum": 0.9, "epsilon": 1e-5}  # why: see resnet.py


def _stages(model):
    """(block name, filters, stride) of every block, first block first."""
    blocks = (model.depth - 4) // 6
    for stage in range(3):
        for block in range(blocks):
            stride = 2 if stage > 0 and block == 0 else 1
            yield f"stage{stage + 1}_block{block + 1}", 16 * model.width * 2**stage, stride


def block_names(model):
    """Names of the residual blocks in order; `model` is a `ModelParams` with depth and width."""
    return [name for name, _, _ in _stages(model)]


def shortcuts(model):
    """Names of the blocks that have a shortcut: all."""
    return block_names(model)


def total_stride(model):
    """How many times smaller than the images the features are."""
    return 4


def features(images, layers, model):
    """Normalised images (N, H, W, 3) -> features (N, ceil(H / 4), ceil(W / 4), 64 * width).

    Args:
        images: a Keras tensor.
        layers: a `Layers`.
        model: a `ModelParams` with depth 6n + 4 and width, the widening factor k.
    """
    x = layers.conv(images, "stem_conv", filters=16, kernel=3)
    for name, filters, stride in _stages(model):
        x = _block(x, layers, name, filters=filters, stride=stride)
    return layers.norm_relu(x, "head")


def _block(x, layers, name, *, filters, stride):
    def convolutions(x):
        x = layers.conv(x, f"{name}_conv1", filters=filters, kernel=3, stride=stride)
        x = layers.norm_relu(x, f"{name}_2")
        return layers.conv(x, f"{name}_conv2", filters=filters, kernel=3)

    def branch(x):
        return convolutions(layers.norm_relu(x, f"{name}_1"))

    if stride == 1 and x.shape[-1] == filters:
        return layers.add(x, x, branch, block=name)
    # from the activated input, so that branch and shortcut share the first normalisation
    activated = layers.norm_relu(x, f"{name}_1")
    shortcut = layers.conv(activated, f"{name}_shortcut_conv", filters=filters, kernel=1, stride=stride)
    return layers.add(shortcut, activated, convolutions, block=name)

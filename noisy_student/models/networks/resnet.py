"""Small ResNets: post-activation basic blocks (He et al. 2016, arXiv:1512.03385, section 4.2).

Depth 6n + 2: a 3x3 convolution, then three stages of n blocks with w, 2w and 4w filters. The shortcut
is a 1x1 convolution with batch normalisation where the shape changes (the paper's option B).
"""

RESCALING = {"scale": 1 / 127.5, "offset": -1.0}
# Keras' momentum of 0.99 would take hundreds of steps to forget the initial statistics, longer than
# a short training has; these are the values of the usual CIFAR implementations.
NORMALISATION = {"momentum": 0.9, "epsilon": 1e-5}


def _stages(model):
    """(block name, filters, stride) of every block, first block first."""
    blocks = (model.depth - 2) // 6
    for stage in range(3):
        for block in range(blocks):
            stride = 2 if stage > 0 and block == 0 else 1
            yield f"stage{stage + 1}_block{block + 1}", model.width * 2**stage, stride


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
    """Normalised images (N, H, W, 3) -> features (N, ceil(H / 4), ceil(W / 4), 4 * width).

    Args:
        images: a Keras tensor.
        layers: a `Layers`.
        model: a `ModelParams` with depth 6n + 2 and width, the filters of the first stage.
    """
    x = layers.conv(images, "stem_conv", filters=model.width, kernel=3)
    x = layers.norm_relu(x, "stem")
    for name, filters, stride in _stages(model):
        x = _block(x, layers, name, filters=filters, stride=stride)
    return x


def _block(x, layers, name, *, filters, stride):
    def branch(x):
        x = layers.conv(x, f"{name}_conv1", filters=filters, kernel=3, stride=stride)
        x = layers.norm_relu(x, f"{name}_1")
        x = layers.conv(x, f"{name}_conv2", filters=filters, kernel=3)
        return layers.norm(x, f"{name}_2_bn")

    shortcut = x
    if stride > 1 or x.shape[-1] != filters:
        shortcut = layers.conv(x, f"{name}_shortcut_conv", filters=filters, kernel=1, stride=stride)
        shortcut = layers.norm(shortcut, f"{name}_shortcut_bn")
    return layers.relu(layers.add(shortcut, x, branch, block=name), f"{name}_relu")

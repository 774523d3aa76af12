"""The benchmarks' networks in stock Keras layers."""

from functools import partial

import keras


def _conv(x, filters, kernel=3, stride=1):
    return keras.layers.Conv2D(filters, kernel, strides=stride, padding="same", use_bias=False)(x)


def _norm(x, *, scale=True):
    return keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5, scale=scale)(x)


def _relu(x):
    return keras.layers.ReLU()(x)


def resnet(images, *, depth):
    """He et al. 2016, width 16, projection shortcuts."""
    x = _relu(_norm(_conv(images, 16)))
    for filters in (16, 32, 64):
        for block in range((depth - 2) // 6):
            stride = 2 if filters > 16 and block == 0 else 1
            branch = _relu(_norm(_conv(x, filters, stride=stride)))
            branch = _norm(_conv(branch, filters))
            shortcut = x if stride == 1 else _norm(_conv(x, filters, 1, stride))
            x = _relu(keras.layers.Add()([shortcut, branch]))
    return x


def wrn28_2(images):
    """Zagoruyko and Komodakis 2016, WRN-28-2 without dropout."""
    x = _conv(images, 16)
    for filters in (32, 64, 128):
        for block in range(4):
            stride = 2 if filters > 32 and block == 0 else 1
            activated = _relu(_norm(x))
            branch = _conv(_relu(_norm(_conv(activated, filters, stride=stride))), filters)
            x = keras.layers.Add()([_conv(activated, filters, 1, stride) if block == 0 else x, branch])
    return _relu(_norm(x))


def whitened_convnet(images):
    """Jordan 2024, arXiv:2404.00498, with ReLU; of the first layer only the bias learns."""
    whitening = keras.layers.Conv2D(24, 2)
    x = _relu(whitening(images))
    whitening.kernel.trainable = False
    for filters in (32, 128, 256):
        x = _relu(_norm(keras.layers.MaxPooling2D(2)(_conv(x, filters)), scale=False))
        x = _relu(_norm(_conv(x, filters), scale=False))
    return x


NETWORKS = {
    "ResNet-14": partial(resnet, depth=14),
    "ResNet-20": partial(resnet, depth=20),
    "WRN-28-2": wrn28_2,
    "whitened_convnet": whitened_convnet,
}


def training_model(network, *, precision, optimizer=None):
    """A compiled `keras.Model` of uint8 images (N, 32, 32, 3) for 10 classes.

    Args:
        network: a key of NETWORKS.
        precision: a Keras dtype policy.
        optimizer: a Keras optimizer; None: SGD with momentum and weight decay.
    """
    keras.config.set_dtype_policy(precision)
    images = keras.Input((32, 32, 3), dtype="uint8")
    x = NETWORKS[network](keras.layers.Rescaling(1 / 127.5, offset=-1.0)(images))
    whitened = network == "whitened_convnet"
    pooling = keras.layers.GlobalMaxPooling2D() if whitened else keras.layers.GlobalAveragePooling2D()
    logits = keras.layers.Dense(10, dtype="float32")(pooling(x))
    if whitened:
        logits = keras.layers.Rescaling(1 / 9, dtype="float32")(logits)
    model = keras.Model(images, logits)
    sgd = keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True, weight_decay=5e-4)
    model.compile(
        optimizer=optimizer or sgd,
        loss=keras.losses.CategoricalCrossentropy(from_logits=True),
        metrics=[keras.metrics.CategoricalAccuracy(name="accuracy")],
    )
    return model

"""Training images a second on a constant batch: ours, stock Keras, native PyTorch, eager and compiled.

python -m benchmarks.training
"""

from functools import partial

from benchmarks.harness import compare, machine, table
from commands import new_parser
from noisy_student.runtime import console

BATCH = 128
BFLOAT16, FLOAT32 = "PyTorch bfloat16 channels_last", "PyTorch float32 channels_last"
NETWORKS = {  # parameters, steps a turn
    "ResNet-20": ({"name": "resnet", "depth": 20, "width": 16}, 10),
    "WRN-28-2": ({"name": "wide_resnet", "wide_depth": 28, "widening_factor": 2}, 4),
    "whitened_convnet": ({"name": "whitened_convnet"}, 10),
}


def _batch(side):
    import numpy as np

    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (BATCH, side, side, 3), np.uint8)
    return images, np.eye(10, dtype=np.float32)[rng.integers(0, 10, BATCH)]


def portion_of_steps(model, dataset, steps):
    """A portion of `steps` training steps of a compiled Keras model on an endless tf.data.Dataset."""
    batches = iter(dataset)
    model.make_train_function()

    def portion():
        for _ in range(steps // model.steps_per_execution):
            logs = model.train_function(batches)
        float(logs["loss"])  # waits for the last step
        return steps * BATCH

    return portion


def _portion(model, steps, side=32):
    import tensorflow as tf

    return portion_of_steps(model, tf.data.Dataset.from_tensors(_batch(side)).repeat(), steps)


def ours(network):
    """The library's model, optimizer and step."""
    from noisy_student import backends

    backends.select("tensorflow")
    return steps_of(network, precision="auto")


def steps_of(network, *, precision):
    """A portion of the library's training steps; the backend is selected."""
    from commands import preset as presets
    from noisy_student.settings.params import check

    training = check(presets.parameters("cifar10-cpu-resnet14")).teacher
    return steps_with(training, *NETWORKS[network], precision=precision)


def steps_with(training, own, steps, *, precision, side=32):
    """The same of any network, images and parameters of a training."""
    from noisy_student import backends
    from noisy_student.models.build import build
    from noisy_student.settings.schema import ModelParams
    from noisy_student.training.train import compile_for_training

    model = build(ModelParams(**own), classes=10, image_size=side, precision=backends.resolve_precision(precision))
    compile_for_training(model, training, rate=0.1, round_steps=steps)
    return _portion(model, steps, side)


def stock_keras(network, precision):
    """Stock Keras layers, optimizer and step on TensorFlow."""
    from noisy_student import backends

    backends.select("tensorflow")
    from benchmarks.rivals.stock_keras import training_model

    return _portion(training_model(network, precision=precision), NETWORKS[network][-1])


def native_torch(network, bfloat16, channels_last, compiled=False):
    """PyTorch without Keras, step by step or compiled."""
    from benchmarks.rivals.native_torch import training_step

    step = training_step(network, batch_size=BATCH, bfloat16=bfloat16, channels_last=channels_last, compiled=compiled)
    steps = NETWORKS[network][-1]

    def portion():
        for _ in range(steps):
            step()
        return steps * BATCH

    return portion


def contestants(network, *, bfloat16):
    """{name: factory} for `compare`; those in bfloat16 only where the CPU multiplies it, emulated it takes minutes."""
    keras, torch = partial(stock_keras, network), partial(native_torch, network)
    float32 = {"Keras float32": partial(keras, "float32"), FLOAT32: partial(torch, False, True)}
    if not bfloat16:
        return {
            "ours": partial(ours, network),
            **float32,
            f"{FLOAT32}, torch.compile": partial(torch, False, True, True),
        }
    return {
        "ours": partial(ours, network),
        "Keras mixed_bfloat16": partial(keras, "mixed_bfloat16"),
        BFLOAT16: partial(torch, True, True),
        f"{BFLOAT16}, torch.compile": partial(torch, True, True, True),
        **float32,
    }


def main():
    """Print the section of the report."""
    from noisy_student.backends import cpu_has_bfloat16

    bfloat16 = cpu_has_bfloat16()
    print("## Training step\n")
    print("`python -m benchmarks.training`: forward, backward and SGD with momentum and weight decay on a")
    print(
        f"constant batch of {BATCH} uint8 images of 32x32, 10 classes; in float32 on CPUs without bfloat16. Stock Keras"
    )
    print("has the kernels of oneDNN, too, as all of TensorFlow here.\n")
    print(machine("tensorflow", "keras", "torch"))
    for network in NETWORKS:
        results = compare(contestants(network, bfloat16=bfloat16))
        print(f"\n{network}\n")
        print(table(results, unit="images/s", reference=BFLOAT16 if bfloat16 else FLOAT32))


if __name__ == "__main__":
    console.use_utf8()
    new_parser("benchmarks.training", __doc__).parse_args()
    main()

"""What noise costs a training: the same step on noised batches and on a constant one.

python -m benchmarks.feeding
"""

from functools import partial

from benchmarks.harness import compare, machine, table
from benchmarks.training import BATCH, NETWORKS, portion_of_steps
from commands import new_parser
from noisy_student.runtime import console

STEPS, IMAGES = 20, 10_000
ROUNDS = 15  # the figure asked for is a difference of a few percent


CHOSEN = ("ResNet-20", "whitened_convnet")


def make_model(network):
    """A network with what it takes of the noise of the preset digits-100, and that of its input."""
    from commands import preset as presets
    from noisy_student import backends
    from noisy_student.settings.params import check
    from noisy_student.settings.schema import AugmentationParams

    backends.select("tensorflow")
    from noisy_student.models.build import build, model_noise
    from noisy_student.noise.pipeline import InputNoise
    from noisy_student.settings.schema import ModelParams
    from noisy_student.training.train import compile_for_training

    params = check(presets.parameters("digits-100"))
    described, _ = NETWORKS[network]
    inside = model_noise(params.noise) if described["name"] == "resnet" else {}
    model = build(
        ModelParams(**described),
        classes=10,
        image_size=32,
        precision=backends.resolve_precision("auto"),
        **inside,
    )
    compile_for_training(model, params.student, rate=0.1, round_steps=STEPS)
    augmentation = AugmentationParams(flip=True, crop=4)
    return model, InputNoise(augmentation=augmentation, randaugment=params.noise.randaugment)


def make_batches(noise):
    import numpy as np

    from noisy_student.training.batches import Share, TrainingBatches
    from noisy_student.training.examples import LabelledExamples

    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (IMAGES, 32, 32, 3), np.uint8)
    examples = LabelledExamples(images, rng.integers(0, 10, IMAGES), classes=10)
    return TrainingBatches([Share("labelled", examples, BATCH)], noise=noise, round_steps=STEPS, seed=0)


def constant(network):
    """The training step alone: one batch again and again."""
    import tensorflow as tf

    model, noise = make_model(network)
    return portion_of_steps(model, tf.data.Dataset.from_tensors(make_batches(noise)[0]).repeat(), STEPS)


def noised(network):
    """Every batch drawn, gathered and noised while the one before it trains."""
    model, noise = make_model(network)
    from noisy_student import backends

    return portion_of_steps(model, backends.current().feed(make_batches(noise)).repeat(), STEPS)


def pillow(network):
    """The same step and draws; a Pillow loop carries them out in a generator, as Keras feeds a PyDataset."""
    import numpy as np
    import tensorflow as tf

    from benchmarks.rivals.pillow_noise import apply_draw

    model, noise = make_model(network)
    batches = make_batches(noise)
    examples, example = batches.shares[0].examples, batches[0]
    names = [operation.name for operation in noise.randaugment.table]

    def generate():
        rng = np.random.default_rng(0)
        while True:
            rows = rng.integers(0, IMAGES, BATCH)
            draw = noise.draw(rng.integers(0, 2**63, BATCH, np.uint64))
            images = apply_draw(examples.images[rows], draw, names=names, padding=4)
            yield images, np.eye(10, dtype=np.float32)[examples.labels[rows]], np.ones(BATCH, np.float32)

    signature = tuple(tf.TensorSpec(array.shape, array.dtype) for array in example)
    dataset = tf.data.Dataset.from_generator(generate, output_signature=signature)
    return portion_of_steps(model, dataset.prefetch(tf.data.AUTOTUNE), STEPS)


def main():
    """Print the section of the report."""
    print("## Noise beside the training\n")
    print("`python -m benchmarks.feeding`: ResNet-20 with dropout and stochastic depth, and the whitened network,")
    print(f"batch {BATCH}, 32x32; flip, crop and RandAugment (N = 2, M = 10 of 10) on the input. A table that names no")
    print("network is ResNet-20's.\n")
    print(machine("tensorflow", "keras", "numba", "pillow"))
    ways = {"constant batch": constant, "ours, all noise": noised, "Pillow, all noise": pillow}
    for network in CHOSEN:
        results = compare({name: partial(way, network) for name, way in ways.items()}, rounds=ROUNDS)
        print(f"\n{network}\n\n{table(results, unit='images/s', reference='constant batch')}")


if __name__ == "__main__":
    console.use_utf8()
    new_parser("benchmarks.feeding", __doc__).parse_args()
    main()

"""What noise costs a training: the same step on noised batches and on a constant one.

python -m benchmarks.feeding
"""

from benchmarks.harness import compare, machine, table
from benchmarks.training import BATCH, portion_of_steps
from commands import new_parser
from noisy_student.runtime import console

STEPS, IMAGES = 20, 10_000
ROUNDS = 15  # the figure asked for is a difference of a few percent


def make_model():
    """ResNet-20 with all noise inside of it, and the noise of its input; both as in the preset digits-100."""
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
    model = build(
        ModelParams(name="resnet", depth=20, width=16),
        classes=10,
        image_size=32,
        precision=backends.resolve_precision("auto"),
        **model_noise(params.noise),
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


def constant():
    """The training step alone: one batch again and again."""
    import tensorflow as tf

    model, noise = make_model()
    return portion_of_steps(model, tf.data.Dataset.from_tensors(make_batches(noise)[0]).repeat(), STEPS)


def noised():
    """Every batch drawn, gathered and noised while the one before it trains."""
    model, noise = make_model()
    from noisy_student import backends

    return portion_of_steps(model, backends.current().feed(make_batches(noise)).repeat(), STEPS)


def pillow():
    """The same step and draws; a Pillow loop carries them out in a generator, as Keras feeds a PyDataset."""
    import numpy as np
    import tensorflow as tf

    from benchmarks.rivals.pillow_noise import apply_draw

    model, noise = make_model()
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
    print(f"`python -m benchmarks.feeding`: ResNet-20, batch {BATCH}, 32x32, with dropout and stochastic")
    print("depth; flip, crop and RandAugment (N = 2, M = 10 of 10) on the input.\n")
    print(machine("tensorflow", "keras", "numba", "pillow"), "\n")
    contestants = {"constant batch": constant, "ours, all noise": noised, "Pillow, all noise": pillow}
    results = compare(contestants, rounds=ROUNDS)
    print(table(results, unit="images/s", reference="constant batch"))


if __name__ == "__main__":
    console.use_utf8()
    new_parser("benchmarks.feeding", __doc__).parse_args()
    main()

"""What `arithmetic: portable` costs in speed, against `fast`.

python -m benchmarks.arithmetic          # about 3 minutes
python -m benchmarks.arithmetic --trial  # one round: shows that it works
"""

from functools import partial

from benchmarks.harness import ROUNDS, compare, machine, table
from benchmarks.training import NETWORKS, steps_of
from commands import new_parser
from noisy_student.runtime import arithmetic, console

NETWORK = "ResNet-20"
LABELLED = 2_000  # images a turn
NOISED = 20_000
PORTABLE = "portable"
CHOICES = {"fast": ("fast", "auto"), "fast, float32": ("fast", "float32"), PORTABLE: ("portable", "float32")}


def training(choice, precision):
    """Contestant: training steps on a constant batch."""
    from noisy_student import backends

    backends.select("tensorflow", choice)
    backends.current().make_deterministic()
    return steps_of(NETWORK, precision=precision)


def labelling(choice, precision):
    """Contestant: probabilities of images in memory, always in float32."""
    import numpy as np

    from noisy_student import backends

    backends.select("tensorflow", choice)
    backends.current().make_deterministic()
    from noisy_student.inference.predict import Predictor
    from noisy_student.models.build import build
    from noisy_student.settings.schema import ModelParams

    predict = Predictor(build(ModelParams(**NETWORKS[NETWORK][0]), mode="inference", classes=10, image_size=32))
    images = np.random.default_rng(0).integers(0, 256, (LABELLED, 32, 32, 3), np.uint8)

    def portion():
        predict(images)
        return len(images)

    return portion


def noising(choice, precision):
    """Contestant: RandAugment by Numba, N = 2, M = 10 of 10, one core; in whole numbers but for the geometry."""
    import numpy as np

    from noisy_student.noise.pipeline import InputNoise
    from noisy_student.runtime.seeds import image_keys
    from noisy_student.settings.schema import AugmentationParams, RandAugmentParams

    images = np.random.default_rng(0).integers(0, 256, (NOISED, 32, 32, 3), np.uint8)
    noise = InputNoise(augmentation=AugmentationParams(), randaugment=RandAugmentParams())
    keys = image_keys(0, np.zeros(NOISED, np.int64), np.arange(NOISED))

    def portion():
        noise(images, keys)
        return len(images)

    return portion


WORK = {
    f"Training, {NETWORK}, batches of 128": training,
    f"Labelling, {NETWORK}": labelling,
    "RandAugment, 32x32": noising,
}


def main():
    """Print the tables as Markdown."""
    parser = new_parser("benchmarks.arithmetic", __doc__)
    parser.add_argument("--trial", action="store_true", help="one round")
    rounds = 1 if parser.parse_args().trial else ROUNDS
    print(
        "## Portable arithmetic\n\n`python -m benchmarks.arithmetic`: what the same bytes on every x86-64 CPU with AVX2"
    )
    print("([reproducibility.md](reproducibility.md)) cost in speed, on images of 32x32 pixels.\n")
    print(machine("tensorflow", "keras", "numba"))
    pinned = {PORTABLE: arithmetic.switches()}
    for title, work in WORK.items():
        contestants = {name: partial(work, *choice) for name, choice in CHOICES.items()}
        if work is not training:
            del contestants["fast, float32"]  # in float32 are all
        print(f"\n### {title}\n")
        results = compare(contestants, rounds=rounds, environments=pinned)
        print(table(results, unit="images/s", reference="fast"))


if __name__ == "__main__":
    console.use_utf8()
    main()

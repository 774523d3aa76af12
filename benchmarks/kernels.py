"""Training steps in float32 with oneDNN's kernels (TF_ENABLE_ONEDNN_OPTS=1) and with TensorFlow's own (Eigen).

python -m benchmarks.kernels

Without AVX512-VNNI, AVX-VNNI or AMX the latter are what TensorFlow takes by default.
"""

import functools

from benchmarks.harness import compare, machine, table
from benchmarks.training import BATCH, NETWORKS, portion_of_steps
from commands import new_parser
from noisy_student.runtime import console

ONEDNN, EIGEN = "oneDNN", "Eigen"
CASES = {  # parameters, side of the images, steps a turn
    "ResNet-8, 8 x 8 pixels (the default's student)": ({"name": "resnet", "depth": 8, "width": 16}, 8, 100),
    **{f"{name}, 32 x 32 pixels": (own, 32, min(steps, 4)) for name, (own, steps) in NETWORKS.items()},
}


def steps_of(case):
    """A portion of the library's training steps."""
    from noisy_student import backends

    backends.select("tensorflow")
    import numpy as np
    import tensorflow as tf

    from commands import preset as presets
    from noisy_student.models.build import build
    from noisy_student.settings.params import check
    from noisy_student.settings.schema import ModelParams
    from noisy_student.training.train import compile_for_training

    own, side, steps = CASES[case]
    model = build(ModelParams(**own), classes=10, image_size=side, precision="float32")
    compile_for_training(model, check(presets.parameters("digits")).student, rate=0.1, round_steps=steps)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (BATCH, side, side, 3), np.uint8)
    batch = images, np.eye(10, dtype=np.float32)[rng.integers(0, 10, BATCH)]
    return portion_of_steps(model, tf.data.Dataset.from_tensors(batch).repeat(), steps)


def main():
    """Print the section of the report."""
    print("## oneDNN's kernels or TensorFlow's own\n")
    print("`python -m benchmarks.kernels`: training steps in float32, batch 128, forward, backward and SGD. TensorFlow")
    print("takes oneDNN's kernels by itself on CPUs with AVX512-VNNI, AVX-VNNI or AMX only; elsewhere")
    print("`TF_ENABLE_ONEDNN_OPTS=1` asks for them (what speaks against it: performance.md).\n")
    print(machine("tensorflow", "keras"))
    for case in CASES:
        work = functools.partial(steps_of, case)
        environments = {name: {"TF_ENABLE_ONEDNN_OPTS": value} for name, value in ((ONEDNN, "1"), (EIGEN, "0"))}
        results = compare({ONEDNN: work, EIGEN: work}, environments=environments)
        print(f"\n{case}\n")
        print(table(results, unit="images/s", reference=EIGEN))


if __name__ == "__main__":
    console.use_utf8()
    new_parser("benchmarks.kernels", __doc__).parse_args()
    main()

"""Training steps in float32 with oneDNN's kernels (TF_ENABLE_ONEDNN_OPTS=1) and with TensorFlow's own (Eigen).

python -m benchmarks.kernels

Without AVX512-VNNI, AVX-VNNI or AMX the latter are what TensorFlow takes by default.
"""

import functools

from benchmarks.harness import compare, machine, table
from benchmarks.training import NETWORKS, steps_with
from commands import new_parser
from noisy_student.runtime import console

ONEDNN, EIGEN = "oneDNN", "Eigen"
CASES = {  # parameters, steps a turn, side of the images
    "ResNet-8, 8 x 8 pixels (the default's student)": ({"name": "resnet", "depth": 8, "width": 16}, 100, 8),
    **{f"{name}, 32 x 32 pixels": (own, min(steps, 4), 32) for name, (own, steps) in NETWORKS.items()},
}


def contestant(case):
    """A portion of the library's training steps."""
    from noisy_student import backends

    backends.select("tensorflow")
    from commands import preset as presets
    from noisy_student.settings.params import check

    own, steps, side = CASES[case]
    return steps_with(check(presets.parameters("digits")).student, own, steps, precision="float32", side=side)


def main():
    """Print the section of the report."""
    print("## oneDNN's kernels or TensorFlow's own\n")
    print("`python -m benchmarks.kernels`: training steps in float32, batch 128, forward, backward and SGD. TensorFlow")
    print("takes oneDNN's kernels by itself on CPUs with AVX512-VNNI, AVX-VNNI or AMX only; stages set")
    print("`TF_ENABLE_ONEDNN_OPTS=1` on all CPUs with AVX2.\n")
    print(machine("tensorflow", "keras"))
    for case in CASES:
        work = functools.partial(contestant, case)
        environments = {name: {"TF_ENABLE_ONEDNN_OPTS": value} for name, value in ((ONEDNN, "1"), (EIGEN, "0"))}
        results = compare({ONEDNN: work, EIGEN: work}, environments=environments)
        print(f"\n{case}\n")
        print(table(results, unit="images/s", reference=EIGEN))


if __name__ == "__main__":
    console.use_utf8()
    new_parser("benchmarks.kernels", __doc__).parse_args()
    main()

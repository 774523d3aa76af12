"""Where the time of a training step goes: TensorFlow's profiler, operations grouped by kind.

python -m benchmarks.profile
"""

import collections
import os
import tempfile
import time
from pathlib import Path

from benchmarks.harness import machine
from commands import new_parser
from noisy_student.runtime import console

STEPS = 5
KINDS = {
    "convolution, gradient of the filters": ("Conv2DBackpropFilter",),
    "convolution, gradient of the inputs": ("Conv2DBackpropInput",),
    "convolution, forwards": ("Conv2D",),
    "batch normalisation, backwards": ("FusedBatchNormGradV3",),
    "batch normalisation, forwards (ReLU fused where nothing lies between)": (
        "FusedBatchNormV3",
        "FusedBatchNormEx",
    ),
    "ReLU": ("Relu", "ReluGrad"),
    "additions": ("AddV2", "AddN"),
    "casts": ("Cast",),
    "optimizer": ("ResourceApplyKerasMomentum", "AssignVariableOp", "AssignSubVariableOp", "ReadVariableOp"),
}


def _operations(portion):
    """({operation: ms a step}, ms a step of the whole) of `STEPS` steps."""
    import tensorflow as tf
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    with tempfile.TemporaryDirectory() as folder:
        tf.profiler.experimental.start(folder)
        began = time.perf_counter()
        portion()
        whole = (time.perf_counter() - began) * 1e3 / STEPS
        tf.profiler.experimental.stop()
        space = xplane_pb2.XSpace()
        space.ParseFromString(next(Path(folder).rglob("*.xplane.pb")).read_bytes())
    spent = collections.Counter()
    for plane in space.planes:
        for line in plane.lines:
            for event in line.events:
                name = plane.event_metadata[event.metadata_id].name.rpartition(":")[2]
                spent[name.removeprefix("_MklNative").removeprefix("_Mkl")] += event.duration_ps / 1e9 / STEPS
    return spent, whole


def _matmul_peak():
    """GFLOP/s of a large bfloat16 matrix product."""
    import tensorflow as tf

    side = 2048
    matrix = tf.cast(tf.random.stateless_normal((side, side), (0, 0)), tf.bfloat16)
    product = tf.function(lambda: tf.reduce_sum(tf.cast(tf.matmul(matrix, matrix), tf.float32)))
    product()
    seconds = []
    for _ in range(9):
        began = time.perf_counter()
        float(product())
        seconds.append(time.perf_counter() - began)
    return 2 * side**3 / sorted(seconds)[4] / 1e9


def main():
    """Print the section of the report."""
    # operations one after the other, each on all cores, so that their times add up
    os.environ["TF_NUM_INTEROP_THREADS"] = "1"
    from benchmarks import training

    training.NETWORKS["ResNet-20"] = (training.NETWORKS["ResNet-20"][0], STEPS)
    portion = training.ours("ResNet-20")
    portion()
    spent, whole = _operations(portion)
    rate = 3 * 2 * 40.8e6 * training.BATCH / whole / 1e6
    print("## Where the time of a step goes\n")
    print(f"`python -m benchmarks.profile`: our step of ResNet-20, batch {training.BATCH}, one operation")
    print("after the other (beside one another, as in the first table, they take less in all).\n")
    print(machine("tensorflow", "keras"), "\n")
    print("| | ms a step | share |\n|---|---:|---:|")
    for kind, names in KINDS.items():
        taken = sum(spent[name] for name in names)
        print(f"| {kind} | {taken:.1f} | {taken / whole:.0%} |")
    rest = whole - sum(spent[name] for names in KINDS.values() for name in names)
    print(f"| the rest: scheduling, loss, metrics | {rest:.1f} | {rest / whole:.0%} |")
    print(f"| whole step | {whole:.1f} | 100 % |\n")
    print(f"The step does {rate:,.0f} GFLOP/s (three times the forward 40.8 MMAC an image); a product of two")
    print(f"2048 x 2048 bfloat16 matrices does {_matmul_peak():,.0f} GFLOP/s on the same cores.")


if __name__ == "__main__":
    console.use_utf8()
    new_parser("benchmarks.profile", __doc__).parse_args()
    main()

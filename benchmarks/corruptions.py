"""The 15 standard corruptions at 5 severities: ours, and one image at a time by the usual libraries.

python -m benchmarks.corruptions
"""

import multiprocessing
import resource
import time
from functools import partial

from benchmarks.harness import compare, machine, table
from benchmarks.randaugment import _images
from commands import new_parser
from noisy_student.runtime import console

SIDE, BLOCK = 32, 512
PORTION = {"ours": 400, "one image at a time": 40}  # images a turn
WHOLE = 10_000  # images, for the peak of memory


def _frost():
    from noisy_student.robustness import frosting

    return frosting.pictures("/nonexistent", SIDE)


def _ours(images, first, names, levels):
    import numpy as np

    from noisy_student.robustness.corruptions import corrupt

    rows = np.arange(first, first + len(images))
    for name in names:
        for level in levels:
            corrupt(images, name, level, rows=rows, seed=0, frost=_frost)


def ours(names):
    """Blocks of images, one core."""
    from noisy_student.robustness.severities import SEVERITIES

    images = _images(SIDE, PORTION["ours"])

    def portion():
        _ours(images, 0, names, SEVERITIES)
        return len(images) * len(names) * len(SEVERITIES)

    return portion


def loop(names):
    """scikit-image, SciPy, OpenCV and Pillow."""
    import numpy as np

    from benchmarks.rivals.image_loop import corrupt
    from noisy_student.robustness import severities

    images, frost, rng = _images(SIDE, PORTION["one image at a time"]), _frost(), np.random.default_rng(0)

    def portion():
        for name in names:
            for level in severities.SEVERITIES:
                strength = severities.constants(name, level, SIDE)
                for image in images:
                    corrupt(image, name, strength, rng, frost)
        return len(images) * len(names) * len(severities.SEVERITIES)

    return portion


def _whole(pipe):
    """Corrupt 10,000 images block by block; say how long it took and the peak of memory in MiB."""
    import numpy as np

    from noisy_student.robustness.severities import SEVERITIES, STANDARD

    images = np.tile(_images(SIDE, 1000), (WHOLE // 1000, 1, 1, 1))
    _ours(images[:2], 0, STANDARD, [1])
    began = time.perf_counter()
    for first in range(0, WHOLE, BLOCK):
        _ours(images[first : first + BLOCK], first, STANDARD, SEVERITIES)
    pipe.send((time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))


def main():
    """Print the section of the report."""
    from noisy_student.robustness.severities import STANDARD

    print("## Corruptions\n")
    print("`python -m benchmarks.corruptions`: the 15 standard corruptions at 5 severities, images of 32x32,")
    print("one core each.\n")
    print(machine("numpy", "scipy", "numba", "opencv-python-headless", "scikit-image", "pillow"), "\n")
    contestants = {"ours": partial(ours, STANDARD), "one image at a time": partial(loop, STANDARD)}
    results = compare(contestants, rounds=5, cores=1)
    print(table(results, unit="corrupted images/s", reference="one image at a time"), "\n")
    print("Each by itself, ratio of the medians of three turns:\n")
    print("| corruption | ours, images/s | one at a time, images/s | ratio |\n|---|---:|---:|---:|")
    for name in STANDARD:
        pair = {"ours": partial(ours, (name,)), "one image at a time": partial(loop, (name,))}
        first, second = compare(pair, rounds=3, cores=1)
        ratio = first.median / second.median
        print(f"| {name.replace('_', ' ')} | {first.median:,.0f} | {second.median:,.0f} | {ratio:.1f} |")
    context = multiprocessing.get_context("spawn")
    mine, theirs = context.Pipe()
    process = context.Process(target=_whole, args=(theirs,))
    process.start()
    seconds, peak = mine.recv()
    process.join()
    print(f"\nAll of {WHOLE:,} images, in blocks of {BLOCK}: {seconds:.0f} s, peak memory {peak:,.0f} MiB,")
    print(f"of which {WHOLE * SIDE**2 * 3 / 2**20:.0f} MiB are the images themselves.")


if __name__ == "__main__":
    console.use_utf8()
    new_parser("benchmarks.corruptions", __doc__).parse_args()
    main()

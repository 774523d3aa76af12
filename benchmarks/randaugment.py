"""RandAugment and random resized crops on one core: images a second of ours and of what a user would pick instead.

python -m benchmarks.randaugment
"""

import math
from functools import partial

from benchmarks.harness import MissingRival, compare, machine, table
from commands import new_parser
from noisy_student.runtime import console

OPS, MAGNITUDE, FILL = 2, 10, 128
LEVELS = (30, 10)  # "M = 10" is a third of the way in most codes, and all of it in the article's
SIZES = ((32, 128), (224, 16))  # side, batch
CROP_SIZES = ((40, 32, 128), (256, 224, 16))  # side of the stored image, of the crop, batch
SMALLEST = 0.08  # share of the area


def _images(side, batch):
    """Waves with grain: levels and edges as uneven as in photographs."""
    import numpy as np

    rng = np.random.default_rng(0)
    y, x = np.mgrid[:side, :side] / side
    waves = np.sin(rng.uniform(2, 20, (batch, 1, 1, 3)) * x[..., None] + rng.uniform(2, 20) * y[..., None])
    grain = rng.normal(0, 8, (batch, side, side, 3))
    return (127 + 90 * waves + grain).clip(0, 255).astype(np.uint8)


def _noise(levels):
    from noisy_student.noise.pipeline import InputNoise
    from noisy_student.settings.schema import AugmentationParams, RandAugmentParams

    randaugment = RandAugmentParams(
        ops=OPS,
        magnitude=MAGNITUDE,
        levels=levels,
        table="standard",
        magnitude_sampling="fixed",
        fill=FILL,
    )
    return InputNoise(augmentation=AugmentationParams(flip=False, crop=0), randaugment=randaugment)


def _repeated(work, batch, times):
    """A portion that calls `work` with the numbers of batches that it has never seen."""
    done = iter(range(10**9))

    def portion():
        for _ in range(times):
            work(next(done))
        return batch * times

    return portion


def ours(side, batch, levels):
    """Draws and the compiled kernels."""
    import numpy as np

    from noisy_student.runtime.seeds import image_keys

    noise, images, rows = _noise(levels), _images(side, batch), np.arange(batch)
    return _repeated(lambda epoch: noise(images, image_keys(0, epoch, rows)), batch, 100)


def pillow(side, batch, levels):
    """The same table and the same draws."""
    import numpy as np

    from benchmarks.rivals.pillow_noise import apply_draw
    from noisy_student.runtime.seeds import image_keys

    noise, images, rows = _noise(levels), _images(side, batch), np.arange(batch)
    names = [operation.name for operation in noise.randaugment.table]

    def work(epoch):
        return apply_draw(images, noise.draw(image_keys(0, epoch, rows)), names=names)

    return _repeated(work, batch, 8)


def torchvision_v2(side, batch, levels):
    """Image by image, so that each has its own operations; the same table but for translations up to 0.45."""
    try:
        import torch
        from torchvision.transforms import v2
    except ImportError as error:
        raise MissingRival("torchvision is not installed") from error
    torch.set_num_threads(1)
    images = torch.from_numpy(_images(side, batch)).permute(0, 3, 1, 2).contiguous()
    augment = v2.RandAugment(num_ops=OPS, magnitude=MAGNITUDE, num_magnitude_bins=levels + 1, fill=[float(FILL)] * 3)
    return _repeated(lambda _: torch.stack([augment(image) for image in images]), batch, 4)


def albumentations(side, batch, levels):
    """Its nearest equivalents of the table's operations, two drawn for each image."""
    try:
        import albumentations as alb
        import cv2
    except ImportError as error:
        raise MissingRival("albumentations is not installed") from error
    import numpy as np

    cv2.setNumThreads(1)
    images = _images(side, batch)
    augment = alb.SomeOf(_albumentations_table(alb, cv2, MAGNITUDE / levels), n=OPS, replace=True, p=1.0)
    return _repeated(lambda _: np.stack([augment(image=image)["image"] for image in images]), batch, 4)


def _albumentations_table(alb, cv2, share):
    def both_ways(strength):
        return -strength * share, strength * share

    def around_one(strength):
        return 1.0 - strength * share, 1.0 + strength * share

    still = {"brightness": (1, 1), "contrast": (1, 1), "saturation": (1, 1), "hue": (0, 0), "p": 1.0}
    nearest = {"interpolation": cv2.INTER_NEAREST, "fill": FILL, "p": 1.0}
    shear, shift = both_ways(math.degrees(math.atan(0.3))), both_ways(0.33)
    return [
        alb.NoOp(p=1.0),
        alb.AutoContrast(method="pil", p=1.0),
        alb.Equalize(mode="pil", p=1.0),
        alb.Affine(rotate=both_ways(30), **nearest),
        alb.Solarize(threshold_range=(1.0 - share, 1.0 - share), p=1.0),
        *(alb.ColorJitter(**still | {kind: around_one(0.9)}) for kind in ("saturation", "contrast", "brightness")),
        alb.Sharpen(alpha=(0.0, 0.9 * share), lightness=(1.0, 1.0), p=1.0),
        alb.Posterize(num_bits=round(8 - 4 * share), p=1.0),
        alb.Affine(shear={"x": shear, "y": (0, 0)}, **nearest),
        alb.Affine(shear={"x": (0, 0), "y": shear}, **nearest),
        alb.Affine(translate_percent={"x": shift, "y": (0, 0)}, **nearest),
        alb.Affine(translate_percent={"x": (0, 0), "y": shift}, **nearest),
    ]


def keras_layer(side, batch, levels):
    """keras.layers.RandAugment in a tf.data pipeline of batches."""
    try:
        import keras
        import tensorflow as tf
    except ImportError as error:
        raise MissingRival("TensorFlow is not installed") from error

    layer = keras.layers.RandAugment(value_range=(0, 255), num_ops=OPS, factor=MAGNITUDE / levels)
    batches = tf.data.Dataset.from_tensors(_images(side, batch).astype("float32")).repeat()
    options = tf.data.Options()
    options.experimental_optimization.inject_prefetch = False  # else it works during the others' turns
    batches = iter(batches.map(lambda images: layer(images, training=True)).with_options(options))
    portion = _repeated(lambda _: next(batches).numpy(), batch, 4)
    portion.note = "draws one choice of operations for the whole batch, not one for each image"
    return portion


def crop_ours(stored, side, batch):
    """Boxes, weights and the compiled kernels."""
    import numpy as np

    from noisy_student.noise.pipeline import InputNoise
    from noisy_student.runtime.seeds import image_keys
    from noisy_student.settings.schema import AugmentationParams

    augmentation = AugmentationParams(resized_crop=SMALLEST)
    noise = InputNoise(augmentation=augmentation, randaugment=None, image_size=side)
    images, rows = _images(stored, batch), np.arange(batch)
    return _repeated(lambda epoch: noise(images, image_keys(0, epoch, rows)), batch, 20)


def crop_pillow(stored, side, batch):
    """The same boxes, drawn by the same code, and Pillow's resize."""
    import numpy as np
    from PIL import Image

    from noisy_student.noise.resized_crop import draw_boxes
    from noisy_student.runtime.seeds import image_keys

    images, rows, how = _images(stored, batch), np.arange(batch), Image.Resampling.BILINEAR

    def work(epoch):
        boxes = draw_boxes(image_keys(0, epoch, rows), height=stored, width=stored, smallest=SMALLEST).tolist()
        pairs = zip(images, boxes, strict=True)
        return np.stack([np.asarray(Image.fromarray(image).resize((side, side), how, box=box)) for image, box in pairs])

    return _repeated(work, batch, 4)


def crop_torchvision(stored, side, batch):
    """Image by image, on tensors, antialiased."""
    try:
        import torch
        from torchvision.transforms import v2
    except ImportError as error:
        raise MissingRival("torchvision is not installed") from error
    torch.set_num_threads(1)
    images = torch.from_numpy(_images(stored, batch)).permute(0, 3, 1, 2).contiguous()
    crop = v2.RandomResizedCrop(side, scale=(SMALLEST, 1.0), antialias=True)
    return _repeated(lambda _: torch.stack([crop(image) for image in images]), batch, 4)


CROPS = {"Pillow loop": crop_pillow, "ours": crop_ours, "torchvision v2": crop_torchvision}
CONTESTANTS = {
    "Pillow loop": pillow,
    "ours": ours,
    "torchvision v2": torchvision_v2,
    "albumentations": albumentations,
    "keras.layers.RandAugment": keras_layer,
}


def crops(stored, side, batch):
    """Results of the contestants at random resized crops."""
    return compare({name: partial(factory, stored, side, batch) for name, factory in CROPS.items()}, cores=1)


def main():
    """Print the section for docs/benchmarks.md."""
    print("## RandAugment\n")
    print("`python -m benchmarks.randaugment`: N = 2, the standard table, one core, array in and array out.\n")
    print(machine("pillow", "numba", "torchvision", "albumentations", "opencv-python-headless", "keras"))
    for side, batch in SIZES:
        for levels in LEVELS:
            contestants = {name: partial(factory, side, batch, levels) for name, factory in CONTESTANTS.items()}
            results = compare(contestants, cores=1)
            print(f"\n### {side} x {side}, batch {batch}, M = {MAGNITUDE} of {levels}\n")
            print(table(results, unit="images/s", reference="Pillow loop"), flush=True)
    for stored, side, batch in CROP_SIZES:
        print(f"\n### Random resized crop of {stored} x {stored} to {side} x {side}, scale {SMALLEST}, batch {batch}\n")
        print(table(crops(stored, side, batch), unit="images/s", reference="Pillow loop"), flush=True)


if __name__ == "__main__":
    console.use_utf8()
    new_parser("benchmarks.randaugment", __doc__).parse_args()
    main()

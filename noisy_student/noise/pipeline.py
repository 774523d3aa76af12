"""All input noise of one training, in order."""

from noisy_student.noise.flip_crop import random_crop, random_flip
from noisy_student.noise.randaugment import RandAugment

# Not `randaugment.fill`: plain augmentation must be the same in trainings with and without noise.
CROP_FILL = 128


class InputNoise:
    """Flip, then crop, then RandAugment; what is off is skipped.

    Args:
        augmentation: sections.AugmentationParams.
        randaugment: sections.RandAugmentParams; None or `ops` of 0 leaves RandAugment out.
    """

    def __init__(self, *, augmentation, randaugment):
        self.flip = augmentation.flip
        self.crop = augmentation.crop
        active = randaugment is not None and randaugment.ops > 0
        self.randaugment = RandAugment(**randaugment.model_dump()) if active else None

    def plain(self, images, rng):
        """Flip and crop only; see `__call__`."""
        if self.flip:
            images = random_flip(images, rng)
        if self.crop:
            images = random_crop(images, rng, padding=self.crop, fill=CROP_FILL)
        return images

    def __call__(self, images, rng):
        """Noise a batch.

        Args:
            images: (N, H, W, 3) uint8; not changed.
            rng: numpy.random.Generator; equal states give equal results.

        Returns:
            (N, H, W, 3) uint8; `images` itself, not a copy, if nothing is switched on.
        """
        images = self.plain(images, rng)
        return images if self.randaugment is None else self.randaugment(images, rng)

    def with_captions(self, images, rng):
        """Noise a batch as `__call__` does, and say what RandAugment did.

        Returns:
            (images, captions): as of `__call__`, and a list of N lists of strings (RandAugment.captions),
            empty ones without RandAugment.
        """
        images = self.plain(images, rng)
        if self.randaugment is None:
            return images, [[] for _ in images]
        draw = self.randaugment.draw(len(images), rng)
        return self.randaugment.apply(images, draw), self.randaugment.captions(draw)


def input_noise(params, *, noised):
    """The input noise of a training: plain augmentation, with RandAugment when `noised`.

    Args:
        params: params.Params.
        noised: whether the section `noise` applies.
    """
    return InputNoise(
        augmentation=params.augmentation, randaugment=params.noise.randaugment if noised else None
    )

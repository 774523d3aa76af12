"""A convolutional network behind fixed whitening filters, for short trainings.

Source: Keller Jordan 2024, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU", arXiv:2404.00498, section 3.

A 2x2 convolution whose 24 filters whiten the patches of the training images and stay as they are (their bias learns);
three stages of two 3x3 convolutions, with 2x2 max pooling after the first of each; batch normalisation without scale;
the maximum over all places; logits divided by 9. There are no shortcuts, so stochastic depth acts on none of its
layers; dropout before the last layer does.

It differs from the paper's by half as many filters in its first two stages, for CPUs; ReLU in place of GELU;
he_normal weights in place of partial identities; normalisation that forgets at 0.9, not 0.6: batches are smaller;
one learning rate for all, biases too; a bias of the last layer; and a whitening bias that learns to the end.
"""

from typing import ClassVar

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from noisy_student.data.views import Images
from noisy_student.models.network import Blocks, KerasTensor, Layers, Network, staged
from noisy_student.runtime.types import Floats
from noisy_student.settings.schema import Positive, parameter

KERNEL = 2  # side of the whitening filters
SAMPLE = 5000  # images that they are computed from, as in the paper
EPSILON = 5e-4  # the paper's, of images of variance 1: here it is multiplied by that of the patches
PATCHES = 2**20  # in memory at a time, about


class WhitenedConvNet(Network):
    """Three stages of two convolutions behind fixed whitening filters."""

    normalisation: ClassVar = {"momentum": 0.9, "epsilon": 1e-5, "scale": False}
    pooling: ClassVar = "max"
    logit_scale: ClassVar = 1 / 9

    stage1_filters: Positive = parameter(32, "filters of its first two convolutions that learn")
    stage2_filters: Positive = parameter(128, "of the next two")
    stage3_filters: Positive = parameter(256, "of the last two")

    def blocks(self) -> Blocks:
        """See `staged`; a block a stage."""
        return staged([(filters, 1, 2) for filters in (self.stage1_filters, self.stage2_filters, self.stage3_filters)])

    def shortcuts(self) -> list[str]:
        """None."""
        return []

    @property
    def total_stride(self) -> int:
        """That of three poolings."""
        return 8

    @property
    def least_image_size(self) -> int:
        """The whitening has no padding, and takes a row and a column."""
        return self.total_stride + KERNEL - 1

    def fitted_kernels(self, images: Images) -> dict[str, Floats]:
        """Of the first layer, which whitens the normalised patches of training images; see `whitening_filters`."""
        return {"stem_conv": whitening_filters(images, scale=self.rescaling["scale"])}

    def features(self, images: KerasTensor, layers: Layers) -> KerasTensor:
        """Normalised images (N, H, W, 3) -> features (N, (H - 1) // 8, (W - 1) // 8, stage3_filters)."""
        filters = 2 * 3 * KERNEL**2
        x = layers.relu(layers.fixed_conv(images, "stem_conv", filters=filters, kernel=KERNEL), "stem_relu")
        for name, filters, _ in self.blocks():
            x = layers.conv(x, f"{name}_conv1", filters=filters, kernel=3)
            x = layers.norm_relu(layers.max_pool(x, f"{name}_pool"), f"{name}_1")
            x = layers.conv(x, f"{name}_conv2", filters=filters, kernel=3)
            x = layers.norm_relu(x, f"{name}_2")
        return x


def whitening_filters(images: Images, *, scale: float) -> Floats:
    """Filters by which the 2x2 patches of images get the identity as covariance, each with both signs.

    They are the eigenvectors of the patches' covariance, divided by the root of their variance (arXiv:2404.00498,
    section 3.1). Grey images have no variance between the colours: `EPSILON` keeps their filters finite.

    The sums over pixels are of whole numbers below 2**53, so that no order of summation changes them.

    Args:
        images: of training, un-noised; at most `SAMPLE` of them, evenly spaced, are read.
        scale: of the pixels before the convolution.

    Returns:
        (2, 2, 3, 24) float32, by falling variance; the last 12 are the negatives of the first 12.
    """
    used = min(len(images), SAMPLE)
    rows = np.arange(used) * len(images) // used
    width, at_once = 3 * KERNEL**2, max(1, PATCHES // images.shape[1] ** 2)
    count, total, products = 0, np.zeros(width), np.zeros((width, width))
    for first in range(0, used, at_once):
        patches = _patches(np.asarray(images[rows[first : first + at_once]]))
        count += len(patches)
        total += patches.sum(axis=0)
        products += patches.T @ patches
    covariance = scale**2 * (products - np.outer(total, total) / count) / count
    variances, vectors = np.linalg.eigh(covariance)
    variances, vectors = np.maximum(variances[::-1], 0.0), _with_one_sign(vectors[:, ::-1])
    least = EPSILON * variances.mean() or EPSILON  # images of a single colour have no variance at all
    filters = vectors / np.sqrt(variances + least)
    return np.concatenate([filters, -filters], axis=1).reshape(KERNEL, KERNEL, 3, 2 * width).astype(np.float32)


def _patches(pixels):
    """(n, H, W, 3) uint8 -> (n * (H - 1) * (W - 1), 12) float64, in the order of a kernel: rows, columns, colours."""
    windows = sliding_window_view(pixels, (KERNEL, KERNEL), axis=(1, 2))  # (n, H - 1, W - 1, 3, 2, 2)
    return np.moveaxis(windows, 3, -1).reshape(-1, 3 * KERNEL**2).astype(np.float64)


def _with_one_sign(vectors):
    """The columns, turned so that the largest component is positive: which sign LAPACK gives is an accident."""
    largest = np.abs(vectors).round(6).argmax(axis=0)
    return vectors * np.sign(vectors[largest, np.arange(vectors.shape[1])])

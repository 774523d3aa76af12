"""How many images of the pool belong to no class: an estimate by what two models say of them.

The test images are of the classes. How sure teacher and student are of an image, and whether they agree, gives it a
score; the share of test images with no higher score is its p-value, which for images of the classes is uniform
(conformal p-values: Vovk et al. 2005, Algorithmic Learning in a Random World, chapter 2). Images of no class have low
ones. How many of a pool are of the classes is then what is above a bound, divided by what of uniform p-values is there
(Storey 2002, doi:10.1111/1467-9868.00346).

It reads low where images of no class look like one (they have high scores), and high where those of the classes are of
another kind than the test images, or of harder classes. Its error on pools whose share is known: docs/verdict.md.
"""

from dataclasses import dataclass

import numpy as np

from noisy_student.runtime.types import Floats, Labels

BOUND = 0.5  # Storey's lambda
RESAMPLES = 500


@dataclass(frozen=True)
class Said:
    """What a model says of images: their classes (N,), and the probabilities of these (N,)."""

    predicted: Labels
    confidence: Floats


@dataclass(frozen=True)
class Outside:
    """The share of images that belong to no class, with a 95 % interval over test images and images of the pool."""

    share: float
    low: float
    high: float
    images: int


def scores(teacher: Said, student: Said) -> Floats:
    """(N,) in [-1, 1]: the product of both confidences where they agree, and that less 1 where they do not."""
    agree = teacher.predicted == student.predicted
    return teacher.confidence * student.confidence - np.where(agree, 0.0, 1.0)


def p_values(pool: Floats, test: Floats) -> Floats:
    """(N,) the share of test images, and of itself, that score no higher than an image of the pool; in (0, 1]."""
    return (1 + np.searchsorted(np.sort(test), pool, side="right")) / (1 + len(test))


def share_outside(pool: Floats, test: Floats, bound: float = BOUND) -> float:
    """1 less Storey's estimate of the share of the classes, in [0, 1]."""
    inside = (p_values(pool, test) > bound).mean() / (1 - bound)
    return float(np.clip(1 - inside, 0, 1))


def _drawn_again(values, rng):
    return values[rng.integers(len(values), size=len(values))]


def estimate(pool: Floats, test: Floats, bound: float = BOUND) -> Outside:
    """The estimate, with a percentile interval by drawing test and pool images with replacement (Efron 1979)."""
    rng = np.random.default_rng(0)
    draws = [share_outside(_drawn_again(pool, rng), _drawn_again(test, rng), bound) for _ in range(RESAMPLES)]
    low, high = np.quantile(draws, [0.025, 0.975])
    return Outside(share_outside(pool, test, bound), float(low), float(high), len(pool))

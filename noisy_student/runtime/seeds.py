"""Random numbers as a function of what they are for, not of how often something was called."""

import functools
import hashlib

import numpy as np

from noisy_student.runtime.types import Floats, Ints, Keys

# SplitMix64 (Steele et al. 2014, doi:10.1145/2660193.2660195, figure 17): the distance of two states, and the
# finaliser by Stafford that it takes (shift, factor), (shift, factor), shift.
GAMMA = np.uint64(0x9E3779B97F4A7C15)
MIXING = ((np.uint64(30), np.uint64(0xBF58476D1CE4E5B9)), (np.uint64(27), np.uint64(0x94D049BB133111EB)))
LAST_SHIFT = np.uint64(31)


def derive_seed(seed: int, *path: object) -> int:
    """A seed in [0, 2**63) for one purpose, independent of all others: the same on every machine.

    Args:
        seed: the user's.
        path: names and numbers that say what the seed is for, e.g. `("teacher", "noise", 17)`.
    """
    text = "/".join(map(str, (seed, *path)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(seed: int, *path: object) -> np.random.Generator:
    """A NumPy generator seeded by `derive_seed(seed, *path)`."""
    return np.random.default_rng(derive_seed(seed, *path))


def image_keys(seed: int, epochs: int | Ints, rows: Ints) -> Keys:
    """One key for every image that is noised: a function of (seed, epoch, row) and of nothing else.

    Within an epoch no two rows have the same key, because the finaliser is one-to-one.

    Args:
        seed: best of `derive_seed`; its lowest 64 bits count.
        epochs: of all images or of each: how often the data have been gone through.
        rows: which image of the data.
    """
    state = np.array([seed % 2**64], np.uint64)
    for counter in (epochs, rows):
        state = _mix(state + GAMMA * (np.atleast_1d(counter).astype(np.uint64) + np.uint64(1)))
    return state


def uniforms(keys: Keys, purpose: str, count: int) -> Floats:
    """Uniform numbers of each key for one purpose: SplitMix64, started at the key and the purpose.

    Whatever is drawn for one purpose leaves the numbers of all others as they are. An integer below n is
    `floor(n * u)`.

    Returns:
        (N, count) float64 in [0, 1), multiples of 2**-53. The first ones do not depend on `count`.
    """
    state = _mix(keys ^ _word(purpose))
    steps = GAMMA * np.arange(1, count + 1, dtype=np.uint64)
    return (_mix(state[:, None] + steps) >> np.uint64(11)) * 2.0**-53


@functools.cache
def _word(purpose):
    return np.uint64(derive_seed(0, purpose))


def _mix(state):
    """SplitMix64's finaliser, one-to-one on 64 bits, for an array of uint64 (it wraps, as it should)."""
    for shift, factor in MIXING:
        state = (state ^ (state >> shift)) * factor
    return state ^ (state >> LAST_SHIFT)

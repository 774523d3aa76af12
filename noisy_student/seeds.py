"""Random numbers as a function of (seed, purpose, step), not of how often something was called."""

import hashlib

import numpy as np


def derive_seed(seed, *path):
    """Derive an independent 63-bit seed for one purpose.

    Args:
        seed: the user's seed, an int.
        path: names and numbers that say what the seed is for, e.g. `("teacher", "noise", 17)`.

    Returns:
        int in [0, 2**63): the same for the same arguments on every machine.
    """
    text = "/".join(str(part) for part in (seed, *path))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(seed, *path):
    """A NumPy generator seeded by `derive_seed(seed, *path)`."""
    return np.random.default_rng(derive_seed(seed, *path))

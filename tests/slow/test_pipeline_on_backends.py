"""The tiny pipeline on every backend that is installed; CONTRIBUTING.md says how to install others."""

import importlib.util
import json

import numpy as np
import pytest

from clones import make_clone

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch"])
def test_tiny_pipeline(backend, tmp_path):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed in this environment")
    clone = make_clone(tmp_path / "project")
    clone.set(backend=backend, seed=3)
    clone.run("dvc", "repro")
    figures = json.loads(clone.read("metrics/eval.json"))
    assert figures["teacher"]["accuracy"] > 0.4  # ten classes, 60 labels
    first = clone.read("models/student-gen1.keras")
    clone.run("dvc", "repro", "--force", "--single-item", "student")
    assert clone.read("models/student-gen1.keras") == first  # the same bytes again
    clone.set(pseudolabel__noise=True, student__init="teacher", student__ema=0.5, precision="mixed_bfloat16")
    clone.run("dvc", "repro")
    probs = np.load(clone.folder / "data/prepared/pseudo_labels/gen1/shard-00000.npy")
    np.testing.assert_allclose(probs.sum(axis=1), 1.0, atol=1e-4)

"""The tiny pipeline on every backend that is installed; CONTRIBUTING.md says how to install others."""

import importlib.util
import json

import numpy as np
import pytest

from clones import make_clone

pytestmark = pytest.mark.slow


WHITENED = {"name": "whitened_convnet", "stage1_filters": 8, "stage2_filters": 16, "stage3_filters": 16}
SAVED = """
import keras, numpy as np
model = keras.saving.load_model("models/student-gen1.keras")  # safe mode: no code of anybody's
assert {type(layer).__module__.partition(".")[0] for layer in model._flatten_layers()} == {"keras"}
size = model.input_shape[1]
print(np.asarray(keras.ops.convert_to_numpy(model(np.zeros((1, size, size, 3), np.uint8)))).sum())
"""


@pytest.fixture(params=["tensorflow", "jax", "torch"])
def backend(request):
    """Every backend that is installed."""
    if importlib.util.find_spec(request.param) is None:
        pytest.skip(f"{request.param} is not installed in this environment")
    return request.param


def test_the_whitened_network(backend, tmp_path):
    clone = make_clone(tmp_path / "project")
    clone.set(backend=backend, teacher__model=WHITENED, student__model=WHITENED, student__init="teacher")
    clone.run("dvc", "repro")
    assert json.loads(clone.read("metrics/eval.json"))["teacher"]["accuracy"] > 0.3  # ten classes, 60 labels
    said = clone.run("python", "-c", SAVED, KERAS_BACKEND=backend, PYTHONPATH=str(tmp_path))
    assert float(said.splitlines()[-1]) == pytest.approx(1.0, abs=1e-4)


def test_tiny_pipeline(backend, tmp_path):
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

"""The examples of docs/adding.md, and the Python of the other pages, do what the pages say."""

import json
import subprocess
import sys

import numpy as np
import pytest
from blocks import PAGES, blocks, write_examples
from PIL import Image

from clones import make_clone

ADDING = "docs/adding.md"
USED = """
import json, numpy as np
from noisy_student.pseudo_labels.balancing import RULES, confident_images
from noisy_student.settings.schema import BalanceParams, DataParams
from noisy_student.sources.adapters import stripes
from noisy_student.steps import reported

probs = np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.2, 0.8]], np.float32)
confident = confident_images(probs, threshold=0.5, class_names=["a", "b"])
settings = BalanceParams(rule="at_most", per_class=2)
source = stripes.load(DataParams(source="stripes", image_size=16))
images, labels = np.asarray(source.train.images).astype(float), source.train.labels
along = [np.abs(np.diff(images[..., 0], axis=axis)).mean(axis=(1, 2)) for axis in (1, 2)]
predictions = reported.Predictions(probs, np.array([0, 1, 0, 1]), ["a", "b"], 0.0)
print(json.dumps({
    "rows": RULES["at_most"](confident, settings).tolist(),
    "brier": reported.evaluate(predictions)["brier"],
    "shape": images.shape,
    "steeper": ((along[1] > along[0]) == (labels == 0)).mean(),
}))
"""


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A copy of this repository with what the page adds."""
    made = make_clone(tmp_path_factory.mktemp("adding") / "project")
    assert len(write_examples(ADDING, made.folder)) == 6
    made.run("python", "-m", "commands.preset", "digits", "--new")
    return made


def test_they_do_what_the_page_says(clone):
    found = json.loads(clone.run("python", "-c", USED, PYTHONPATH="."))
    assert found["rows"] == [0, 1, 3]  # the two most confident of a, the only one of b
    # by hand: 2 (0.1^2, 0.8^2, 0.3^2, 0.2^2) on the mean
    assert found["brier"] == pytest.approx(2 * (0.01 + 0.64 + 0.09 + 0.04) / 4)
    assert found["shape"] == [1000, 16, 16, 3]
    assert found["steeper"] > 0.99  # vertical stripes change from column to column


def test_they_are_found_by_name_and_pass_the_check(clone):
    assert "plain_filters: 16 # plain_convnet: filters of the first stage" in clone.read("params.yaml").decode()
    changes = {"data.source": "stripes", "balance.rule": "at_most", "balance.per_class": 50, "data.test": 200}
    before = clone.read("params.yaml")
    clone.set(**{key.replace(".", "__"): value for key, value in changes.items()})
    clone.set(student__model__name="plain_convnet")
    clone.run("python", "-m", "commands.check")
    (clone.folder / "params.yaml").write_bytes(before)
    assert "The digits with 40 labels" in clone.run("python", "-m", "commands.preset")
    assert "smoothing" in clone.run("python", "-m", "experiments.study", "list")


def test_they_keep_the_rules_of_this_repository(clone):
    """Imports lie in the stages' deps, lines and formats are those of all files."""
    clone.run("python", "-m", "commands.deps")
    clone.run("ruff", "check", "noisy_student")
    clone.run("ruff", "format", "--check", "noisy_student")


def test_the_network_of_the_page_has_the_shapes_that_it_says(clone):
    code = (
        "import keras\n"
        "from noisy_student.models.build import build\n"
        "from noisy_student.settings.schema import ModelParams\n"
        "model = build(ModelParams(name='plain_convnet'), mode='inference', classes=3, image_size=16, seed=0)\n"
        "print(model.output_shape, [layer.output.shape[1:] for layer in model.layers if 'relu' in layer.name][-1])\n"
    )
    assert clone.run("python", "-c", code, PYTHONPATH=".").endswith("(None, 3) (4, 4, 64)\n")


def test_a_saved_model_is_used_as_the_page_says(workspace):
    """With Keras alone, in a process that does not find this repository."""
    (block,) = [block for block in blocks("docs/use.md", "python") if "load_model" in block.code]
    Image.fromarray(np.zeros((20, 30), np.uint8)).save("digit.png")
    code = block.code.replace("student-gen3", "student-gen1")
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    best, confidence = done.stdout.split()
    assert best in map(str, range(10))
    assert 0.1 <= float(confidence) <= 1


def test_all_python_is_run_by_a_test():
    """What is written to files is above, one block loads a model, one draws (`commands.docs` prints what it does)."""
    others = [b for page in PAGES for b in blocks(page, "python") if not b.code.startswith("# ")]
    assert [(b.page, b.code.splitlines()[0]) for b in others] == [
        ("docs/use.md", "import json"),
        ("docs/how-it-works.md", "import numpy as np"),
    ]

"""The notebooks run from top to bottom and say what is so."""

import json
import re
import subprocess

import nbclient
import nbformat
import pytest

from support import ROOT

pytestmark = pytest.mark.slow


@pytest.fixture
def executed(monkeypatch, tmp_path_factory):
    """A function: what a notebook prints, run in a folder."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path_factory.mktemp("ipython")))

    def execute(name, folder):
        notebook = nbformat.read(ROOT / "notebooks" / name, as_version=4)
        nbformat.validate(notebook)
        nbclient.NotebookClient(
            notebook, timeout=1200, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
        ).execute()
        outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
        texts = [output["text"] for output in outputs if output.get("name") == "stdout"]
        return "".join(texts), sum("image/png" in output.get("data", {}) for output in outputs)

    return execute


def test_self_training_on_arrays(executed, tmp_path):
    said, pictures = executed("self-training-on-arrays.ipynb", tmp_path)
    accuracy = {name.strip(): float(share) for name, share in re.findall(r"^(\w[\w ]+?) +([\d.]+)% \(95", said, re.M)}
    assert set(accuracy) == {"teacher", "noise alone", "student"}
    assert accuracy["student"] > accuracy["teacher"] + 5
    assert pictures == 3
    assert (tmp_path / "student.keras").is_file()


def test_reading_experiments(executed, tmp_path):
    """In a repository with the committed figures, from the notebook's own folder."""
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, names.split("\0")):
        if (ROOT / name).is_file():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    by = ("-c", "user.name=Test", "-c", "user.email=test@example.org")
    for call in (["init", "-q"], ["add", "-A"], [*by, "commit", "-qm", "all"]):
        subprocess.run(["git", *call], cwd=tmp_path, check=True)
    said, _ = executed("reading-experiments.ipynb", tmp_path / "notebooks")
    measured = json.loads((ROOT / "metrics/eval.json").read_text())
    for model, figures in measured.items():
        assert re.search(rf"^{model} +accuracy {figures['accuracy']:.3f} ", said, re.MULTILINE)
    status = subprocess.run(["git", "status", "--porcelain"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert status.stdout == ""

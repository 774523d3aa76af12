"""The example of docs/api.md, as it stands there, and the notebooks as they are committed."""

import functools
import json
import re

import keras
import pytest

import noisy_student as ns
from support import ROOT, run_elsewhere

EXAMPLE = re.search(r"^```python\n(.*?)^```", (ROOT / "docs/api.md").read_text(), re.MULTILINE | re.DOTALL).group(1)


def test_the_example_has_twenty_lines_at_most():
    assert 10 < len(EXAMPLE.splitlines()) <= 20


def test_the_example_runs_with_few_steps(monkeypatch, tmp_path, capsys):
    """Every line of it, outside of the repository; the teacher knows too little for any confidence."""
    monkeypatch.chdir(tmp_path)
    small = {"model": {"depth": 8, "width": 4}, "steps": 20}
    monkeypatch.setattr("noisy_student.api.train", functools.partial(ns.train, **small))
    monkeypatch.setattr("noisy_student.api.balance", functools.partial(ns.balance, threshold=0.1))
    exec(compile(EXAMPLE, "docs/api.md", "exec"), {})
    assert re.search(r"^teacher 0\.\d+\nstudent 0\.\d+\n\[\d \d \d \d \d\]$", capsys.readouterr().out, re.MULTILINE)
    assert keras.saving.load_model(tmp_path / "student.keras", safe_mode=True).output_shape == (None, 10)


@pytest.mark.slow
def test_the_student_of_the_example_is_better(tmp_path):
    printed = run_elsewhere(EXAMPLE, tmp_path)
    accuracy = {name: float(share) for name, share in re.findall(r"^(teacher|student) ([\d.]+)$", printed, re.M)}
    assert accuracy["student"] > accuracy["teacher"] + 0.05


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem)
def test_notebooks_are_committed_without_outputs(path):
    cells = json.loads(path.read_text())["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert len(code) >= 4
    assert not [cell for cell in code if cell["outputs"] or cell["execution_count"] is not None]
    assert path.stat().st_size < 10_000

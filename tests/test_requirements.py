"""The locks against the imports and against each other."""

import ast
import re
import sys

import pytest

from support import ROOT

OWN = {"noisy_student", "stages", "commands", "experiments"}
BENCHMARKS = "benchmarks"  # of which the page of commands reads the list; they have a lock of their own
BACKENDS = {"tensorflow", "jax", "torch"}  # each has a lock of its own
INSTALLED_AS = {
    "cv2": "opencv-python-headless",
    "PIL": "pillow",
    "sklearn": "scikit-learn",
    "ruamel": "ruamel.yaml",
    "vl_convert": "vl-convert-python",
    "ai_edge_litert": "ai-edge-litert",
}


def _imported(folders):
    """The third-party packages that the folders' files import."""
    modules = set()
    for path in (path for folder in folders for path in (ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                modules |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                modules.add(node.module)
    tops = {module.partition(".")[0] for module in modules} - set(sys.stdlib_module_names)
    return {INSTALLED_AS.get(name, name) for name in tops - OWN - BACKENDS - {BENCHMARKS}}


def _declared(name):
    """The packages that requirements/NAME.in lists, and the lists that it names."""
    text = (ROOT / f"requirements/{name}.in").read_text()
    named = [_declared(other) for other in re.findall(r"^-r (\S+)\.in", text, re.MULTILINE)]
    return set(re.findall(r"^[a-z][\w.-]*", text, re.MULTILINE)).union(*named)


def _only_when_asked():
    """What exports, pools by URL and the executor of that name import, inside of functions."""
    return _declared("requirements-export") | _declared("requirements-remote") | {"ray"}


def _pins(lock):
    return dict(re.findall(r"^([\w.-]+)==(\S+)", (ROOT / lock).read_text(), re.MULTILINE))


def test_what_the_pipeline_imports_is_required_for_it():
    imported = _imported(OWN)
    assert {"numpy", "scikit-learn"} < imported
    needed = imported - _only_when_asked()
    assert needed <= _declared("base"), f"requirements/base.in lacks {needed - _declared('base')}"


def test_what_the_library_imports_is_required_for_it_alone():
    needed, declared = _imported({"noisy_student"}) - _only_when_asked(), _declared("library")
    assert needed <= declared, f"requirements/library.in lacks {needed - declared}"
    assert "dvc" not in declared


def test_what_only_developers_need_is_not():
    pins = _pins("requirements.txt")
    needed = _declared("requirements-dev")
    assert {"pytest", "ruff"} < needed
    assert not needed & pins.keys()


@pytest.mark.parametrize("lock", ["", "-gpu", "-jax", "-torch", "-ray"])
def test_the_developers_lock_fits_over_every_other(lock):
    pins, developers = _pins(f"requirements{lock}.txt"), _pins("requirements-dev.txt")
    shared = pins.keys() & developers.keys()
    assert "numpy" in shared
    assert [f"{name}: {pins[name]}, {developers[name]}" for name in shared if pins[name] != developers[name]] == []


def test_the_lock_of_the_docs_is_part_of_the_developers():
    assert _pins("requirements-docs.txt").items() <= _pins("requirements-dev.txt").items()

"""Fixtures: real clones."""

import pytest

from clones import make_clone


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A tiny clone in which `dvc repro` has run and its results are committed."""
    made = make_clone(tmp_path_factory.mktemp("clone") / "project")
    made.first_output = made.run("dvc", "repro")
    made.commit("results")
    return made

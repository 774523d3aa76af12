"""Fixtures: real clones."""

import shutil

import pytest

from clones import Clone, make_clone
from support import made_once


def _make(folder):
    made = make_clone(folder / "project")
    output = made.forked("repro")
    made.commit("results")
    (folder / "output").write_text(output, newline="")


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A tiny clone in which all stages have run, as by `make repro`, and the results are committed."""
    first = made_once(tmp_path_factory, "finished-clone", _make)
    home = tmp_path_factory.mktemp("clone") / "home"
    shutil.copytree(first, home, symlinks=True)
    copied = Clone(home / "project")
    copied.first_output = (home / "output").read_bytes().decode()
    return copied

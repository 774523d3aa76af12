"""Fixtures: real clones."""

import fcntl
import os
import shutil

import pytest

from clones import Clone, make_clone


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A tiny clone in which all stages have run, as by `make repro`, and the results are committed."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:  # the workers' folders lie in one that they share
        shared = shared.parent
    first = shared / "finished-clone"
    with (shared / "finished-clone.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the first worker that comes here makes it for all
        if not (first / "output").is_file():
            shutil.rmtree(first, ignore_errors=True)
            made = make_clone(first / "project")
            output = made.forked("repro")
            made.commit("results")
            (first / "output").write_text(output, newline="")
    home = tmp_path_factory.mktemp("clone") / "home"
    shutil.copytree(first, home, symlinks=True)
    copied = Clone(home / "project")
    copied.first_output = (home / "output").read_bytes().decode()
    return copied

"""Two hosts, each a network of its own on this machine: one is cut off, and comes back."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest
from test_shared import HERE, JAX, NOISED, _assert_same, _train

from support import ROOT

pytestmark = [pytest.mark.slow, JAX]
HOSTS = ("10.199.77.1", "10.199.77.2")
# its own name, by which Gloo finds the address that the other one can reach
SHELL = "ip netns exec host-{host} unshare --uts sh -c 'hostname {host}; exec sh -c \"$0\"'"
PATIENCE = 25


def _run(*command):
    subprocess.run(command, check=True, capture_output=True, timeout=60)


def _why_not():
    """Why there can be no hosts here; None if there can."""
    if shutil.which("ip") is None:
        return "there is no command ip"
    tried = subprocess.run(["unshare", "--net", "--uts", "true"], capture_output=True, text=True, check=False)
    return f"no network namespaces here ({tried.stderr.strip()})" if tried.returncode else None


@pytest.fixture
def hosts():
    """Namespaces with a cable between them."""
    if reason := _why_not():
        pytest.skip(reason)
    names = [f"host-{host}" for host in HOSTS]
    try:
        for name in names:
            _run("ip", "netns", "add", name)
            _run("ip", "-n", name, "link", "set", "lo", "up")
        _run("ip", "link", "add", "shared-0", "netns", names[0], "type", "veth", "peer", "shared-1", "netns", names[1])
        for place, (name, host) in enumerate(zip(names, HOSTS, strict=True)):
            _run("ip", "-n", name, "address", "add", f"{host}/24", "dev", f"shared-{place}")
            _run("ip", "-n", name, "link", "set", f"shared-{place}", "up")
        yield names
    finally:
        for name in names:
            with contextlib.suppress(subprocess.CalledProcessError):
                _run("ip", "netns", "delete", name)


def test_a_host_that_is_cut_off_costs_no_bit(tmp_path, hosts):
    values = NOISED | {"student.steps": 300, "student.validate_every": 20}  # more, and it is said to learn nothing
    expected = _train(tmp_path / "devices", "devices", "devices=2", **values)
    folder = tmp_path / "hosts"
    folder.mkdir()
    (folder / "launch.yaml").write_text(json.dumps({"hosts": HOSTS, "shell": SHELL, "patience": PATIENCE}))
    file = folder / "processes.npz"
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, "DVC_ROOT": "."}
    for name in ("KERAS_BACKEND", "LAUNCH"):
        environment.pop(name, None)
    command = [sys.executable, HERE / "shared_training.py", "processes", file, json.dumps(values)]
    output = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    training = subprocess.Popen(command, cwd=folder, env=environment, **output)
    until = time.monotonic() + 200
    while not list((folder / "checkpoints").glob("*/*/*.npz")):
        assert time.monotonic() < until
        assert training.poll() is None, training.communicate()
        time.sleep(0.02)
    _run("ip", "-n", hosts[1], "link", "set", "shared-1", "down")
    said = ""
    while "all begin again" not in said:  # the line of the launcher, when JAX has given the other host up
        said += training.stderr.readline()
    _run("ip", "-n", hosts[1], "link", "set", "shared-1", "up")
    out, more = training.communicate(timeout=400)
    assert training.returncode == 0, said + more
    assert "restart 1 of 3" in said
    found = json.loads(out.splitlines()[-1])
    assert found["hosts"] == list(HOSTS)
    assert found["resumed_from"] > 0
    saved = dict(np.load(file))
    history = json.loads(str(saved.pop("history")))
    _assert_same(expected, (list(saved.values()), history))

"""A rehearsal of benchmarks/gpu.sh on the CPU, from its bundle, with tiny settings."""

import hashlib
import importlib.util
import io
import json
import os
import re
import subprocess
import sys
import tarfile
import zipfile

import numpy as np
import pytest

from benchmarks import gpu_bundle
from benchmarks.gpu import STEPS, peak
from benchmarks.gpu_bundle import NAME, PACKAGES, build, pinned
from support import ROOT

LOCK = (ROOT / "requirements-jax.txt").read_text(encoding="utf-8")


def test_peaks_are_found_by_the_devices_name():
    assert peak("CUDA NVIDIA H100 80GB HBM3") == 989
    assert peak("CUDA NVIDIA H100 PCIe") == 756
    assert (peak("CPU"), peak("CPU", given=2.5)) == (None, 2.5)


def test_the_bundle_pins_what_the_lock_pins_with_its_hashes():
    entries = pinned(LOCK).replace("\\\n", "").splitlines()
    assert len(entries) == len(PACKAGES)
    for entry in entries:
        assert "==" in entry
        assert "--hash=sha256:" in entry


def test_a_package_that_the_lock_lacks_is_named():
    with pytest.raises(ValueError, match="keras"):
        pinned(LOCK.replace("\nkeras==", "\nother=="))


def _fill(wheels, code="here = True\n"):
    """A wheel of our own in place of those that are downloaded."""
    wheels.mkdir(exist_ok=True)
    with zipfile.ZipFile(wheels / "of_the_bundle-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("of_the_bundle.py", code)


def _unpacked(folder):
    _fill(folder / "wheels")
    build(folder / "bundle.tar.gz", folder / "wheels")
    with tarfile.open(folder / "bundle.tar.gz") as tar:
        tar.extractall(folder, filter="data")
    return folder / NAME


def test_the_bundles_wheels_are_unpacked_once_and_found(tmp_path):
    bundle = _unpacked(tmp_path)
    # Python itself is the stand-in for the measurement: it says what it would find
    (bundle / "code/benchmarks/gpu.py").write_text(
        'import of_the_bundle, sys; print(of_the_bundle.__file__, sys.argv[1:], "/of/the/user" in sys.path)'
    )
    (tmp_path / "benchmarks").mkdir()  # a folder of that name where it is called is not what runs
    (tmp_path / "benchmarks/__init__.py").touch()
    (tmp_path / "benchmarks/gpu.py").write_text("raise SystemExit(1)\n")

    def run():
        done = subprocess.run(
            ["bash", str(bundle / "gpu.sh"), "--minutes", "1"],
            env=os.environ | {"PYTHON": sys.executable, "PYTHONPATH": "/of/the/user"},
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    assert run() == f"{bundle / 'site/of_the_bundle.py'} ['--minutes', '1'] True"
    (bundle / "site/of_the_bundle.py").write_text("changed = True\n")
    run()
    assert (bundle / "site/of_the_bundle.py").read_text() == "changed = True\n"  # not unpacked again
    (bundle / "site/.complete").unlink()  # as if it had been stopped meanwhile
    run()
    assert (bundle / "site/of_the_bundle.py").read_text() == "here = True\n"


def test_a_bundle_above_the_limit_is_refused_with_its_size(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(gpu_bundle, "download", lambda folder, python: _fill(folder, "#" + "x" * (3 << 19)))
    monkeypatch.setattr(sys, "argv", ["gpu_bundle", "--to", str(tmp_path / "bundle.tar.gz"), "--python", "3.12"])
    gpu_bundle.main()
    assert re.search(r"bundle\.tar\.gz: \d\.\d MiB, for Python 3\.12", capsys.readouterr().out)
    monkeypatch.setattr(gpu_bundle, "LIMIT", 1 << 10)
    with pytest.raises(SystemExit, match="error: more than"):
        gpu_bundle.main()


def _archive(folder):
    """CIFAR-10 with few images, each class brighter than the one before; return its SHA-256."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    path = folder / "cifar-10-binary.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        names = [*(f"data_batch_{k}.bin" for k in range(1, 6)), "test_batch.bin"]
        for name in names:
            labels = np.arange(60) % 10
            pixels = rng.integers(0, 20, (60, 3072)) + 23 * labels[:, None]
            _add(tar, name, np.concatenate([labels[:, None], pixels], axis=1).astype(np.uint8).tobytes())
        classes = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
        _add(tar, "batches.meta.txt", ("\n".join(classes) + "\n").encode())
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _add(tar, name, content):
    info = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
    info.size = len(content)
    tar.addfile(info, io.BytesIO(content))


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="JAX is not installed in this environment")
def test_rehearsal_from_the_bundle_stopped_and_gone_on(tmp_path):
    bundle, sha256 = _unpacked(tmp_path), _archive(tmp_path / "archive")  # this environment has what its wheels hold
    command = ["bash", str(bundle / "gpu.sh"), "--sha256", sha256, "--tiny", "--goal", "1.01"]
    environment = os.environ | {"PYTHON": sys.executable}
    out = tmp_path / "gpu-results" / "gpu.json"

    def run(minutes, *more):
        options = {"cwd": tmp_path, "env": environment, "capture_output": True, "text": True}
        return subprocess.run([*command, "--minutes", str(minutes), *more], **options)

    images = ("--cifar10", "archive")

    first = run(0.02, *images)  # a second: nothing can be finished
    assert first.returncode == 0, first.stderr
    assert "goes on" in first.stderr
    assert not all(json.loads(out.read_text())[step]["complete"] for step in STEPS)
    bare = run(20)  # without images
    assert bare.returncode == 0, bare.stderr
    done = json.loads(out.read_text())
    assert [step for step in STEPS if done[step]["complete"]] == ["utilisation", "labelling"]
    assert [done[step]["left_out"] for step in ("cifar10", "cifar10-4k")] == ["no --cifar10"] * 2
    second = run(20, *images)
    assert second.returncode == 0, second.stderr
    measured = json.loads(out.read_text())
    assert all(measured[step]["complete"] for step in STEPS), measured
    assert measured["utilisation"]["best"]["images_per_second"] > 0
    assert "--xla_gpu_deterministic_ops=true" in measured["utilisation"]["flags"]["XLA_FLAGS"]
    assert measured["labelling"]["images"] == 100
    assert (measured["cifar10"]["reached"], len(measured["cifar10"]["curve"])) == (False, 2)
    assert measured["cifar10-4k"]["test_accuracy"].keys() == {"teacher", "student-gen1"}
    assert run(1, *images).returncode == 0  # nothing is left to do
    assert json.loads(out.read_text()) == measured

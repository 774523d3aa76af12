"""`pip install .` gives a library that works by itself: a wheel, in a fresh environment, outside of the clone.

The network is not used: the environment finds what the wheel requires in the one that runs the tests.
"""

import email
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from support import ROOT

pytestmark = pytest.mark.slow

USE = """
import importlib.metadata, importlib.util, sys
import numpy as np
import noisy_student as ns
assert "site-packages" in ns.__file__, ns.__file__
assert not [name for name in ("stages", "commands", "experiments") if importlib.util.find_spec(name)]
assert importlib.metadata.version("noisy-student")
images = np.random.default_rng(0).integers(0, 256, (12, 8, 8, 3), np.uint8)
labels = np.arange(12) % 3
small = {"steps": 2, "model": {"depth": 8, "width": 4}}
teacher = ns.train(images, labels, classes=["cat", "dog", "car"], **small)
probs = ns.pseudo_label(teacher, images)
rows = ns.balance(probs, threshold=0.0)
student = ns.train(images, labels, unlabelled=images, probs=probs, rows=rows, classes=teacher.classes, **small)
student.save("student.keras")
ns.RandAugment()(images)
from PIL import Image
for k, image in enumerate(images):
    Image.fromarray(image).save(f"{k}.png")
"""


def _run(*arguments, **options):
    done = subprocess.run(list(map(str, arguments)), capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, done.stderr or done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built from a copy of the working tree, which building would write into."""
    folder = tmp_path_factory.mktemp("wheel")
    names = _run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=ROOT).split("\0")
    needed = [n for n in names if re.match(r"noisy_student/|requirements/|pyproject|README|LICENSE", n)]
    for name in needed:
        if (ROOT / name).is_file():
            (folder / "source" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / "source" / name)
    options = ("--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", folder)
    _run(sys.executable, "-m", "pip", "wheel", *options, folder / "source", cwd=folder)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def python(wheel, tmp_path_factory):
    """A function: run Python of a fresh environment that has the wheel, in a folder outside of the clone."""
    folder = tmp_path_factory.mktemp("environment")
    _run(sys.executable, "-m", "venv", folder / "env")
    (packages,) = (folder / "env/lib").glob("python*/site-packages")
    others = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
    (packages / "others.pth").write_text("\n".join(others) + "\n")
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}

    def run(*arguments, folder):
        return _run(packages.parents[2] / "bin/python", *arguments, cwd=folder, env=environment)

    run("-m", "pip", "install", "--quiet", "--no-deps", "--no-index", wheel, folder=folder)
    return run


def test_the_wheel_holds_the_library_and_nothing_else(wheel):
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    tracked = _run("git", "ls-files", "--cached", "--others", "--exclude-standard", "noisy_student", cwd=ROOT)
    assert held == {name for name in tracked.splitlines() if (ROOT / name).is_file()}  # data files too
    assert "noisy_student/drawing/fonts.conf" in held


def test_the_wheel_requires_what_the_lists_say(wheel):
    archive = zipfile.ZipFile(wheel)
    (metadata,) = (name for name in archive.namelist() if name.endswith("METADATA"))
    required = email.message_from_bytes(archive.read(metadata)).get_all("Requires-Dist")
    assert required is not None
    found = {re.split(r"[<>=;\[ ]", line)[0] for line in required if "extra ==" not in line}
    text = "".join((ROOT / f"requirements/{name}.in").read_text() for name in ("library", "tensorflow"))
    assert found == {re.split(r"[<>=\[ ]", line)[0] for line in text.splitlines() if line and line[0] != "#"}


def test_the_library_and_its_commands_work_outside_of_the_clone(python, tmp_path):
    python("-c", USE, folder=tmp_path)
    said = python("-m", "noisy_student", "predict", "student.keras", "0.png", "1.png", folder=tmp_path)
    assert len(re.findall(r"^(?:0|1)\.png.*\b(?:cat|dog|car)\b", said, re.MULTILINE)) == 2
    assert "predict" in python("-m", "noisy_student", "--help", folder=tmp_path)

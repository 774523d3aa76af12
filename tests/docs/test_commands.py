"""Every command of README (a test a section) and of the pages that teach (a test a page), run with small settings.

What cannot be run as it stands, because it is a placeholder, asks somebody or needs a network, is in `INSTEAD`.
"""

import io
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from blocks import PAGES, Block, blocks, commands, write_examples
from PIL import Image

from clones import FORKED, Clone, make_clone
from commands import preset as presets
from support import with_values

# {what is replaced: by what}
INSTEAD = {
    # the environment of this clone takes the place of one that pip would fill, DVC's cache that of the first run
    r"git clone <this repository>(\s+\S+)? && cd \S+.*": (
        r'git clone -q "$ORIGIN" new && cp -r .dvc/cache new/.dvc/ && cd new && '
        r'cp -r "$ENVIRONMENT" .venv && touch .venv/.installed*'
    ),
    r"/absolute/path/images": "$IMAGES",
    r"/mnt/shared/noisy-student": "$REMOTE",
    r"^make test\b": "make -n test",  # this is one of them
    r"dvc queue start(?! -)": "dvc queue start && while dvc queue status | grep -qE 'Queued|Running'; do sleep 1; done",
    # what a person sees in the sheets
    r"data/raw/mine-2/train/cat/0007\.jpg": '"$(ls data/raw/mine-2/train/*/* | head -1)"',
    r"train/(cat|dog)/$": "train/green/",
    r"unlabelled/0123\.jpg": 'unlabelled/"$(ls data/raw/mine-2/unlabelled | head -1)"',
    r"unlabelled/0456\.jpg": 'unlabelled/"$(ls data/raw/mine-2/unlabelled | tail -1)"',
    # a preset, made small
    r"^(python -m commands\.preset (?!\S* ?--args)[\w-]+[^#\n]*)": r'\1 && python "$SHRINK" ',
}
TRAINS = re.compile(r"^(make (repro|verdict)|dvc (repro|queue start|exp run (?!--queue)))")
TIME = re.compile(r"#.*\b(seconds?|minutes?|hours?|not timed)\b")

# The students begin from a teacher that has learned something, so that labels are confident after a few steps.
VALUES = {
    "data.labelled": 40,
    "data.unlabelled": 80,
    "data.test": 40,
    "teacher.model.width": 8,
    "student.model.width": 8,
    "teacher.steps": 200,
    "student.init": "teacher",
    "student.steps": 10,
    "student.validate_every": 5,
    "student.batch_size": 8,
    "student.optimizer.learning_rate": 0.001,
    "noise.randaugment.ops": 0,
    "noise.dropout": 0.0,
    "pseudolabel.threshold": 0.1,
    "eval.robustness": "off",
    "generations": {
        "gen1": {"teacher": "teacher"},
        "gen2": {"teacher": "student-gen1"},
        "gen3": {"teacher": "student-gen2"},
        "noise-only": {"teacher": "teacher", "student": {"mix": "none", "batch_size": 16}},
    },
}

# what a page takes for granted, beyond the finished run
BEFORE = {
    "docs/label-and-correct.md": """
        rm -r photos data/raw/mine && cp -r "$IMAGES" data/raw/mine && cp -r "$MIXED" photos
        python -m commands.preset photos --root data/raw/mine
        python "$SHRINK" --learning && git commit -qam "My images" && make repro
        git add -A && git commit -qm "Results" """
}

README = "README.md"
RUNS = {f"{README}, {heading}": found for heading, found in commands(README).items()}
RUNS |= {page: blocks(page, "bash") for page in PAGES if page != README}


def _script(blocks: list[Block]) -> str:
    """The blocks as one script that stops at the first command that fails, and says where."""
    lines = ["set -euo pipefail", "source .venv/bin/activate", BEFORE.get(blocks[0].page, "")]
    for block in blocks:
        lines += [f"echo '== {block.page}, line {block.line}'", _run_here(block.code)]
    return "\n".join(lines)


def _run_here(code):
    for old, new in INSTEAD.items():
        code = re.sub(old, new, code, flags=re.MULTILINE)
    return code


def test_every_replacement_is_needed():
    code = "".join(block.code for found in RUNS.values() for block in found)
    assert [old for old in INSTEAD if not re.search(old, code, re.MULTILINE)] == []


@pytest.mark.parametrize("run", RUNS)
def test_no_placeholder_is_left(run):
    script = _script(RUNS[run])
    assert not re.search(r"<[a-z ]+>|/absolute|\bNAME\b|\bEXP\d", re.sub(r" #.*", "", script))
    checked = subprocess.run(["bash", "-n", "-c", script], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr


@pytest.mark.parametrize("page", PAGES)
def test_what_trains_carries_its_time(page):
    for block in blocks(page, "bash"):
        lines = block.code.replace("\\\n", " ").splitlines()
        assert [line for line in lines if TRAINS.match(line) and not TIME.search(line)] == [], f"line {block.line}"


def _environment(folder):
    """A .venv that leads to the environment of this test: `dvc` forks its stages, which is faster, `pip` reads only."""
    inside = folder / "bin"
    inside.mkdir(parents=True)
    for path in Path(sys.executable).parent.iterdir():
        if not path.name.startswith(("python", "pip", "activate", "dvc")) and path.is_file():
            (inside / path.name).symlink_to(path)
    forked = f"{sys.executable} -c '{FORKED}'"
    scripts = {
        "python": f'exec {sys.executable} "$@"',
        "dvc": f'case "$1" in repro|exp) exec {forked} "$@";; *) exec {sys.executable} -m dvc "$@";; esac',
        "pip": 'for last; do :; done; case "$last" in *.in) test -s "$last";; *) grep -q -- --hash= "$last";; esac',
    }
    for name, script in scripts.items():
        (inside / name).write_text(f"#!/bin/sh\n{script}\n")
        (inside / name).chmod(0o755)
    (inside / "activate").write_text('export PATH="$PWD/.venv/bin:$PATH"\n')
    for stamp in (".installed", ".installed-dev", ".installed-docs"):
        (folder / stamp).touch()


def _coloured(folder, number):
    """Images of one colour a class, noised: anything learns them."""
    rng = np.random.default_rng(0)
    for k, name in enumerate(("red", "green", "blue")):
        (folder / name).mkdir(parents=True)
        for index in range(number):
            image = rng.integers(0, 128, (32, 36, 3), dtype=np.uint8)
            image[..., k] += 127
            Image.fromarray(image).save(folder / name / f"{index}.png")


def _mixed(folder):
    """Images of one colour each, from pale, of which nothing can be sure, to strong."""
    folder.mkdir()
    rng = np.random.default_rng(2)
    for number in range(48):
        image = rng.integers(0, 128, (32, 36, 3), dtype=np.uint8)
        image[..., number % 3] += np.uint8(5 + number * 122 // 47)
        Image.fromarray(image).save(folder / f"{number:04}.jpg", quality=95)


def _photos(folder):
    """What the pages call photos: two folders, a file, an archive, and images below names of classes."""
    rng = np.random.default_rng(1)
    names = [f"{into}/{k:04}.jpg" for into in ("photos", "holiday") for k in range(1, 7)] + ["photo.jpg"]
    for name in [*names, "data/raw/mine/test/3/a.png", "data/raw/mine/test/7/b.png"]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)).save(folder / name)
    with zipfile.ZipFile(folder / "more.zip", "w") as archive:
        archive.write(folder / "photo.jpg", "more/photo.jpg")


def _cifar10(folder):
    """An archive in the layout of the official one: in a record the label, then the planes red, green and blue."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    members = {f"{name}.bin": _records(rng, 80) for name in (*(f"data_batch_{k}" for k in range(1, 6)), "test_batch")}
    members["batches.meta.txt"] = "\n".join(f"class{k}" for k in range(10)).encode()
    with tarfile.open(folder / "cifar-10-binary.tar.gz", "w:gz") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


def _records(rng, number):
    pixels = rng.integers(0, 256, (number, 3072), dtype=np.uint8)
    return np.c_[np.arange(number, dtype=np.uint8) % 10, pixels].tobytes()


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A small clone with the generations of the default in which the pipeline has run, beside it what commands name."""
    home = tmp_path_factory.mktemp("docs") / "home"
    clone = make_clone(home / "project")
    defaults = presets.defaults()
    (clone.folder / "params.yaml").write_text(presets.fresh(with_values(defaults, VALUES)), encoding="utf-8")
    _environment(clone.folder / ".venv")
    clone.commit("small")
    clone.run("python", "-m", "commands.repro")
    clone.commit("results")
    clone.run("git", "clone", "-q", "--bare", ".", home / "origin.git")
    _coloured(home / "images/train", 240)
    _coloured(home / "images/test", 20)
    _mixed(home / "mixed")
    _photos(clone.folder)
    _cifar10(home / "cifar10")
    (home / "remote").mkdir()
    return home


@pytest.mark.slow
@pytest.mark.parametrize("run", RUNS)
def test_commands(run, finished, tmp_path):
    home = tmp_path / "home"
    shutil.copytree(finished, home, symlinks=True)
    clone = Clone(home / "project")
    clone.run("git", "remote", "add", "origin", home / "origin.git")
    clone.run("git", "push", "-qu", "origin", "HEAD")
    clone.run("dvc", "checkout", "-q")
    clone.run("bash", "-c", "touch .venv/.installed*")
    _write_files(run, clone)
    named = {
        "ORIGIN": home / "origin.git",
        "ENVIRONMENT": home / "project/.venv",
        "IMAGES": home / "images",
        "MIXED": home / "mixed",
        "REMOTE": home / "remote",
        "CIFAR": home / "cifar10",
        "SHRINK": Path(__file__).with_name("shrink.py"),
        "PYTHONPATH": ".",
    }
    environment = {key: str(path) for key, path in named.items()}
    print(clone.run("bash", "-c", _script(RUNS[run]), timeout=1800, **environment))


def _write_files(page, clone):
    """What the page tells to write."""
    if page in PAGES and write_examples(page, clone.folder):
        clone.commit("examples")

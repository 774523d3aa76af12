"""Whatever a user does with real DVC, images that lie where the stages write are refused, and none is lost."""

import time
from itertools import product

import pytest
from PIL import Image

from clones import make_clone

ROOT, POOL = "data.root", "data.unlabelled_from"
slow = pytest.mark.slow


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    """A clone in which nothing has run."""
    return make_clone(tmp_path_factory.mktemp("kept") / "home" / "project")


def _photos(folder):
    paths = [folder / split / name / "1.png" for split, name in product(("train", "test"), ("ant", "bee"))]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (16, 16), (len(path.parts), 9, 9)).save(path)
    return paths


def _absolute(fresh, place):
    return str(fresh.folder / place)


def _dotted(fresh, place):
    return f"{fresh.folder}/noisy_student/../{place}"


def _linked(fresh, place):
    link = fresh.folder / "photos"
    link.unlink(missing_ok=True)
    link.symlink_to(fresh.folder / place)
    return "photos"


@pytest.mark.parametrize(
    ("command", "parameter", "place", "spelling"),
    [
        pytest.param("repro", ROOT, "data", _linked, marks=slow),
        ("repro -s prepare", ROOT, "data", _absolute),
        pytest.param("repro -s prepare", ROOT, "data", _dotted, marks=slow),
        pytest.param("repro -s prepare", ROOT, "data", _linked, marks=slow),
        pytest.param("repro -s prepare", POOL, "metrics/photos", _absolute, marks=slow),
        ("exp run", ROOT, "data", _absolute),
        pytest.param("exp run", ROOT, "models/photos", _linked, marks=slow),
        pytest.param("exp run", POOL, "data/prepared/photos", _absolute, marks=slow),
        pytest.param("exp run", "eval.extra_tests", "data", _dotted, marks=slow),
        ("exp run --temp", ROOT, "data", _absolute),
        pytest.param("exp run --queue", ROOT, "data", _absolute, marks=slow),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_no_image_is_lost(fresh, command, parameter, place, spelling):
    photos = _photos(fresh.folder / place)
    (fresh.folder / "models").mkdir(exist_ok=True)
    (fresh.folder / "models/student-mine.keras").write_bytes(b"a user's")
    value = spelling(fresh, place)
    value = {"mine": value} if parameter == "eval.extra_tests" else value
    try:
        # a deletion would come from what an earlier run has left in dvc.lock, or from the stage's outputs
        if command.startswith("exp run"):
            fresh.set(seed=1)  # the workspace itself is innocent
            given = f"{parameter}.mine={value['mine']}" if isinstance(value, dict) else f"{parameter}={value}"
            prefix = "+" if isinstance(value, dict) else ""
            queued = command.endswith("--queue")
            output = fresh.run("dvc", *command.split(), "-S", f"{prefix}{given}", fails=not queued)
            if queued:
                output += fresh.run("dvc", "queue", "start")
                output = _wait(fresh)
        else:
            fresh.set(**{"data__source": "folder", parameter.replace(".", "__"): value})
            output = fresh.run("dvc", *command.split(), fails=True)
        assert "Traceback" not in output, output
    finally:
        fresh.run("git", "checkout", "-q", "params.yaml")
    assert all(path.is_file() for path in photos)
    assert (fresh.folder / "models/student-mine.keras").read_bytes() == b"a user's"


def _wait(fresh):
    for _ in range(60):
        status = fresh.run("dvc", "queue", "status")
        if "Failed" in status or "Success" in status:
            return status
        time.sleep(1)
    raise AssertionError(status)

"""A checkpoint is found again by its digest: it must cover all that dvc.yaml lists for the stage."""

import numpy as np
import pytest
from ruamel.yaml import YAML

from noisy_student.runtime import checkpoints
from noisy_student.runtime.errors import ParamsError
from noisy_student.steps.checking import check
from small import SMALL, stage
from support import ROOT, digits_100, set_params, with_values

STAGES = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]
LISTED = {
    "teacher": STAGES["teacher"]["params"],
    "student": STAGES["student"]["do"]["params"],
    "pseudolabel": STAGES["pseudolabel"]["do"]["params"],
}
SMALL_DIGITS = with_values(digits_100(), SMALL)
# Values that differ from the small workspace's and are valid by themselves; None: cannot change alone.
OTHER = {"backend": None, "arithmetic": None, "data.image_size": None, "input_noise": "host", "precision": "float32"}
# of pseudolabel, if the teacher is noised only: tested below
NOISED_ONLY = {"teacher.model", "student.model", "noise", "augmentation"}


class Found(Exception):
    """The digest, and that is enough."""


def _digest(monkeypatch, name):
    """Run a stage up to where it knows its digest."""

    def opened(stage, digest, **options):
        raise Found(digest)

    monkeypatch.setattr(checkpoints, "opened", opened)
    with pytest.raises(Found) as found:
        stage(name, *([] if name == "teacher" else ["gen1"]))
    return found.value.args[0]


def _leaves(tree, before=()):
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _leaves(value, (*before, key))
        else:
            yield (*before, key), value


def _changed(key, value):
    if key in OTHER:
        return OTHER[key]
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value * 2 if value else 1
    if isinstance(value, float):
        return value / 2 if value else 0.5
    return None


def _cases():
    for name, listed in LISTED.items():
        for entry in listed:
            if entry.startswith("generations") or (name == "pseudolabel" and entry in NOISED_ONLY):
                continue
            for path, value in _leaves(SMALL_DIGITS):
                key = ".".join(path)
                if key == entry or key.startswith(f"{entry}."):
                    value = _changed(key, value)
                    if value is not None and _is_valid(_values(key, value)):
                        yield name, key, value


def _values(key, value):
    if key.endswith(".steps"):
        return {key: value, key.replace("steps", "validate_every"): value // 2}
    return {key: value}


def _is_valid(values):
    try:
        check(with_values(SMALL_DIGITS, values))
    except ParamsError:
        return False
    return True


CASES = list(_cases())


@pytest.mark.parametrize(("name", "key", "value"), CASES, ids=lambda value: str(value))
def test_every_listed_parameter_counts(workspace, monkeypatch, name, key, value):
    before = _digest(monkeypatch, name)
    set_params(_values(key, value))
    assert _digest(monkeypatch, name) != before


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("teacher", "data/prepared/labelled/images.npy"),
        ("teacher", "data/prepared/labelled/labels.npy"),
        ("teacher", "data/prepared/validation/labels.npy"),
        ("student", "data/prepared/unlabelled/images.npy"),
        ("student", "data/prepared/pseudo_labels/gen1/shard-00000.npy"),
        ("student", "data/prepared/balanced/gen1.npy"),
        ("pseudolabel", "data/prepared/unlabelled/images.npy"),
    ],
)
def test_every_input_counts(workspace, monkeypatch, name, path):
    before = _digest(monkeypatch, name)
    array = np.load(path)
    np.save(path, np.concatenate([array[1:], array[:1]]))
    assert _digest(monkeypatch, name) != before


@pytest.mark.parametrize("key", ["noise.dropout", "noise.randaugment.magnitude", "augmentation.crop"])
def test_noise_counts_for_labels_of_a_noised_teacher_only(workspace, monkeypatch, key):
    plain = _digest(monkeypatch, "pseudolabel")
    set_params({"pseudolabel.noise": True})
    noised = _digest(monkeypatch, "pseudolabel")
    set_params({key: 0.25 if key == "noise.dropout" else 3})
    assert _digest(monkeypatch, "pseudolabel") != noised
    set_params({"pseudolabel.noise": False})
    assert _digest(monkeypatch, "pseudolabel") == plain


def test_what_labels_soft_or_hard_counts(workspace, monkeypatch):
    before = _digest(monkeypatch, "student")
    set_params({"pseudolabel.kind": "hard"})
    assert _digest(monkeypatch, "student") != before


def test_the_interval_does_not_count(workspace, monkeypatch):
    before = _digest(monkeypatch, "student")
    set_params({"checkpoint.every_minutes": 1.0, "eval.batch_size": 7})
    assert _digest(monkeypatch, "student") == before

"""What a verdict reads of its runs, from records written by hand."""

import io
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from dvc.scm import RevError

from experiments.verdict import measured
from experiments.verdict.outside import Said, estimate, scores
from experiments.verdict.plan import plan
from noisy_student.runtime.errors import UserError
from support import ROOT, with_values

NOISED = {"noised": {"teacher": "teacher", "student": {"mix": "none"}}, "gen1": {"teacher": "student-noised"}}
POOL, TEST = np.random.default_rng(0).dirichlet([0.3] * 10, (2, 400, 2))


def _bytes(array):
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def _outcomes(model, probs):
    values = {"predicted": probs.argmax(axis=1), "confidence": probs.max(axis=1)}
    return {f"data/prepared/evaluation/{model}/{name}.npy": _bytes(value) for name, value in values.items()}


class Record:
    """DVC's record of a run, as far as it is asked."""

    def __init__(self, files):
        self.files = files

    def ls(self, folder, detail):
        assert not detail
        return [path for path in self.files if path.startswith(f"{folder}/")]

    def read_bytes(self, path):
        if path not in self.files:
            raise FileNotFoundError(path)
        return self.files[path]

    def read_text(self, path):
        return self.read_bytes(path).decode()


def record_of(planned, teacher="teacher", first="gen1"):
    said = {teacher: 0, planned.student.name: 1}
    files = {"data/prepared/classes.json": json.dumps([f"{k}" for k in range(10)]).encode()}
    files["metrics/data.json"] = json.dumps({"images": {"labelled": 20, "validation": 5}}).encode()
    for key, place in ((first, 0), (planned.look, 1)):
        folder = f"data/prepared/pseudo_labels/{key}"
        files |= {f"{folder}/shard-0000{k}.npy": _bytes(POOL[200 * k : 200 * k + 200, place]) for k in (0, 1)}
        files[f"{folder}/rows.npy"] = _bytes(np.arange(400))
    for model, place in said.items():
        files |= _outcomes(model, TEST[:, place])
    return Record(files)


def by_hand():
    pool, test = (
        [Said(one[:, k].argmax(axis=1), one[:, k].max(axis=1).astype(np.float64)) for k in (0, 1)]
        for one in (POOL.astype(np.float32), TEST)
    )
    return estimate(scores(*pool), scores(*test))


@pytest.fixture
def make(digits, monkeypatch):
    monkeypatch.chdir(ROOT)

    def planned(**changes):
        return plan(
            with_values(digits, {"generations": {"gen1": {"teacher": "teacher"}}, "release": "teacher"} | changes)
        )

    return planned


def answered(monkeypatch, record):
    def system(rev):
        if isinstance(record, Exception):
            raise record
        assert rev == "run-of-seed"
        return record

    monkeypatch.setattr(measured.dvc.api, "DVCFileSystem", system)


JOB = SimpleNamespace(study="verdict", seed=3, experiment="run-of-seed")


def test_the_first_teacher_of_the_pool_is_asked_and_nothing_but_labels_is_read(make, monkeypatch):
    planned = make()
    answered(monkeypatch, record_of(planned))
    found = measured.outside_of(planned, JOB)
    assert (found.share, found.images) == (pytest.approx(by_hand().share, abs=1e-6), 400)
    planned = make(generations=NOISED)
    assert planned.chain == ("noised", "gen1")
    answered(monkeypatch, record_of(planned, teacher="student-noised"))
    assert measured.outside_of(planned, JOB) == found


@pytest.mark.parametrize("key", ["noise", "test_time_augmentation"])
def test_it_is_not_told_where_the_pool_is_labelled_otherwise(make, monkeypatch, key):
    changes = {"pseudolabel": {key: "flip" if key == "test_time_augmentation" else True}}
    planned = make(generations={"gen1": {"teacher": "teacher"}, "gen2": {"teacher": "student-gen1"} | changes})
    answered(monkeypatch, record_of(planned))
    assert measured.outside_of(planned, JOB) is not None  # of the second generation only
    noised = {"gen1": {"teacher": "student-noised"} | changes}
    planned = make(generations={"noised": NOISED["noised"]} | noised)
    assert measured.outside_of(planned, JOB) is None


def test_facts_outlive_the_records(make, monkeypatch, tmp_path):
    planned = make()
    monkeypatch.chdir(tmp_path)
    answered(monkeypatch, record_of(planned))
    first = measured.facts_of(planned, [JOB])
    assert (first[0].labels, first[0].outside.images) == (25, 400)
    gone = RevError("unknown Git revision 'run-of-seed'")
    answered(monkeypatch, gone)
    assert measured.facts_of(planned, [JOB]) == first
    other = SimpleNamespace(**{**vars(JOB), "seed": 4})
    with pytest.raises(
        UserError, match=r"no longer has all of .* run-of-seed .*Remove metrics/verdict/own-\w+/verdict"
    ):
        measured.facts_of(planned, [JOB, other])
    answered(monkeypatch, Record({}))  # a cache that was emptied
    with pytest.raises(UserError, match=r"metrics/data\.json.*`dvc gc`"):
        measured.facts_of(planned, [JOB, other])
    assert list(json.loads(Path(measured.results_of(planned.preset), "facts.json").read_text())) == ["3"]

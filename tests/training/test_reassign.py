"""`pseudolabel.reassign`: what the teacher has learned from is labelled anew, as it was chosen for it."""

import keras
import numpy as np
import pytest

from noisy_student.data.probs import AtRows, ShardedProbs
from noisy_student.runtime import layout
from noisy_student.runtime.errors import ParamsError
from noisy_student.runtime.files import read_array, read_csv, read_json, write_array
from noisy_student.runtime.layout import Model
from noisy_student.settings import params
from small import stage
from support import set_params, with_values

GENERATIONS = {
    "gen1": {"teacher": "teacher"},
    "gen2": {"teacher": "student-gen1", "pseudolabel": {"reassign": True}},
}


def _run(*calls):
    for call in calls:
        assert stage(*call.split()) is None, call


def _labels(key):
    return np.concatenate([read_array(path) for path in sorted(layout.pseudo_labels(key).glob("shard-*.npy"))])


@pytest.fixture
def chosen(workspace):
    """The rows that gen1's student has learned from: few of the pool, some of them often."""
    set_params({"generations": GENERATIONS, "pseudolabel.shard_images": 4, "balance.per_class": 3})
    _run("balance gen1")
    rows = read_array(layout.balanced("gen1"))
    assert len(np.unique(rows)) < len(rows)
    assert len(np.unique(rows)) < 40
    return rows


def test_labels_rows_and_figures(chosen):
    _run("pseudolabel gen2", "balance gen2")
    model = keras.saving.load_model(Model("gen1").path)
    images, rows = np.load(layout.UNLABELLED / "images.npy"), np.unique(chosen)
    assert np.array_equal(np.load(layout.pseudo_labels("gen2") / "rows.npy"), rows)
    np.testing.assert_allclose(_labels("gen2"), model.predict(images[rows], verbose=0), atol=1e-5)
    assert np.array_equal(read_array(layout.balanced("gen2")), chosen)  # order and repetitions too
    assert np.array_equal(read_array(layout.learned_from("student-gen2")), chosen)
    best = dict(zip(rows, model.predict(images[rows], verbose=0).argmax(axis=1), strict=True))
    table = read_csv(layout.balance_tables("gen2") / "class_counts.csv", text=("class", "when"))
    for when, counted in (("filtered", rows), ("balanced", chosen)):
        expected = np.bincount([best[row] for row in counted], minlength=10)
        assert [row["images"] for row in table if row["when"] == when] == expected.tolist()


def test_the_student_is_that_of_labels_of_the_whole_pool_on_the_same_rows(chosen):
    _run("pseudolabel gen2", "balance gen2", "student gen2", "eval gen2")
    mine = keras.saving.load_model(Model("gen2").path).get_weights()
    assert read_json(Model("gen2").evaluation / layout.METRICS)["pseudo_label_coverage"] == 1
    truth = np.load(layout.TRUTH)[np.unique(chosen)]
    right = (_labels("gen2").argmax(axis=1) == truth).mean()
    assert read_json(Model("gen2").evaluation / layout.METRICS)["pseudo_label_accuracy"] == pytest.approx(right)
    set_params({"generations": GENERATIONS | {"gen2": {"teacher": "student-gen1"}}})
    _run("pseudolabel gen2")
    assert len(_labels("gen2")) == 80
    write_array(layout.balanced("gen2"), chosen)
    _run("student gen2")
    for own, other in zip(mine, keras.saving.load_model(Model("gen2").path).get_weights(), strict=True):
        np.testing.assert_allclose(own, other, rtol=1e-4, atol=1e-5)


def test_noise_depends_on_the_row_of_the_pool(chosen):
    """As without `reassign`: the same image is noised in the same way; the network's own noise is off here."""
    quiet = {"noise.dropout": 0.0, "noise.stochastic_depth.survival_probability": 1.0, "pseudolabel.noise": True}
    set_params(quiet)
    _run("pseudolabel gen2")
    mine = _labels("gen2")
    set_params({"generations": GENERATIONS | {"gen2": {"teacher": "student-gen1"}}})
    _run("pseudolabel gen2")
    assert not (layout.pseudo_labels("gen2") / "rows.npy").exists()
    np.testing.assert_allclose(mine, _labels("gen2")[np.unique(chosen)], atol=1e-5)


@pytest.mark.parametrize(
    "generations",
    [
        {"gen1": {"teacher": "teacher", "pseudolabel": {"reassign": True}}},
        {
            "gen1": {"teacher": "teacher", "student": {"mix": "none"}},
            "gen2": {"teacher": "student-gen1", "pseudolabel": {"reassign": True}},
        },
    ],
)
def test_a_teacher_that_has_learned_from_no_pseudo_labels_is_refused(digits, generations):
    with pytest.raises(ParamsError, match=r"generations\.gen[12]\.pseudolabel\.reassign: .* from no pseudo-labels"):
        params.check(with_values(digits, {"generations": generations}))


def test_distributions_by_rows():
    probs = np.random.default_rng(0).dirichlet(np.ones(3), 4).astype(np.float32)
    some = AtRows(ShardedProbs([probs[:3], probs[3:]], 3), np.array([2, 5, 6, 9]))
    assert np.array_equal(some[np.array([9, 2, 2, 6])], probs[[3, 0, 0, 2]])
    for missing in (3, 10):
        with pytest.raises(IndexError, match="not labelled"):
            some[np.array([2, missing])]

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noisy_student.drawing import pool
from noisy_student.pseudo_labels import balancing
from noisy_student.pseudo_labels import confidence as confidence_module
from noisy_student.pseudo_labels.confidence import confidence_rows
from noisy_student.runtime.errors import DataError, EmptyClassError, ParamsError
from noisy_student.runtime.files import read_array, read_csv, write_array
from noisy_student.settings.schema import BalanceParams, PseudoLabelParams
from noisy_student.steps.selection import Numbers, select, write_tables
from small import stage
from support import set_params

NAMES = ["plane", "car", "cat"]
# row:           0     1     2     3     4     5     6
# predicted:     0     1     0     0     2     2     1
# confidence:   .90   .80   .95   .50   .85   .85   .70
PROBS = np.array(
    [
        [0.90, 0.05, 0.05],
        [0.10, 0.80, 0.10],
        [0.95, 0.03, 0.02],
        [0.50, 0.30, 0.20],
        [0.10, 0.05, 0.85],
        [0.05, 0.10, 0.85],
        [0.20, 0.70, 0.10],
    ],
    np.float32,
)


def labelling(threshold, max_confidence=1.0):
    return PseudoLabelParams(threshold=threshold, max_confidence=max_confidence, kind="soft", batch_size=1, noise=False)


def choose(
    probs=PROBS,
    threshold=0.6,
    per_class=None,
    on_empty="error",
    max_confidence=1.0,
    names=NAMES,
    enabled=True,
    rule="equal",
):
    settings = BalanceParams(enabled=enabled, rule=rule, per_class=per_class, on_empty=on_empty)
    return select(probs, labelling(threshold, max_confidence), settings, class_names=names)


def confident_rows(probs, threshold, max_confidence=1.0):
    return choose(probs, threshold, max_confidence=max_confidence, enabled=False, names=range(probs.shape[-1]))


def _numbers(guesses, rows, classes, threshold):
    return Numbers.of_rows(guesses, rows, classes=classes, threshold=threshold, max_confidence=1.0)


def counts(tmp_path, probs, rows, threshold=0.0):
    """The images of each class, that passed the filter and that were chosen, by class_counts.csv."""
    numbers = _numbers((probs.argmax(axis=1), probs.max(axis=1)), rows, probs.shape[1], threshold)
    write_tables(tmp_path, numbers, class_names=range(probs.shape[1]))
    table = read_csv(tmp_path / "class_counts.csv", text=("when",))
    return [[row["images"] for row in table if row["when"] == when] for when in ("filtered", "balanced")]


def test_confident_rows_by_hand():
    np.testing.assert_array_equal(confident_rows(PROBS, 0.6), [0, 1, 2, 4, 5, 6])


def test_a_confidence_equal_to_the_threshold_is_not_kept():
    probs = np.array([[0.75, 0.25], [0.7500001, 0.2499999]])
    np.testing.assert_array_equal(confident_rows(probs, threshold=0.75), [1])


def test_a_bound_of_confidence_by_hand():
    bounds = {"threshold": 0.5, "max_confidence": 0.85}  # 0.85 itself stays
    np.testing.assert_array_equal(confident_rows(PROBS, **bounds), [1, 4, 5, 6])
    np.testing.assert_array_equal(choose(**bounds, on_empty="skip"), [1, 6, 4, 5])
    rounded = np.array([[1.0000001, 0.0]])
    np.testing.assert_array_equal(confident_rows(rounded, threshold=0.5), [0])


def test_the_message_names_both_bounds():
    with pytest.raises(EmptyClassError, match=r"threshold=0\.5 and at most pseudolabel\.max_confidence=0\.6"):
        choose(threshold=0.5, max_confidence=0.6)


def test_up_to_the_largest_class_by_hand():
    # two of each; the tie of rows 4 and 5 keeps their order
    np.testing.assert_array_equal(choose(), [2, 0, 1, 6, 4, 5])


def test_fewer_are_repeated_in_order_by_hand():
    np.testing.assert_array_equal(choose(per_class=5), [2, 0, 2, 0, 2, 1, 6, 1, 6, 1, 4, 5, 4, 5, 4])


def test_of_more_the_most_confident_stay_by_hand():
    np.testing.assert_array_equal(choose(per_class=1), [2, 1, 4])


def test_null_takes_the_largest_count_by_hand():
    # above 0.75: class 0 rows 2, 0; class 1 row 1; class 2 rows 4, 5
    np.testing.assert_array_equal(choose(threshold=0.75), [2, 0, 1, 1, 4, 5])


def test_counts_by_hand(tmp_path):
    # above 0.6: rows 0, 2; 1, 6; 4, 5
    assert counts(tmp_path, PROBS, [0, 1, 2, 4, 6], 0.6) == [[2, 2, 2], [2, 2, 1]]
    assert counts(tmp_path, PROBS, [5, 5, 5], 0.82) == [[2, 0, 2], [0, 0, 3]]


def test_another_rule_is_one_function(monkeypatch):
    """`balance.rule` names it; here every second confident image, whatever its class."""
    monkeypatch.setattr(balancing, "RULES", dict(balancing.RULES))

    @balancing.rule
    def every_second(confident, settings):
        return confident.rows[:: settings.per_class]

    assert choose(per_class=2, rule="every_second").tolist() == [0, 2, 5]


def test_a_rule_that_is_not_there_is_named():
    with pytest.raises(ParamsError, match=r"balance.rule=fair: no such rule; choose one of equal, unbalanced"):
        choose(rule="fair")


def test_an_empty_class_is_named_with_what_was_found():
    with pytest.raises(EmptyClassError) as error:
        choose(threshold=0.82)
    assert str(error.value) == (
        "class 1 (car): no pseudo-label is above pseudolabel.threshold=0.82 "
        "(best 0.800, 0 of 2 predicted as it).\n"
        "Lower pseudolabel.threshold, train the teacher longer, or set balance.on_empty=skip in params.yaml."
    )


def test_a_class_that_is_never_predicted_is_named():
    with pytest.raises(EmptyClassError, match=r"class 2 \(cat\).*none of 4 predicted as it"):
        choose(probs=PROBS[:4])


def test_many_empty_classes_give_a_short_message():
    probs = np.zeros((3, 40))
    probs[:, 0] = 1
    with pytest.raises(EmptyClassError) as error:
        choose(probs, 0.5, names=[f"name{k}" for k in range(40)])
    lines = str(error.value).splitlines()
    assert len(lines) == 7
    assert "name5" in lines[4]
    assert lines[5] == "... and 34 more of 40 classes."


def test_an_empty_class_can_be_skipped():
    np.testing.assert_array_equal(choose(threshold=0.82, on_empty="skip"), [2, 0, 4, 5])


@pytest.mark.parametrize("on_empty", ["error", "skip"])
def test_nothing_above_the_threshold_is_always_an_error(on_empty):
    with pytest.raises(EmptyClassError, match=r"No pseudo-label of any class.*0\.96 \(best 0\.950, 0 of 7\)"):
        choose(threshold=0.96, on_empty=on_empty)
    with pytest.raises(EmptyClassError, match=r"Lower pseudolabel\.threshold"):
        confident_rows(PROBS, threshold=0.96)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ([np.nan, 0.5, 0.5], "row 3 sums to nan"),
        ([0.5, 0.5, 0.002], "row 3 sums to 1.002"),
        ([0.5, 0.4, 0.098], "row 3 sums to 0.998"),
        ([1.5, -0.5, 0.0], "least value is -0.5"),
        ([np.inf, 0.0, 0.0], "row 3 sums to inf"),
    ],
)
@pytest.mark.parametrize("function", [choose, lambda p: confident_rows(p, 0.6)])
def test_rows_that_are_no_distributions_are_refused(row, message, function):
    probs = PROBS.copy()
    probs[3] = row
    with pytest.raises(DataError, match=f"1 of 7 rows.*{message}"):
        function(probs)


def test_rounding_of_float32_is_tolerated():
    probs = PROBS.copy()
    probs[:, 0] += 0.0009
    assert len(confident_rows(probs, threshold=0.6)) == 6


@pytest.mark.parametrize("shape", [(0, 3), (4, 0), (5,)])
def test_an_empty_pool_is_refused(shape):
    with pytest.raises(DataError, match="at least one image"):
        confident_rows(np.zeros(shape), threshold=0.5)


def _mapped(path, probs):
    write_array(path, probs)
    return read_array(path)


def test_chosen_in_pieces_as_at_once(tmp_path, monkeypatch):
    """The oracle is NumPy on the whole array; many ties, and pieces that end in the middle."""
    monkeypatch.setattr(confidence_module, "_PIECE", 7 * 3 * 4)  # 7 rows
    weights = np.random.default_rng(0).integers(1, 6, (200, 3)).astype(np.float32)
    probs = weights / weights.sum(axis=1, keepdims=True)
    predicted, confidence = confidence_module.best_guesses(_mapped(tmp_path / "probs.npy", probs))
    np.testing.assert_array_equal(predicted, probs.argmax(axis=1))
    np.testing.assert_array_equal(confidence, probs.max(axis=1))
    assert (predicted.dtype, confidence.dtype) == (np.int64, np.float32)
    best_first = np.argsort(-probs.max(axis=1), kind="stable")
    expected = [best_first[probs.argmax(axis=1)[best_first] == k][:20] for k in range(3)]
    rows = choose(_mapped(tmp_path / "probs.npy", probs), threshold=0.4, per_class=20)
    np.testing.assert_array_equal(rows, np.concatenate(expected))


def test_mapped_distributions_are_not_read_into_memory_as_a_whole(tmp_path):
    """40 MB, as 1,000 classes of 1,000,000 images are 4 GB."""
    probs = np.full((10_000, 1000), 0.4 / 999, np.float32)
    probs[np.arange(10_000), np.arange(10_000) % 1000] = 0.6
    mapped = _mapped(tmp_path / "probs.npy", probs)
    names = [f"name{k}" for k in range(1000)]
    small = np.zeros((len(PROBS), 8, 8, 3), np.uint8)
    pool.pseudo_label_gallery(tmp_path / "a.png", small, PROBS, names[:2], threshold=0.5)  # loads libraries
    tracemalloc.start()
    rows = choose(mapped, 0.5, per_class=12, names=names)
    write_tables(tmp_path, _numbers(confidence_module.best_guesses(mapped), rows, 1000, 0.5), class_names=names)
    confidence_rows(mapped, np.full(10_000, -1), threshold=0.5)
    images = np.zeros((10_000, 8, 8, 3), np.uint8)
    pool.pseudo_label_gallery(tmp_path / "b.png", images, mapped, names[:2], threshold=0.5)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16e6
    np.testing.assert_array_equal(rows[:12], [*range(0, 10_000, 1000), 0, 1000])
    table = read_csv(tmp_path / "class_counts.csv", text=("class", "when"))
    assert [row["images"] for row in table] == [10] * 1000 + [12] * 1000


@st.composite
def distributions(draw):
    rows = draw(st.lists(st.lists(st.integers(0, 20), min_size=3, max_size=3), min_size=1, max_size=40))
    weights = np.array(rows, float) + 0.01
    return weights / weights.sum(axis=1, keepdims=True)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    probs=distributions(),
    threshold=st.sampled_from([0.0, 0.4, 0.6, 0.9]),
    per_class=st.none() | st.integers(1, 60),
)
def test_properties(probs, threshold, per_class):
    confidence, predicted = probs.max(axis=1), probs.argmax(axis=1)
    kept = [sorted(np.flatnonzero((predicted == k) & (confidence > threshold))) for k in range(3)]
    if not any(kept):
        with pytest.raises(EmptyClassError):
            choose(probs, threshold, per_class, "skip")
        return
    if not all(kept):
        with pytest.raises(EmptyClassError):
            choose(probs, threshold, per_class, "error")
    rows = choose(probs, threshold, per_class, "skip")
    size = per_class or max(map(len, kept))
    assert rows.dtype == np.int64
    groups = rows.reshape(-1, size)
    present = [k for k in range(3) if kept[k]]
    assert len(groups) == len(present)
    for k, group in zip(present, groups, strict=True):
        own = kept[k]
        first = group[: len(own)]
        assert len(set(first)) == len(first)  # no repeat before all were used
        assert set(group) <= set(own)  # confident rows of this class only
        left_out = set(own) - set(first)
        assert min(confidence[first]) >= max([confidence[r] for r in left_out], default=0)
        keys = [(-confidence[r], r) for r in first]
        assert keys == sorted(keys)  # most confident first, ties by row
        assert all(group[i] == group[i - len(own)] for i in range(len(own), size))
    assert [int((predicted[rows] == k).sum()) for k in range(3)] == [size if kept[k] else 0 for k in range(3)]


def test_a_student_without_pseudo_labels_needs_no_confident_image(workspace):
    """Nor does it ask which pseudo-labels were chosen: `mix: none`, alone or of one generation."""
    set_params({"pseudolabel.threshold": 0.999, "balance.on_empty": "error"})
    assert "No pseudo-label of any class" in stage("balance", "gen1")
    set_params({"generations.gen1": {"teacher": "teacher", "student": {"mix": "none"}}})
    assert stage("balance", "gen1") is None
    assert np.load("data/prepared/balanced/gen1.npy").shape == (0,)
    assert stage("student", "gen1") is None
    assert stage("eval", "gen1") is None

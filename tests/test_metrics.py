"""Metrics against scikit-learn, closed forms and values worked out by hand."""

import json
import math

import numpy as np
import pytest
import sklearn.metrics
from sklearn.calibration import calibration_curve

from noisy_student.inference import metrics
from noisy_student.pseudo_labels.confidence import is_kept
from noisy_student.robustness import report
from noisy_student.robustness.measure import outcome
from noisy_student.runtime.errors import DataError
from noisy_student.steps.reported import pseudo_label_quality
from noisy_student.steps.selection import confidence_bins


@pytest.fixture(scope="module")
def scored():
    """500 distributions over 7 classes, float32, right in about half of the cases."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 7, 500)
    logits = rng.normal(size=(500, 7))
    logits[np.arange(500), labels] += 1.5
    probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return probs.astype(np.float32), labels


def test_nll_equals_scikit_learn(scored):
    probs, labels = scored
    exact = probs.astype(float)
    expected = sklearn.metrics.log_loss(labels, exact / exact.sum(axis=1, keepdims=True))
    assert metrics.nll(probs, labels) == pytest.approx(expected, rel=1e-6)


def test_nll_clips_at_1e_7():
    probs = np.array([[1.0, 0.0], [0.5, 0.5]])
    assert metrics.nll(probs, np.array([1, 0])) == pytest.approx((7 * math.log(10) + math.log(2)) / 2)
    assert metrics.nll(probs[:1], np.array([0])) == 0


def test_accuracy_equals_scikit_learn(scored):
    probs, labels = scored
    expected = sklearn.metrics.accuracy_score(labels, probs.argmax(axis=1))
    assert metrics.accuracy(probs, labels) == pytest.approx(expected)


@pytest.mark.parametrize("k", [1, 2, 5])
def test_top_k_equals_scikit_learn(scored, k):
    probs, labels = scored
    expected = sklearn.metrics.top_k_accuracy_score(labels, probs, k=k)
    assert metrics.top_k_accuracy(probs, labels, k) == pytest.approx(expected)


def test_ties_go_to_the_lower_class():
    probs, labels = np.array([[0.4, 0.4, 0.2], [0.4, 0.4, 0.2]]), np.array([0, 0])
    assert metrics.accuracy(probs, labels) == 1
    assert metrics.accuracy(probs, labels + 1) == 0


def test_recall_and_confusion_equal_scikit_learn(scored):
    probs, labels = scored
    predicted = probs.argmax(axis=1)
    np.testing.assert_array_equal(metrics.confusion(probs, labels), sklearn.metrics.confusion_matrix(labels, predicted))
    np.testing.assert_allclose(
        metrics.recall_per_class(probs, labels), sklearn.metrics.recall_score(labels, predicted, average=None)
    )


def test_confusion_of_small_label_types_does_not_overflow():
    probs = np.eye(100)[[99, 3]]
    matrix = metrics.confusion(probs, np.array([99, 98], np.uint8))
    assert matrix[99, 99] == matrix[98, 3] == 1
    assert matrix.sum() == 2


def test_recall_of_a_class_without_images_is_nan():
    recall = metrics.recall_per_class(np.eye(3)[[0, 0, 2]], np.array([0, 2, 2]))
    np.testing.assert_array_equal(recall, [1.0, np.nan, 0.5])


@pytest.mark.parametrize("bins", [15, 4])
def test_reliability_equals_scikit_learn(scored, bins):
    probs, labels = scored
    table = metrics.reliability(probs, labels, bins)
    correct, confidence = probs.argmax(axis=1) == labels, probs.max(axis=1).astype(float)
    accuracy, mean_confidence = calibration_curve(correct, confidence, n_bins=bins)
    filled = [b for b in table if b["count"]]
    np.testing.assert_allclose([b["accuracy"] for b in filled], accuracy)
    np.testing.assert_allclose([b["confidence"] for b in filled], mean_confidence)
    assert [b["count"] for b in filled] == [n for n in np.histogram(confidence, bins, (0, 1))[0] if n]
    assert len(table) == bins
    assert len(filled) < bins or bins == 4  # of 15 bins some are empty, and say so
    assert all(b["confidence"] is None and b["accuracy"] is None for b in table if not b["count"])
    assert json.loads(json.dumps(table)) == table


def test_calibration_error_by_hand():
    # bin (0.5, 0.75]: confidences 0.6, 0.7, one of two right: |0.5 - 0.65| = 0.15
    # bin (0.75, 1]: 0.9, 0.8, 1.0, all right: |1 - 0.9| = 0.1
    probs = np.array([[0.6, 0.4], [0.7, 0.3], [0.9, 0.1], [0.2, 0.8], [0.0, 1.0]])
    labels = np.array([0, 1, 0, 1, 1])
    expected = 2 / 5 * 0.15 + 3 / 5 * 0.1
    assert metrics.calibration_error(metrics.reliability(probs, labels, bins=4)) == pytest.approx(expected)


def test_a_confidence_on_an_edge_belongs_to_the_lower_bin():
    table = metrics.reliability(np.array([[0.75, 0.25]]), np.array([0]), bins=4)
    assert [b["count"] for b in table] == [0, 0, 1, 0]
    assert (table[2]["lower"], table[2]["upper"]) == (0.5, 0.75)


# confidences on edges and one float beside them, and by hand the number of the bin of 20
ON_EDGES = [
    (0.0, 0),
    (0.05, 0),
    (0.1, 1),
    (0.5, 9),
    (0.55, 10),
    (0.6, 11),
    (0.7, 13),
    (0.75, 14),
    (0.95, 18),
    (1.0, 19),
]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_one_rule_for_edges(dtype):
    """As float32 some of these numbers are rounded up, some down: it is the number of params.yaml that counts."""
    values, expected = [], []
    for value, place in ON_EDGES:
        on = dtype(value)
        values += [on, np.nextafter(on, dtype(2)), np.nextafter(on, dtype(-1))]
        expected += [place, 0 if value == 0 else min(place + 1, 19), place]
    values, edges = np.array(values, dtype), metrics.equal_edges(20)
    assert metrics.bin_of(values, edges).tolist() == expected
    counts = [expected.count(place) for place in range(20)]
    assert metrics.histogram(values, edges).tolist() == counts
    assert [row["images"] for row in confidence_bins(metrics.histogram(values, edges))] == counts
    assert [row["count"] for row in metrics.reliability_of(values, values > 0, 20)] == counts


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("bins", [15, 20, 40])
def test_a_threshold_on_an_edge_splits_no_bin(bins, dtype):
    """Whatever number of params.yaml the edge is, and whichever the bound: a bin is kept as a whole or not at all."""
    numbers = [float(repr(k / bins)) for k in range(1, bins)]
    on = np.array(numbers, dtype)
    values = np.concatenate([on, np.nextafter(on, dtype(1)), np.nextafter(on, dtype(0))])
    place = metrics.bin_of(values, metrics.equal_edges(bins))
    for k, number in enumerate(numbers):
        assert set(place[is_kept(values, number)]).isdisjoint(place[~is_kept(values, number)]), number
        assert (is_kept(values, 0.0, number) == (place <= k)).all(), number


def test_calibration_of_robustness_is_that_of_the_test_images(scored):
    probs, labels = scored
    probs = np.concatenate([probs, np.eye(7, dtype=np.float32)[[0, 1]]])
    labels = np.append(labels, [1, 1])  # the first of these two has probability 0
    found = report.calibration(outcome(probs, labels), labels, 0.5)
    assert found["nll"] == metrics.nll(probs, labels)
    assert found["ece"] == metrics.calibration_error(metrics.reliability(probs, labels))


@pytest.mark.parametrize(("correct", "n"), [(0, 10), (10, 10), (470, 500), (9394, 10_000)])
def test_interval_is_wilsons(correct, n):
    # Wilson's closed form with the normal quantile 1.959964
    z, p = 1.959963984540054, correct / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    low, high = metrics.accuracy_interval(np.int64(correct), n)
    assert low == pytest.approx(centre - half, abs=1e-12)
    assert high == pytest.approx(centre + half, abs=1e-12)


def test_pseudo_label_quality_by_hand():
    probs = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.95, 0.05], [0.75, 0.25]])
    truth = np.array([0, 0, 1, -1, 1])

    def quality(**bounds):
        found = pseudo_label_quality(probs, truth, **bounds)
        return found["pseudo_label_coverage"], found.get("pseudo_label_accuracy")

    # kept: rows 0, 1, 3; of known truth: 0 (right), 1 (wrong)
    assert quality(threshold=0.75) == (0.6, 0.5)
    assert quality(threshold=0.92) == (0.2, None)
    assert quality(threshold=0.99) == (0.0, None)
    # rows 1, 2 and 4, all wrong
    assert quality(threshold=0.5, max_confidence=0.8) == (0.6, 0.0)


@pytest.mark.parametrize(
    ("probs", "labels", "message"),
    [
        (np.eye(3), np.array([0, 1, 3]), r"0\.\.2, found 0\.\.3"),
        (np.eye(3), np.array([-1, 1, 2]), r"0\.\.2, found -1\.\.2"),
        (np.eye(3), np.array([0, 1]), r"\(3, 3\) and \(2,\)"),
        (np.zeros((0, 3)), np.zeros(0, int), "at least one image"),
        (np.ones(3), np.zeros(3, int), r"\(3,\) and \(3,\)"),
    ],
)
@pytest.mark.parametrize(
    "function",
    [metrics.nll, metrics.accuracy, metrics.confusion, metrics.reliability, metrics.recall_per_class],
)
def test_wrong_input_is_refused(probs, labels, message, function):
    with pytest.raises(DataError, match=message):
        function(probs, labels)

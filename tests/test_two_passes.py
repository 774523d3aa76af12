"""Selection in two passes over labels on disk chooses what `balancing.equal` chooses in memory, row for row."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noisy_student.data.probs import ShardedProbs, dense, top_k, top_k_dtype
from noisy_student.pseudo_labels import confidence as confidence_module
from noisy_student.pseudo_labels import two_passes
from noisy_student.pseudo_labels.balancing import confident_images, equal
from noisy_student.pseudo_labels.confidence import pieces
from noisy_student.pseudo_labels.two_passes import select_into
from noisy_student.runtime.errors import EmptyClassError
from noisy_student.runtime.files import read_array
from noisy_student.settings.schema import BalanceParams


def _both(tmp_path, probs, balancing, *, parts=3, **bounds):
    """The rows by two passes over parts of the labels, and by the rule in memory; or the messages of their errors."""
    names, path = [f"name{k}" for k in range(probs.shape[1])], tmp_path / "rows.npy"
    stored = ShardedProbs(np.array_split(probs, parts), probs.shape[1])
    found = []
    for way in (
        lambda: select_into(path, lambda: pieces(stored), balancing, classes=names, **bounds),
        lambda: equal(confident_images(probs, class_names=names, **bounds), balancing),
    ):
        try:
            found.append(way())
        except EmptyClassError as error:
            found.append(str(error))
    if not isinstance(found[0], str):
        found[0] = np.array(read_array(path))
    assert not list(tmp_path.glob(".tmp-*"))
    return found


def _tied(rows, classes, *, levels, seed):
    """Distributions whose highest probability is one of a few numbers: most rows are tied with others."""
    rng = np.random.default_rng(seed)
    highest = rng.choice(np.linspace(0.3, 1.0, levels, dtype=np.float32), rows)
    probs = np.repeat(((1 - highest) / (classes - 1))[:, None], classes, axis=1).astype(np.float32)
    probs[np.arange(rows), (classes * rng.random(rows) ** 2).astype(int)] = highest  # classes of unequal size
    return probs


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(1, 300),
    levels=st.integers(2, 6),
    seed=st.integers(0, 1000),
    per_class=st.none() | st.integers(1, 40),
    threshold=st.sampled_from([0.0, 0.3, 0.44, 0.75, 0.99]),
    max_confidence=st.sampled_from([1.0, 0.995]),
    on_empty=st.sampled_from(["skip", "error"]),
    parts=st.integers(1, 4),
    fine=st.sampled_from([9, 14, 18]),
)
def test_the_same_rows(
    tmp_path_factory, rows, levels, seed, per_class, threshold, max_confidence, on_empty, parts, fine
):
    folder, balancing = tmp_path_factory.mktemp("rows"), BalanceParams(per_class=per_class, on_empty=on_empty)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(confidence_module, "_PIECE", 7 * 5 * 4)  # 7 rows at once
        patch.setattr(two_passes, "FINE", fine)
        bounds = {"threshold": threshold, "max_confidence": max_confidence}
        streamed, whole = _both(folder, _tied(rows, 5, levels=levels, seed=seed), balancing, parts=parts, **bounds)
    np.testing.assert_array_equal(streamed, whole)


@pytest.mark.parametrize("classes", [10, 1000])
def test_the_same_rows_of_many(tmp_path, classes):
    """Some classes have too many, some too few, some none; half of the confidences are tied."""
    rng = np.random.default_rng(0)
    rows = 200_000 if classes == 10 else 20_000
    probs = _tied(rows, classes, levels=9, seed=1)
    untied = rng.random(rows) < 0.5
    factor = np.where(untied, rng.uniform(0.9, 1, rows), 1).astype(np.float32)[:, None]
    probs *= factor
    probs += (1 - probs.sum(axis=1, keepdims=True)) / classes
    balancing = BalanceParams(per_class=rows // classes)
    streamed, whole = _both(tmp_path, probs, balancing, threshold=0.5)
    assert len(np.unique(whole)) < len(whole)
    np.testing.assert_array_equal(streamed, whole)


@pytest.mark.parametrize("classes", [10, 1000])
def test_the_same_rows_of_a_million(tmp_path, classes):
    """As `balance` chooses them in memory, and as two sorts by hand do; half of the confidences are tied."""
    rng, rows, wanted = np.random.default_rng(0), 1_000_000, 1_000_000 // classes
    predicted = (classes * rng.random(rows) ** 2).astype(np.int64)
    highest = rng.choice(np.linspace(0.52, 1, 9, dtype=np.float32), rows)
    highest = np.where(rng.random(rows) < 0.5, highest, rng.uniform(0.4, 1, rows).astype(np.float32))
    if classes == 10:
        labels = np.repeat(((1 - highest) / 9)[:, None], classes, axis=1)
        labels[np.arange(rows), predicted] = highest
    else:  # a thousand numbers an image would be 4 GB
        labels = np.zeros(rows, top_k_dtype(2, classes))
        labels["confidence"], labels["classes"][:, 0] = highest, predicted
    stored = ShardedProbs(np.array_split(labels, 20), classes)
    names, balancing, path = (
        [f"name{k}" for k in range(classes)],
        BalanceParams(per_class=wanted),
        tmp_path / "rows.npy",
    )
    select_into(path, lambda: pieces(stored), balancing, classes=names, threshold=0.5)
    streamed = read_array(path)
    whole = equal(confident_images(stored, class_names=names, threshold=0.5), balancing)
    np.testing.assert_array_equal(streamed, whole)
    order = np.lexsort((np.arange(rows), -highest, predicted))
    order = order[highest[order] > 0.5]
    of_classes = np.split(order, np.searchsorted(predicted[order], np.arange(1, classes)))
    np.testing.assert_array_equal(streamed, np.concatenate([np.resize(own, wanted) for own in of_classes]))
    assert max(map(len, of_classes)) > wanted > min(map(len, of_classes))  # some are cut, some repeat


def test_thresholds_by_hand(tmp_path):
    """Three of five are wanted; two of the three tied ones come first by row."""
    probs = np.float32([[0.7, 0.3], [0.9, 0.1], [0.7, 0.3], [0.7, 0.3], [0.6, 0.4], [0.2, 0.8]])
    streamed, _ = _both(tmp_path, probs, BalanceParams(per_class=3), threshold=0.5)
    assert streamed.tolist() == [1, 0, 2, 5, 5, 5]


def test_neighbouring_numbers_are_told_from_one_another(tmp_path):
    """The histogram is over the bits: the least difference that float32 has counts."""
    highest = np.float32(0.8)
    numbers = [highest]
    for _ in range(40):
        numbers.append(np.nextafter(numbers[-1], np.float32(1)))
    probs = np.stack([np.float32(numbers), 1 - np.float32(numbers)], axis=1)
    streamed, _ = _both(tmp_path, probs, BalanceParams(per_class=10), threshold=0.5)
    assert streamed.tolist() == list(range(40, 30, -1))


def _by_hand(folder, confidence, *, wanted, piece, **bounds):
    """What is counted and the rows of the second of two classes, which all are predicted as, read so many at once."""

    def pieces_of():
        for first in range(0, len(confidence), piece):
            own = np.float32(confidence[first : first + piece])
            yield first, np.ones(len(own), np.int64), own

    balancing = BalanceParams(per_class=wanted, on_empty="skip")
    options = {"classes": ["a", "b"], "threshold": 0.0} | bounds
    counts = select_into(folder / "rows.npy", pieces_of, balancing, **options)
    return counts, read_array(folder / "rows.npy").tolist()


def test_what_rounding_has_put_above_one_comes_first(tmp_path):
    above = np.nextafter(np.float32(1), np.float32(2))
    _, rows = _by_hand(tmp_path, [0.5, 1.0, above, 0.9, above], wanted=3, piece=2)
    assert rows == [2, 4, 1]


def test_what_the_upper_bound_leaves_out_takes_no_place(tmp_path):
    """Though it lies in the same bin of the first pass as what is chosen."""
    _, rows = _by_hand(tmp_path, [1.0, 0.9994, 1.0, 0.9992, 0.9993], wanted=2, piece=9, max_confidence=0.9995)
    assert rows == [1, 4]


def test_confidence_is_counted_by_hand(tmp_path):
    """In bins of 0.05, a bound of which belongs to the bin below it; also what the filter leaves out."""
    counts, _ = _by_hand(tmp_path, [0.05, 0.051, 0.5, 1.0, 0.96], wanted=1, piece=2, threshold=0.7)
    assert {bin_: n for bin_, n in enumerate(counts.histogram) if n} == {0: 1, 1: 1, 9: 1, 19: 2}
    assert counts.predicted.tolist() == [0, 5]
    assert counts.kept.tolist() == [0, 2]


def test_each_piece_may_be_less_confident_than_all_before(tmp_path):
    """By one bin of the first pass, by two and by many: the counters grow."""
    top = int(np.float32(1).view(np.uint32))
    bits = [top - (bin_ << two_passes.FINE) for bin_ in (0, 1, 2, 3, 5, 6, 400)]
    confidence = np.array(bits, np.uint32).view(np.float32)
    for wanted in (1, 4, 6, 7):
        assert _by_hand(tmp_path, confidence, wanted=wanted, piece=1)[1] == list(range(wanted))


def test_memory_does_not_grow_with_the_pool(tmp_path):
    """Of labels that NumPy keeps in files; 10 times the pool, nearly the same memory."""

    def peak(rows):
        def made():
            for first in range(0, rows, 10_000):
                rng = np.random.default_rng(first)
                yield first, rng.integers(0, 100, 10_000), rng.uniform(0.2, 1, 10_000).astype(np.float32)

        names = [f"name{k}" for k in range(100)]
        tracemalloc.start()
        select_into(tmp_path / "rows.npy", made, BalanceParams(per_class=200), classes=names, threshold=0.3)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    assert peak(1_000_000) < 1.2 * peak(100_000)


@settings(max_examples=60, deadline=None)
@given(rows=st.integers(1, 40), k=st.integers(1, 6), seed=st.integers(0, 1000), power=st.sampled_from([0.5, 3, 30]))
def test_the_most_probable_classes_are_kept(rows, k, seed, power):
    """The best class and its probability to the bit, the next ones to float16, the rest of the mass shared equally."""
    weights = np.random.default_rng(seed).random((rows, 9)) ** power
    probs = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    probs[0, :2] = probs[0].max()  # a tie: the first of the two is the best
    probs[0] /= probs[0].sum()
    read = dense(top_k(probs, k), 9)
    np.testing.assert_array_equal(read.argmax(axis=1), probs.argmax(axis=1))
    np.testing.assert_array_equal(read.max(axis=1), probs.max(axis=1))
    np.testing.assert_allclose(read.sum(axis=1), 1, atol=1e-5)
    order = np.argsort(-probs, axis=1, kind="stable")
    np.testing.assert_allclose(
        np.take_along_axis(read, order[:, :k], axis=1),
        np.take_along_axis(probs, order[:, :k], axis=1),
        rtol=2e-3,
        atol=1e-6,
    )
    rest = np.take_along_axis(read, order[:, k:], axis=1)
    np.testing.assert_allclose(rest, rest[:, :1].repeat(9 - k, axis=1), rtol=1e-5)


def test_of_equally_probable_classes_the_first_are_kept():
    """Also of many, which NumPy sorts by another method than few."""
    probs = np.random.default_rng(0).choice(np.float32([0.001, 0.01, 0.02]), (50, 300))
    kept = top_k(probs, 200)["classes"]
    for row, classes in zip(probs, kept, strict=True):
        assert classes.tolist() == sorted(range(300), key=lambda k: -row[k])[:200]


@pytest.mark.parametrize("k", [1, 2])
def test_the_best_of_equally_probable_classes_stays_the_best(k):
    """However 1 / K is rounded, and what is shared among the others."""
    for classes in range(k + 1, 200):
        uniform = np.full((1, classes), 1 / classes, np.float32)
        read = dense(top_k(uniform, k), classes)
        assert read.argmax() == 0
        assert read.max() == uniform[0, 0]


def test_more_classes_than_two_bytes_count():
    probs = np.zeros((1, 70_000), np.float32)
    probs[0, [69_999, 3]] = 0.75, 0.25
    assert top_k(probs, 2)["classes"].tolist() == [[69_999, 3]]


def test_labels_in_parts_read_like_one_array():
    probs = _tied(50, 6, levels=20, seed=3)
    stored = ShardedProbs([probs[:20], probs[20:20], probs[20:]], 6)
    assert stored.shape == probs.shape
    for rows in (np.array([3, 49, 20, 19, 3]), slice(None), slice(10, 40, 7), np.array([], int), -1, 20):
        np.testing.assert_array_equal(stored[rows], probs[rows])
    for outside in (50, -51):
        with pytest.raises(IndexError):
            stored[np.array([outside])]
    predicted, confidence = confidence_module.best_guesses(ShardedProbs([top_k(probs[:30], 2), probs[30:]], 6))
    np.testing.assert_array_equal(predicted, probs.argmax(axis=1))
    np.testing.assert_array_equal(confidence, probs.max(axis=1))

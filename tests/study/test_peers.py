"""scikit-learn's classifiers as peers: on our splits, and graphs that spread labels as their paper says."""

import numpy as np
import pytest
from sklearn.neighbors import kneighbors_graph
from threadpoolctl import threadpool_limits

from experiments.study import definition, peers, rows
from noisy_student.runtime.errors import UserError
from noisy_student.settings import params
from noisy_student.sources.prepare import prepare
from support import ROOT

STUDY = "label-efficiency"


@pytest.fixture(autouse=True)
def at_root(monkeypatch):
    monkeypatch.chdir(ROOT)


@pytest.fixture(scope="module")
def splits():
    """Those of 20 labels, seed 0; the pool is short."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        data = params.check(definition.load(STUDY).parameters("student-3-20", "digits", 0)).data
        return peers.read_splits(data.model_copy(update={"unlabelled": 300}))


def test_the_splits_are_those_of_a_run(tmp_path):
    data = params.check(definition.load(STUDY).parameters("student-3-20", "digits", 3)).data
    found = peers.read_splits(data)
    counts = prepare(data, tmp_path)["images"]
    assert [len(part) for part in (found.labels, found.pool, found.truth)] == [
        counts[split] for split in ("labelled", "unlabelled", "test")
    ]
    assert np.bincount(found.labels).tolist() == [2] * 10
    for pixels, split in ((found.labelled, "labelled"), (found.pool, "unlabelled"), (found.test, "test")):
        images = np.load(tmp_path / split / "images.npy")
        np.testing.assert_allclose(pixels.reshape(images.shape) * 255, images, atol=1e-4)


def test_a_converged_graph_is_the_closed_form_of_its_paper(splits):
    """Zhou et al. 2004: F = (I - alpha S)^-1 Y, S = D^-1/2 W D^-1/2; here W is of directed neighbours, D of columns."""
    model = peers._fitted(peers.PEERS["LabelSpreading, 7-NN, converged"](splits), splits, with_pool=True)
    pixels = np.concatenate([splits.labelled, splits.pool])
    graph = kneighbors_graph(pixels, peers.NEIGHBOURS - 1, include_self=False).toarray()
    degrees = graph.sum(axis=0)
    degrees[degrees == 0] = 1
    scale = 1 / np.sqrt(degrees)
    labels = np.zeros((len(pixels), 10))
    labels[np.arange(20), splits.labels] = 1
    spread = np.linalg.solve(np.eye(len(pixels)) - 0.2 * scale[:, None] * graph * scale, labels)
    reached = spread.sum(axis=1) > 1e-9
    assert reached.sum() > 200
    np.testing.assert_array_equal(model.transduction_[reached], spread.argmax(axis=1)[reached])


def test_no_peer_sees_a_label_of_the_pool_or_of_a_test_image(splits):
    with threadpool_limits(1):
        before = list(peers.accuracies(splits))
        turned = list(peers.accuracies(splits._replace(truth=(splits.truth + 1) % 10)))
    assert [(row["peer"], row["use"]) for row in before] == [
        ("LabelSpreading, 7-NN", "inductive"),
        ("LabelSpreading, 7-NN", "transductive"),
        ("LabelSpreading, 7-NN, converged", "inductive"),
        ("LabelSpreading, 7-NN, converged", "transductive"),
        ("LabelSpreading, RBF", "inductive"),
        ("LabelSpreading, RBF", "transductive"),
        ("SelfTrainingClassifier", "inductive"),
        ("logistic regression, labels only", "inductive"),
    ]
    by_name = {(row["peer"], row["use"]): row for row in before}
    for name in ("LabelSpreading, 7-NN, converged", "SelfTrainingClassifier", "logistic regression, labels only"):
        assert by_name[name, "inductive"]["accuracy"] > 0.5, name  # ten classes
    assert max(row["accuracy"] for row in turned) < 0.25  # what was right is wrong now
    early, whole = (by_name[f"LabelSpreading, 7-NN{end}", "inductive"]["unreached"] for end in ("", ", converged"))
    assert whole <= early


def test_only_studies_over_numbers_of_labels_have_peers():
    with pytest.raises(UserError, match=r"studies/article\.yaml: peers are measured over numbers of labels"):
        list(peers.measure("article", definition.load("article"), "digits", seeds=1))


def test_committed_rows_can_be_measured_again():
    """One cell of each committed table."""
    paths = sorted((ROOT / "docs/studies/digits").glob("*.peers.csv"))
    assert paths
    for path in paths:
        name = path.name.removesuffix(".peers.csv")
        cell = [row for row in rows.read_peers(name, "digits") if (row["seed"], row["x"]) == (0, 20)]
        measured = {(row["peer"], row["use"]): row for row in cell}
        data = params.check(definition.load(name).parameters("student-3-20", "digits", 0)).data
        with threadpool_limits(1):
            again = list(peers.accuracies(peers.read_splits(data)))
        for row in again:
            assert measured[row["peer"], row["use"]]["accuracy"] == pytest.approx(row["accuracy"], abs=0.004)

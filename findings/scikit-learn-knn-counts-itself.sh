#!/usr/bin/env bash
# scikit-learn 1.9.1: the k nearest neighbours of LabelSpreading and LabelPropagation count the sample itself.
#
# Guess before the run: kernel="knn", n_neighbors=k connects every sample with k others, and LabelSpreading's graph is
# made symmetric first, as Zhou et al. 2004 have it.
# Seen on eight points of a line, the first and the last with a label: each row of the graph holds the sample itself and
# k - 1 others. With n_neighbors=1 nothing spreads, without a warning, and all six are called the first class. With 2,
# where every point looks to its left neighbour, all but the last are of the first class: neighbours stay directed, and
# the normalised graph is not symmetric. For new samples (`predict`) k is k. Known: scikit-learn, issue 11784.
# For us: the peers "7-NN" of experiments/study/peers.py look to six other images while they are fitted; docs/studies.md.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check scikit-learn==1.9.1 numpy==2.4.6
OMP_NUM_THREADS=1 "$folder/venv/bin/python" - <<'PYTHON'
import sys
import warnings

import numpy as np
import sklearn
from sklearn.semi_supervised import LabelPropagation, LabelSpreading

warnings.simplefilter("error")
line = np.cumsum(np.arange(10, 18))[:, None] / 10  # gaps grow: the nearest neighbour lies on the left, but of the first
labels = np.full(8, -1)
labels[0], labels[-1] = 0, 1


def spread(estimator, neighbours):
    model = estimator(kernel="knn", n_neighbors=neighbours, max_iter=10_000, tol=1e-9).fit(line, labels)
    print(f"scikit-learn {sklearn.__version__} {estimator.__name__}, n_neighbors={neighbours}: {model.transduction_}")
    return model


alone = [spread(estimator, 1) for estimator in (LabelPropagation, LabelSpreading)]
nothing = all((model.transduction_ == [0] * 7 + [1]).all() for model in alone)
unreached = (alone[1].label_distributions_[1:-1] == 0).all()
two = spread(LabelSpreading, 2)
directed = (two.transduction_ == [0] * 7 + [1]).all() and two.label_distributions_[-2, 0] == 1
graph = two._build_graph().toarray()
others = set((graph != 0).sum(axis=1).tolist())
symmetric = np.allclose(graph, graph.T)
print(f"n_neighbors=2: other samples a row of the graph {others}, symmetric: {symmetric}")
seen = nothing and unreached and directed and others == {1} and not symmetric
sys.exit(0 if seen else 1)
PYTHON

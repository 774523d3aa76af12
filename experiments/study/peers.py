"""Measure independent peers: scikit-learn's semi-supervised classifiers on a study's pixels and splits.

python -m experiments.study.peers label-efficiency              # all rows anew, some minutes
python -m experiments.study.peers label-efficiency --seeds 3    # fewer seeds

The rows are docs/studies/PRESET/NAME.peers.csv. No network and none of our training takes part: the images are those
that `prepare` writes with a run's parameters, as rows of grey levels from 0 to 1. What is set differently from
scikit-learn's defaults stands in `PEERS`; nothing was tuned. All but one are trained on the labelled images and the
pool. "Inductive" peers then classify test images that they have not seen, as our models do; "transductive" ones had
the test images, without labels, in their graph.
"""

import argparse
import contextlib
import io
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import sklearn
from sklearn.base import ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.semi_supervised import LabelSpreading, SelfTrainingClassifier
from threadpoolctl import threadpool_limits

from commands import at_least_one, new_parser
from experiments.study import definition
from experiments.study.definition import Study
from experiments.study.rows import peers_path
from noisy_student.data.arrays import open_images, open_labelled
from noisy_student.runtime import console
from noisy_student.runtime.errors import UserError
from noisy_student.runtime.files import write_csv
from noisy_student.runtime.types import Floats, Labels
from noisy_student.settings import params
from noisy_student.settings.schema import DataParams
from noisy_student.sources.prepare import prepare

UNLABELLED = -1  # scikit-learn's mark
NEIGHBOURS = 7  # the default, and the image itself is one of them
INDUCTIVE, TRANSDUCTIVE = "inductive", "transductive"


class Splits(NamedTuple):
    """Images (N, D) in [0, 1], and labels (N,) where there are any."""

    labelled: Floats
    labels: Labels
    pool: Floats
    test: Floats
    truth: Labels  # of the test images

    @property
    def width(self) -> float:
        """scikit-learn's rule for the RBF kernel of SVC, `gamma="scale"`: 1 / (D * variance)."""
        pixels = np.concatenate([self.labelled, self.pool])
        return float(1 / (pixels.shape[1] * pixels.var()))


def _logistic() -> LogisticRegression:
    return LogisticRegression(max_iter=1000)  # 100, the default, do not suffice


Peer = Callable[[Splits], ClassifierMixin]
# The default width of the RBF kernel, gamma=20, is that of a plane: on pixels no image is a neighbour of another.
PEERS: dict[str, Peer] = {
    "LabelSpreading, 7-NN": lambda splits: LabelSpreading(kernel="knn", n_neighbors=NEIGHBOURS),
    # with scikit-learn's tolerance it ends before every image is reached, see findings/scikit-learn-label-spreading.sh
    "LabelSpreading, 7-NN, converged": lambda splits: LabelSpreading(
        kernel="knn", n_neighbors=NEIGHBOURS, tol=1e-12, max_iter=1000
    ),
    "LabelSpreading, RBF": lambda splits: LabelSpreading(kernel="rbf", gamma=splits.width),
    "SelfTrainingClassifier": lambda splits: SelfTrainingClassifier(_logistic(), threshold=0.75),
    "logistic regression, labels only": lambda splits: _logistic(),
}


def parser() -> argparse.ArgumentParser:
    """That of this command."""
    own = new_parser("experiments.study.peers", __doc__)
    own.add_argument("study", metavar="NAME", help="a file of studies/ that says `over`")
    own.add_argument(
        "--preset", default=definition.HOME, metavar="NAME", help=f"a file of presets/; default: {definition.HOME}"
    )
    own.add_argument("--seeds", type=at_least_one, metavar="N", help="how many, from 0 on; default: as the study says")
    return own


def main() -> None:
    """Measure the peers of a study, and write their rows."""
    arguments = parser().parse_args()
    try:
        study = definition.load(arguments.study)
        seeds = arguments.seeds or study.seeds_with(arguments.preset)
        rows = list(measure(arguments.study, study, arguments.preset, seeds=seeds))
    except UserError as error:
        sys.exit(f"error: {error}")
    path = peers_path(arguments.study, arguments.preset)
    write_csv(path, rows)
    print(f"{path}: {len(rows)} rows")


def measure(name: str, study: Study, preset: str, *, seeds: int) -> Iterator[dict[str, Any]]:
    """Yield rows of peer, use, x (the value of the study's parameter `over`), seed, accuracy and unreached.

    `unreached` is the share of the pool's images that no label has reached; empty of peers without a graph.

    Raises:
        UserError: the study has no line over numbers of labels.
    """
    for x, arm in arms_by_x(name, study, preset).items():
        for seed in range(seeds):
            data = params.check(study.parameters(arm, preset, seed)).data
            splits = read_splits(data)
            common = {"x": x, "seed": seed, "scikit_learn": sklearn.__version__}
            with threadpool_limits(1):  # two threads on two busy cores take twenty times as long
                yield from [{**row, **common} for row in accuracies(splits)]
            print(f"{study.over}={x}, seed {seed}: done", file=sys.stderr, flush=True)


def arms_by_x(name: str, study: Study, preset: str) -> dict[float, str]:
    """{value of the parameter `over`: the first arm with it}.

    Raises:
        UserError: the study has no line over numbers of labels.
    """
    arms: dict[float, str] = {}
    for key, arm in study.arms.items():
        x = (study.changes(preset) | arm.changes(preset)).get(study.over or "")
        if arm.line and x is not None:
            arms.setdefault(x, key)
    if study.over != "data.labelled" or not arms:
        raise UserError(
            f"studies/{name}.yaml: peers are measured over numbers of labels; it has no `over: data.labelled`."
        )
    return arms


def read_splits(data: DataParams) -> Splits:
    """The splits as `prepare` writes them, the same that a run with these parameters has."""
    with tempfile.TemporaryDirectory() as folder:
        with contextlib.redirect_stdout(io.StringIO()):
            prepare(data, Path(folder))
        labelled, test = (open_labelled(Path(folder, split)) for split in ("labelled", "test"))
        pool = open_images(Path(folder, "unlabelled"))
        return Splits(
            *(_rows(labelled.images), np.array(labelled.labels), _rows(pool)),
            *(_rows(test.images), np.array(test.labels)),
        )


def _rows(images):
    return np.asarray(images[np.arange(len(images))], np.float32).reshape(len(images), -1) / 255


def accuracies(splits: Splits) -> Iterator[dict[str, Any]]:
    """Yield peer, use, accuracy and unreached of every peer; the graphs are used both ways."""
    for name, peer in PEERS.items():
        graph = name.startswith("LabelSpreading")
        model = _fitted(peer(splits), splits, with_pool=graph or name == "SelfTrainingClassifier")
        unreached = _unreached(model)[len(splits.labels) :].mean() if graph else None
        with np.errstate(invalid="ignore"):  # where no neighbour has a label: 0 / 0, and then the first class
            predicted = model.predict(splits.test)
        yield _row(name, INDUCTIVE, predicted, splits, unreached)
        if graph:
            with_test = splits._replace(pool=np.concatenate([splits.pool, splits.test]))
            model = _fitted(peer(splits), with_test, with_pool=True)
            missed = _unreached(model)[len(splits.labels) : -len(splits.test)].mean()
            yield _row(name, TRANSDUCTIVE, model.transduction_[-len(splits.test) :], splits, missed)


def _fitted(model, splits, *, with_pool):
    if not with_pool:
        return model.fit(splits.labelled, splits.labels)
    labels = np.concatenate([splits.labels, np.full(len(splits.pool), UNLABELLED)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(np.concatenate([splits.labelled, splits.pool]), labels)


def _unreached(model):
    """(N,) whether a row has no label at all: scikit-learn gives it the first class without a word."""
    return model.label_distributions_.sum(axis=1) == 0


def _row(name, use, predicted, splits, unreached):
    accuracy = float((predicted == splits.truth).mean())
    return {
        "peer": name,
        "use": use,
        "accuracy": round(accuracy, 6),
        "unreached": "" if unreached is None else round(float(unreached), 6),
    }


if __name__ == "__main__":
    console.use_utf8()
    main()

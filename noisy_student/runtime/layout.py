"""Where the stages keep their files, relative to the repository's root, and what models are called.

`dvc.yaml` names the same paths; `tests/test_dvc_yaml.py` compares the two.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

PREPARED = Path("data/prepared")
# All that the stages write lies in these. DVC removes at will what lies in an output, whoever put it there: no input
# may be, hold or lie in one. The rest of data/ holds inputs only.
GENERATED = (PREPARED, Path("models"), Path("metrics"), Path("checkpoints"))

CHECKED = PREPARED / "checked.json"
LABELLED = PREPARED / "labelled"
VALIDATION = PREPARED / "validation"
UNLABELLED = PREPARED / "unlabelled"
TEST = PREPARED / "test"  # read by the stages of eval and robustness only
TRUTH = PREPARED / "truth/unlabelled.npy"  # read by the stages of eval only
CLASSES = PREPARED / "classes.json"
SPLITS = PREPARED / "splits.json"  # where their images come from, their licence and SHA-256: for the model cards
DOWNLOADS = PREPARED / "downloads"  # no output of DVC: a download counts by its hash in params.yaml
DATA_METRICS = Path("metrics/data.json")
EVAL_METRICS = Path("metrics/eval.json")
EVALUATIONS = Path("metrics/tables/eval")  # what eval-teacher, eval and eval-extra write, a folder a model
METRICS = "metrics.json"  # in each of these folders
RESULT_TABLES = Path("metrics/tables/results")
RESULT_PLOTS = Path("metrics/plots/results")
RUN_RECORD = Path("metrics/run.json")  # no output of DVC: it holds times


def generated_folder_at(path: str | Path) -> Path | None:
    """The folder of generated files that `path` is, holds or lies in, links and `..` resolved; None: there is none.

    In a copy of the project that DVC made for an experiment (`--temp`, `--queue`) the project's own are meant too.
    """
    outer, inside, _ = str(Path.cwd()).partition(f"{os.sep}.dvc{os.sep}tmp{os.sep}exps{os.sep}")
    for root in [Path.cwd(), *([Path(outer)] if inside else [])]:
        for folder in GENERATED:
            if any(_overlap(a, b) for a in _forms(path) for b in _forms(root / folder)):
                return folder
    return None


def _forms(path):
    """A path as it is written and as it is: `..` after a link leads elsewhere."""
    return {Path(os.path.abspath(path)), Path(os.path.realpath(path))}  # not `resolve`: it raises at a loop of links


def _overlap(a, b):
    return _holds(a, b) or _holds(b, a)


def _holds(outer, inner):
    """Whether `inner` is `outer` or lies in it, also if the two are written differently (case, mounts)."""
    return any(outer == path or _same(outer, path) for path in (inner, *inner.parents))


def _same(a, b):
    try:
        return os.path.samefile(a, b)
    except OSError:
        return False


class _Named(str):
    """A path with the name of a model in it."""

    def __get__(self, model: Model, owner: type) -> Path:
        return Path(self.format(model.name))


@dataclass(frozen=True)
class Model:
    """A trained model, known by its generation's key in params.yaml (None: the teacher), and where its files lie."""

    generation: str | None = None

    path = _Named("models/{}.keras")
    curves = _Named("metrics/training/{}.csv")
    summary = _Named("metrics/models/{}.json")  # its size, and how its training went
    evaluation = _Named("metrics/tables/eval/{}")  # metrics.json, and tables
    evaluation_plots = _Named("metrics/plots/eval/{}")
    evaluation_outcomes = _Named("data/prepared/evaluation/{}")  # what it said of each test image
    robustness = _Named("metrics/robustness/{}.json")  # the figures that `dvc metrics diff` compares
    robustness_tables = _Named("metrics/tables/robustness/{}")  # summary.json, and tables
    robustness_plots = _Named("metrics/plots/robustness/{}")
    robustness_outcomes = _Named("data/prepared/robustness/{}")  # what it said of each corrupted image
    card = _Named("metrics/cards/{}.md")  # students only

    @classmethod
    def named(cls, name: str) -> Model:
        """The model whose `name` it is."""
        model = cls(name.partition("-")[2] or None)
        if model.name != name:
            raise ValueError(f"{name!r}: a model is called teacher or student-KEY")
        return model

    @property
    def section(self) -> str:
        """The section of params.yaml that it is trained by, to which messages point."""
        return "teacher" if self.generation is None else "student"

    @property
    def name(self) -> str:
        """ "teacher" or "student-KEY", in files, metrics and seeds."""
        return self.section if self.generation is None else f"{self.section}-{self.generation}"

    @property
    def stage(self) -> str:
        """The stage of DVC that trains it, e.g. "student@gen1"."""
        return self.section if self.generation is None else f"{self.section}@{self.generation}"

    @property
    def evaluation_stage(self) -> str:
        """The stage of DVC that measures it on the test split."""
        return "eval-teacher" if self.generation is None else f"eval@{self.generation}"

    @property
    def robustness_stage(self) -> str:
        """The stage of DVC that measures it on changed images."""
        return "robustness-teacher" if self.generation is None else f"robustness@{self.generation}"


TEACHER = Model()


def pseudo_labels(generation: str) -> Path:
    """The folder of the teacher's distributions over the unlabelled pool, a file a shard: `data.probs`."""
    return PREPARED / f"pseudo_labels/{generation}"


def balanced(generation: str) -> Path:
    """The rows of the unlabelled pool that the student is trained on."""
    return PREPARED / f"balanced/{generation}.npy"


def learned_from(model: str) -> Path:
    """The rows of the unlabelled pool that a model was trained on; of the teacher none."""
    return PREPARED / f"learned_from/{model}.npy"


def balance_tables(generation: str) -> Path:
    """What filtering and balancing did, as CSV."""
    return Path(f"metrics/tables/balance/{generation}")


def of_generation(key: str) -> list[Path]:
    """Where the files of a generation and of its student lie; of "*" patterns of all."""
    own = [file.__get__(Model(key), Model) for file in vars(Model).values() if isinstance(file, _Named)]
    return [*own, balance_tables(key), pseudo_labels(key), balanced(key), learned_from(Model(key).name)]


def extra_test(key: str) -> Path:
    """The images of an extra test set."""
    return PREPARED / "extra" / key


def extra_evaluation(key: str, model: Model) -> Path:
    """The folder of what a model is worth on an extra test set: metrics.json."""
    return EVALUATIONS / "extra" / key / model.name

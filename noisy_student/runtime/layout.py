"""Where the stages keep their files, relative to the repository's root.

`dvc.yaml` names the same paths; `tests/test_dvc_yaml.py` compares the two.
"""

from pathlib import Path

LABELLED = Path("data/labelled")
VALIDATION = Path("data/validation")
UNLABELLED = Path("data/unlabelled")
TEST = Path("data/test")  # read by eval and robustness only
TRUTH = Path("data/truth/unlabelled.npy")  # read by eval only
CLASSES = Path("data/classes.json")
DATA_METRICS = Path("metrics/data.json")
EVAL_METRICS = Path("metrics/eval.json")
RUN_RECORD = Path("metrics/run.json")  # no output of DVC: it holds times
EVAL_PLOTS = Path("metrics/plots/eval")
EVAL_TABLES = Path("metrics/tables/eval")

TEACHER = "teacher"


def student(generation):
    """Name of the student model of a generation."""
    return f"student-{generation}"


def model(name):
    """The saved model of "teacher" or "student-KEY"."""
    return Path(f"models/{name}.keras")


def curves(name):
    """The learning curves of a training."""
    return Path(f"metrics/training/{name}.csv")


def summary(name):
    """Size of a model and how its training went."""
    return Path(f"metrics/models/{name}.json")


def pseudo_labels(generation):
    """The teacher's distributions over the unlabelled pool."""
    return Path(f"data/pseudo_labels/{generation}.npy")


def balanced(generation):
    """The rows of the unlabelled pool that the student is trained on."""
    return Path(f"data/balanced/{generation}.npy")


def balance_tables(generation):
    """What filtering and balancing did, as CSV."""
    return Path(f"metrics/tables/balance/{generation}")


def extra_test(key):
    """The images of an extra test set."""
    return Path(f"data/extra/{key}")


def unlisted_extra_tests(extra_tests):
    """Folders of test sets that `params.yaml` does not list any more; see `unlisted`."""
    folders = (path for path in Path("data/extra").glob("*") if path.is_dir())
    return sorted(path for path in folders if path.name not in extra_tests)


def robustness(name):
    """Figures of a model's robustness."""
    return Path(f"metrics/robustness/{name}.json")


def robustness_tables(name):
    """The same in detail, as CSV."""
    return Path(f"metrics/tables/robustness/{name}")


def robustness_plots(name):
    """The same as pictures."""
    return Path(f"metrics/plots/robustness/{name}")


def robustness_outcomes(name):
    """What the model said of each corrupted image."""
    return Path(f"data/robustness/{name}")


def unlisted(generations):
    """Files and folders of generations that `params.yaml` does not list any more.

    `eval` depends on whole folders, so they would enter its record in dvc.lock. DVC's cache keeps copies.

    Args:
        generations: the keys that are listed.
    """
    patterns = (
        ("models/student-*.keras", "student-"),
        ("metrics/models/student-*.json", "student-"),
        ("metrics/training/student-*.csv", "student-"),
        ("metrics/tables/balance/*", ""),
        ("metrics/robustness/student-*.json", "student-"),
        ("metrics/plots/robustness/student-*", "student-"),
        ("metrics/tables/robustness/student-*", "student-"),
        ("data/robustness/student-*", "student-"),
        ("data/pseudo_labels/*.npy", ""),
        ("data/balanced/*.npy", ""),
    )
    return [
        path
        for pattern, prefix in patterns
        for path in sorted(Path().glob(pattern))
        if path.stem.removeprefix(prefix) not in generations
    ]

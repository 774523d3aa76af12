"""What studies measure of a run: the columns of their rows, each with the file of the run that it is read from."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from noisy_student.runtime import layout
from noisy_student.runtime.layout import Model
from noisy_student.steps import reported

Read = Callable[[str], Any]  # from the path of a JSON file of the run to its content


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        title: in tables.
        factor: by which tables multiply.
        source: from `read` and the model's name to what a file of the run says of it.
        key: where the value stands in that, keys with dots between.
        of_teacher: whether it is the value of the model's teacher.
    """

    title: str
    factor: float
    source: Callable[[Read, str], Any]
    key: str
    of_teacher: bool = False

    def value(self, read: Read, model: str, teacher: str) -> Any:
        """The value in a run; None if it was not measured."""
        value = self.source(read, teacher if self.of_teacher else model)
        for part in self.key.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        return value


def _tested(read, model):
    return read(layout.EVAL_METRICS.as_posix())[model]


def _summary(read, model):
    return read(Model.named(model).summary.as_posix())


def _robustness(read, model):
    return read(Model.named(model).robustness.as_posix())


def _reported(listed):
    columns = {}
    for metric in reported.for_tables(listed):
        if metric.study:
            title, factor = metric.study
            columns[metric.name] = Column(title, factor, _tested, metric.name)
            if metric.of_teacher:
                columns[f"teacher_{metric.name}"] = Column("its teacher's, %", factor, _tested, metric.name, True)
    return columns


_ROBUSTNESS = {
    "corruption_error": Column("error on corrupted images, %", 100, _robustness, "mean_corruption_error"),
    "flip_probability": Column("flip probability, %", 100, _robustness, "mean_flip_probability"),
    "fgsm_accuracy": Column("accuracy under FGSM 4/255, %", 100, _robustness, "fgsm_accuracy.4"),
}

METRICS = {
    **_reported(reported.TEST),
    "validation_accuracy": Column("validation accuracy, %", 100, _summary, "best.validation_accuracy"),
    **_reported(reported.POOL),
    **_ROBUSTNESS,
    **{
        f"teacher_{name}": Column(f"teacher: {column.title}", column.factor, column.source, column.key, True)
        for name, column in _ROBUSTNESS.items()
    },
}

ROBUSTNESS = frozenset(name for name, column in METRICS.items() if column.source is _robustness)

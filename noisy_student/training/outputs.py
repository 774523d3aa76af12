"""What a training leaves behind."""

from noisy_student import figures, layout
from noisy_student.files import write_csv, write_json
from noisy_student.models.saving import save


def write_training(name, trained):
    """Write learning curves (CSV and PNG), summary and, last, the model.

    Args:
        name: "teacher" or "student-KEY".
        trained: `noisy_student.training.train.Trained`.
    """
    write_csv(layout.curves(name), trained.history)
    figures.learning_curves(layout.curves_plot(name), name, trained.history, best=trained.summary["best"])
    write_json(layout.summary(name), trained.summary)
    save(trained.model, layout.model(name))

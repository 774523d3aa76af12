"""Stage teacher: train on the labelled images."""

from noisy_student import backends, layout, params
from noisy_student.data.arrays import open_labelled
from noisy_student.files import read_json
from stages.entry import run


def main():
    """Train the teacher of params.yaml on data/labelled and save it as models/teacher.keras."""
    settings = params.load()
    backends.select(settings.backend)  # before anything imports Keras
    from noisy_student.training.outputs import write_training
    from noisy_student.training.train import teacher_shares, train

    names = read_json(layout.CLASSES)
    trained = train(
        settings,
        settings.teacher,
        teacher_shares(settings.teacher, open_labelled(layout.LABELLED, classes=names), classes=len(names)),
        name=layout.TEACHER,
        validation=open_labelled(layout.VALIDATION, classes=names),
        classes=len(names),
    )
    write_training(layout.TEACHER, trained)


if __name__ == "__main__":
    run(main)

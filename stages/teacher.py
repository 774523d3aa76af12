"""Stage teacher: train on the labelled images."""

from noisy_student import backends
from noisy_student.data.arrays import labelled_files, open_labelled
from noisy_student.runtime import layout
from noisy_student.runtime.files import read_json
from noisy_student.settings import params
from stages.entry import run


def main():
    """Train the teacher of params.yaml on data/labelled and save it as models/teacher.keras."""
    settings = params.load()
    backends.select(settings.backend)  # before anything imports Keras
    from noisy_student.steps.training import train_and_write
    from noisy_student.training.shares import teacher_shares

    names = read_json(layout.CLASSES)
    labelled = open_labelled(layout.LABELLED, classes=names)
    return train_and_write(
        settings,
        settings.teacher,
        teacher_shares(settings.teacher, labelled, classes=len(names)),
        stage="teacher",
        name=layout.TEACHER,
        inputs=[layout.CLASSES, *labelled_files(layout.LABELLED), *labelled_files(layout.VALIDATION)],
        labelled=labelled,
        validation=open_labelled(layout.VALIDATION, classes=names),
        classes=len(names),
    )


if __name__ == "__main__":
    run(main)

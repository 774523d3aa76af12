"""Stage student: train on labelled and pseudo-labelled images, noised."""

from noisy_student import backends
from noisy_student.data.arrays import (
    images_files,
    labelled_files,
    open_images,
    open_labelled,
    open_probs,
    open_rows,
)
from noisy_student.runtime import layout
from noisy_student.runtime.files import read_json
from noisy_student.settings import params
from stages.entry import run


def main(generation):
    """Train the student of GENERATION and save it as models/student-GENERATION.keras."""
    settings = params.load()
    chosen = settings.generation(generation)
    backends.select(settings.backend)  # before anything imports Keras
    from noisy_student.inference.saving import load
    from noisy_student.steps.training import train_and_write
    from noisy_student.training.shares import student_shares

    names, from_teacher = read_json(layout.CLASSES), chosen.student.init == "teacher"
    labelled = open_labelled(layout.LABELLED, classes=names)
    pool = open_images(layout.UNLABELLED)
    rows = None
    if chosen.student.uses_pseudo_labels:
        rows = open_rows(layout.balanced(generation), images=len(pool))
    shares = student_shares(
        chosen.student,
        labelled,
        unlabelled=pool,
        probs=open_probs(layout.pseudo_labels(generation), images=len(pool), classes=len(names)),
        rows=rows,
        kind=chosen.pseudolabel.kind,
        classes=len(names),
    )
    return train_and_write(
        settings.with_noise(chosen.noise),
        chosen.student,
        shares,
        stage=f"student@{generation}",
        name=layout.student(generation),
        settings=chosen.model_dump(),
        inputs=[
            layout.CLASSES,
            *labelled_files(layout.LABELLED),
            *labelled_files(layout.VALIDATION),
            *images_files(layout.UNLABELLED),
            layout.pseudo_labels(generation),
            layout.balanced(generation),
            *([layout.model(chosen.teacher)] if from_teacher else []),
        ],
        labelled=labelled,
        validation=open_labelled(layout.VALIDATION, classes=names),
        classes=len(names),
        initial=load(layout.model(chosen.teacher)) if from_teacher else None,
    )


if __name__ == "__main__":
    run(main, key="generation")

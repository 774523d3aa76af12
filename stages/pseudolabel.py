"""Stage pseudolabel: the teacher's distribution for every unlabelled image."""

from noisy_student import backends
from noisy_student.data.arrays import images_files, open_images
from noisy_student.runtime import layout
from noisy_student.runtime.files import read_json
from noisy_student.settings import params
from stages.entry import run


def main(generation):
    """Label data/unlabelled with the teacher of GENERATION."""
    settings = params.load()
    backends.select(settings.backend)  # before anything imports Keras
    from noisy_student.steps.labelling import pseudo_label

    return pseudo_label(
        settings,
        generation,
        open_images(layout.UNLABELLED),
        layout.pseudo_labels(generation),
        classes=len(read_json(layout.CLASSES)),
        inputs=images_files(layout.UNLABELLED),
    )


if __name__ == "__main__":
    run(main, key="generation")

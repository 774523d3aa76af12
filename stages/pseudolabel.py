"""Stage pseudolabel: the teacher's distribution for every unlabelled image."""

from noisy_student import backends, layout, params
from noisy_student.data.arrays import open_images
from noisy_student.files import write_array
from stages.entry import run


def main(generation):
    """Label data/unlabelled with the teacher of GENERATION."""
    settings = params.load()
    backends.select(settings.backend)  # before anything imports Keras
    from noisy_student.pseudo_label import pseudo_label

    probs = pseudo_label(settings, generation, open_images(layout.UNLABELLED))
    write_array(layout.pseudo_labels(generation), probs)


if __name__ == "__main__":
    run(main, generation=True)

"""Stage pseudolabel: the teacher's distribution for every unlabelled image."""

from noisy_student import backends, layout, params
from noisy_student.data.arrays import images_file, open_images
from stages.entry import run


def main(generation):
    """Label data/unlabelled with the teacher of GENERATION."""
    settings = params.load()
    backends.select(settings.backend)  # before anything imports Keras
    from noisy_student.pseudo_label import pseudo_label

    images = open_images(layout.UNLABELLED)
    path, inputs = layout.pseudo_labels(generation), [images_file(layout.UNLABELLED)]
    return pseudo_label(settings, generation, images, path, inputs=inputs)


if __name__ == "__main__":
    run(main, generation=True)

"""Stage balance: keep the confident pseudo-labels and make the classes equal."""

import numpy as np

from noisy_student.data.arrays import open_images, open_probs
from noisy_student.runtime import layout
from noisy_student.runtime.files import read_json, write_array
from noisy_student.settings import params
from noisy_student.steps.selection import select, write_tables
from stages.entry import run


def main(generation):
    """Choose the pseudo-labelled images of GENERATION's student."""
    settings = params.load()
    images = open_images(layout.UNLABELLED)
    settings, names = settings.generation(generation), read_json(layout.CLASSES)
    probs = open_probs(layout.pseudo_labels(generation), images=len(images), classes=len(names))
    if settings.student.uses_pseudo_labels:
        rows = select(probs, settings.pseudolabel, settings.balance, class_names=names)
    else:  # none need be confident
        rows = np.empty(0, np.int64)
    write_tables(
        layout.balance_tables(generation),
        probs,
        rows,
        class_names=names,
        pseudolabel=settings.pseudolabel,
    )
    write_array(layout.balanced(generation), rows)


if __name__ == "__main__":
    run(main, key="generation")

"""Stage pseudolabel: the teacher's distribution for every unlabelled image."""

from typing import Any

from noisy_student import backends
from noisy_student.data.arrays import write_no_probs
from noisy_student.runtime import layout
from noisy_student.settings import params
from stages.entry import run


def main(generation: str) -> dict[str, Any]:
    """Label data/prepared/unlabelled with the teacher of GENERATION, unless its student learns from labels only."""
    settings = params.load()
    if not settings.generation(generation).student.uses_pseudo_labels:
        write_no_probs(layout.pseudo_labels(generation))
        return {"images": 0}
    backends.select(settings.backend, settings.arithmetic)  # before anything imports Keras
    from noisy_student.steps.labelling import label_pool

    return label_pool(settings, generation)


if __name__ == "__main__":
    run(main)

"""Stage balance: keep the confident pseudo-labels and make the classes equal."""

from noisy_student.settings import params
from noisy_student.steps.selection import select_and_write
from stages.entry import run


def main(generation: str) -> None:
    """Choose the pseudo-labelled images of GENERATION's student."""
    select_and_write(params.load(), generation)


if __name__ == "__main__":
    run(main)

"""Stage card: the model card of a generation's student."""

from noisy_student.settings import params
from noisy_student.steps.card import write_card
from stages.entry import run


def main(generation: str) -> None:
    """Write the model card of the student of GENERATION."""
    write_card(params.load(), generation)


if __name__ == "__main__":
    run(main)

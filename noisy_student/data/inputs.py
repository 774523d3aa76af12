"""What a stage reads: opened where it is first asked for, checked, and remembered for the checkpoints' digest."""

from functools import cached_property
from pathlib import Path

from noisy_student.data.arrays import images_files, open_images, open_labelled, open_probs, open_rows
from noisy_student.data.labelled import LabelledImages
from noisy_student.data.probs import ShardedProbs
from noisy_student.data.views import Images
from noisy_student.runtime import layout
from noisy_student.runtime.files import read_json
from noisy_student.runtime.types import Rows


class Inputs:
    """The inputs of one run of a stage."""

    def __init__(self) -> None:
        self.files: list[Path] = []  # those by which all that was opened is known, in that order

    def file(self, path: Path) -> Path:
        """The path, remembered: whoever asks for it opens it."""
        self.files.append(path)
        return path

    def images_and_labels(self, folder: Path) -> LabelledImages:
        """A labelled folder of `prepare`'s or of an extra test set."""
        self.files += [*images_files(folder), folder / "labels.npy"]
        return open_labelled(folder, classes=self.classes)

    @cached_property
    def classes(self) -> list[str]:
        """Their names."""
        return read_json(self.file(layout.CLASSES))

    @cached_property
    def labelled(self) -> LabelledImages:
        return self.images_and_labels(layout.LABELLED)

    @cached_property
    def validation(self) -> LabelledImages:
        return self.images_and_labels(layout.VALIDATION)

    @cached_property
    def test(self) -> LabelledImages:
        """Only for stages that report on it."""
        return self.images_and_labels(layout.TEST)

    @cached_property
    def pool(self) -> Images:
        """The unlabelled images."""
        self.files += images_files(layout.UNLABELLED)
        return open_images(layout.UNLABELLED)

    def probs(self, generation: str) -> ShardedProbs:
        """What the teacher of a generation says of the pool."""
        found = open_probs(layout.pseudo_labels(generation), images=len(self.pool), classes=len(self.classes))
        self.files += found.files
        return found

    def rows(self, generation: str) -> Rows:
        """The rows of the pool that balancing chose for a generation's student."""
        return open_rows(self.file(layout.balanced(generation)), images=len(self.pool))

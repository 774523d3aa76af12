"""What a stage reads: opened where it is first asked for, checked, and remembered for the checkpoints' digest."""

from functools import cached_property
from pathlib import Path

from noisy_student.data.arrays import images_files, open_images, open_labelled, open_probs, open_rows
from noisy_student.data.labelled import LabelledImages
from noisy_student.data.probs import ROWS, AtRows, ShardedProbs
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
        """What the teacher of a generation says of the pool, or of the rows that are `labelled_rows`."""
        return self._probs(generation)[0]

    def probs_by_row(self, generation: str) -> ShardedProbs | AtRows:
        """The same, to be asked by rows of the pool."""
        return self._probs(generation)[1]

    def _probs(self, generation):
        rows = self.labelled_rows(generation)
        images = len(self.pool) if rows is None else len(rows)
        found = open_probs(layout.pseudo_labels(generation), images=images, classes=len(self.classes))
        self.files += found.files
        return found, found if rows is None else AtRows(found, rows)

    def labelled_rows(self, generation: str) -> Rows | None:
        """The rows of the pool, ascending, that the teacher of a generation has labelled; None: all."""
        path = layout.pseudo_labels(generation) / ROWS
        return open_rows(self.file(path), images=len(self.pool)) if path.exists() else None

    def learned_from(self, model: str) -> Rows:
        """The rows of the pool, as they were chosen, that a student was trained on."""
        return open_rows(self.file(layout.learned_from(model)), images=len(self.pool))

    def rows(self, generation: str) -> Rows:
        """The rows of the pool that balancing chose for a generation's student."""
        return open_rows(self.file(layout.balanced(generation)), images=len(self.pool))

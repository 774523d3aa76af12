"""What every adapter has: its rules, and `load(data, read)`, which returns a `Source` with images of `data.image_size`.

`read` reads image files. Images that are missing, damaged or contradict the parameters raise DataError.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from noisy_student.data.labelled import LabelledImages
from noisy_student.data.views import Images
from noisy_student.runtime.types import Labels
from noisy_student.settings.schema import AUTO, HELD_BACK, OWN_SPLIT, DataParams, empty


def wants_own_split(data: DataParams) -> bool:
    """Whether the source's own unlabelled split, if it has one, is the pool."""
    return data.unlabelled_from in (AUTO, OWN_SPLIT)


def is_held_back(data: DataParams, *, has_own: bool) -> bool:
    """Whether the unlabelled images are the training images left over; `has_own`: there is an unlabelled split."""
    return data.unlabelled_from == HELD_BACK or (data.unlabelled_from == AUTO and not has_own)


def pool_faults(data: DataParams, *, has_own: bool) -> Iterator[str]:
    """Yield a line if images have to be held back and none can be."""
    if data.labelled is None and is_held_back(data, has_own=has_own):
        yield (
            "data.labelled: empty, so all images would be labelled and none held back as unlabelled; give a number, "
            "or set data.unlabelled_from to a folder of images"
        )


@dataclass(frozen=True)
class Rules:
    """What a source has, and so what the section `data` may ask for.

    Attributes:
        validation, test, unlabelled: whether it has such a split of its own.
        classes, train: how many classes and, at most, training images it has; None: its files say.
        sha256: of its official archive, or {file name: hash}, which `data.sha256` may replace; None: of nothing.
        licence: what its makers say of the use of its images, for the model card; None: unknown.
    """

    validation: bool = True
    test: bool = True
    unlabelled: bool = True
    classes: int | None = None
    train: int | None = None
    sha256: str | dict[str, str] | None = None
    licence: str | None = None

    def faults(self, data: DataParams) -> Iterator[str]:
        """Yield what is wrong, a line each."""
        if data.sha256 is not None:
            yield from self._faults_of_hashes(data)
        if data.validation is None and not self.validation:
            mend = "give the number of images to cut from its training images"
            yield f"data.validation: {data.source} has no validation images of its own; {mend}"
        if data.test is None and not self.test:
            yield f"data.test: {data.source} has no test split of its own; give the number of images to cut"
        if data.unlabelled_from == OWN_SPLIT and not self.unlabelled:
            mend = f"use {HELD_BACK} or the path of a folder of images"
            yield f"data.unlabelled_from: {data.source} has no unlabelled split of its own; {mend}"
        yield from pool_faults(data, has_own=self.unlabelled)

    def _faults_of_hashes(self, data):
        given, official = data.sha256, self.sha256
        if isinstance(given, dict) and isinstance(official, dict):
            unknown = ", ".join(sorted(set(given) - set(official)))
            if unknown:
                yield f"data.sha256: {data.source} has no file {unknown}; the names are {', '.join(official)}"
        elif type(given) is not type(official):
            wanted = {str: "one hash, of its archive", dict: "a mapping {file name: hash}", type(None): "none"}
            yield f"data.sha256: {data.source} takes {wanted[type(official)]}, or leave it {empty('data.sha256')}"


@dataclass(frozen=True)
class Source:
    """All splits of a source; None where it has no such split.

    Attributes:
        classes: class names; label k is `classes[k]`.
        train: the images from which labelled, validation and held-back images are cut.
        unlabelled_labels: truth of `unlabelled`, where the source knows it.
        unreadable: files that were skipped, each as "path: cause".
        origins: where train, validation, test and unlabelled come from, for the summary.
        unused: what the source holds and was not looked at, a line each.
        files: of a pool that is a list, what is known of its files, see `listed_pool`.
    """

    classes: tuple[str, ...]
    train: LabelledImages
    validation: LabelledImages | None = None
    test: LabelledImages | None = None
    unlabelled: Images | None = None
    unlabelled_labels: Labels | None = None
    unreadable: tuple[str, ...] = ()
    origins: Mapping[str, str] = field(default_factory=dict)
    unused: tuple[str, ...] = ()
    files: tuple[dict[str, Any], ...] = ()

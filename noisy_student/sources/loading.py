"""The source that the parameters name, with the unlabelled images that they name."""

import contextlib
import tempfile
from dataclasses import replace
from pathlib import Path

from noisy_student.data.levels import check_one_scale
from noisy_student.runtime.errors import DataError
from noisy_student.settings.params import refuse
from noisy_student.settings.schema import AUTO, HELD_BACK, LABELLED_POOL, OWN_SPLIT, PHOTOGRAPHS, DataParams
from noisy_student.sources import listed_pool, photographs
from noisy_student.sources.adapters import ADAPTERS
from noisy_student.sources.interface import Source
from noisy_student.sources.listed import is_list
from noisy_student.sources.reader import MemoryReader, Reader, read_ahead, read_folder
from noisy_student.sources.reading_tasks import add_record


def source_faults(data: DataParams) -> list[str]:
    """What the section `data` asks of its source that it does not have, a line each."""
    return list(ADAPTERS[data.source].RULES.faults(data))


def load_source(data: DataParams, read: Reader | None = None) -> Source:
    """Load the source `data.source` and the unlabelled images of `data.unlabelled_from`.

    `read` None is a `MemoryReader`. `unlabelled` is None if the pool comes from the training images. All images
    of more than 8 bits have to be scaled alike, those of the pool too.

    Raises:
        ParamsError: the parameters ask for what the source does not have; see `interface` for other errors.
    """
    refuse(source_faults(data))
    read = read or MemoryReader(size=data.image_size, resize=data.resize, levels=data.levels)
    try:
        source = _load_source(data, read)
        check_one_scale(read.depths, data.levels)
        return source
    except OSError as error:
        raise DataError(
            f"{error.filename}: {error.strerror}. Check data.root={data.root} and data.unlabelled_from="
            f"{data.unlabelled_from}, and that these files may be read."
        ) from error


def _load_source(data, read):
    source = ADAPTERS[data.source].load(data, read)
    if data.unlabelled_from in (AUTO, HELD_BACK, LABELLED_POOL):
        return source
    if data.unlabelled_from == PHOTOGRAPHS:
        return _with_pool(source, photographs.patches(data), "patches of two photographs")
    if is_list(data.unlabelled_from) and data.unlabelled_from != OWN_SPLIT:
        return _with_list(source, data, read)
    if data.unlabelled_from != OWN_SPLIT:
        return _with_folder(source, data, read)
    if source.unlabelled is None or not len(source.unlabelled):
        raise DataError(
            f"data.unlabelled_from={OWN_SPLIT}: {data.source} under data.root={data.root} has no unlabelled images of "
            f"its own. Put images under {Path(data.root) / 'unlabelled'}, or set data.unlabelled_from to {HELD_BACK} "
            "or to a folder of images."
        )
    return source


def _with_folder(source, data, read):
    path = Path(data.unlabelled_from)
    read_ahead([(path, True)], read)
    images, _, skipped = read_folder(path, read, recursive=True)
    if not len(images):
        raise DataError(
            f"data.unlabelled_from={path}: no readable image in this folder or below it ({len(skipped)} unreadable). "
            "Correct the path, or put images there."
        )
    unreadable = source.unreadable + tuple(f"{path.as_posix()}/{line}" for line in skipped)
    return replace(_with_pool(source, images, str(path)), unreadable=unreadable)


def _with_list(source, data, read):
    path = Path(data.unlabelled_from)
    with contextlib.ExitStack() as stack:
        folder = read.folder or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="noisy-student-")))
        listed = listed_pool.read_listed(path, data, folder)
        images = listed if read.folder else listed[:]
    read.depths += listed.depths
    add_record(read.record, listed.record)
    unreadable = source.unreadable + tuple(listed.unreadable)
    return replace(_with_pool(source, images, f"the list {path}"), unreadable=unreadable, files=tuple(listed.files))


def _with_pool(source, images, origin):
    origins = {**source.origins, "unlabelled": origin}
    return replace(source, unlabelled=images, unlabelled_labels=None, origins=origins)

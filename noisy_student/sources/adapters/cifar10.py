"""CIFAR-10, the official binary version, read straight from its archive.

Source: A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009;
https://www.cs.toronto.edu/~kriz/cifar.html. The archive for Python holds pickles, which can run any
code when they are loaded, so it is not read.
"""

import tarfile
import zlib
from pathlib import Path

import numpy as np

from noisy_student.data.images import resize_images
from noisy_student.data.labelled import LabelledImages
from noisy_student.runtime.errors import DataError
from noisy_student.settings.schema import DataParams
from noisy_student.sources.download import locate
from noisy_student.sources.interface import Rules, Source
from noisy_student.sources.reader import Reader

NAME = "cifar-10-binary.tar.gz"
URL = f"https://www.cs.toronto.edu/~kriz/{NAME}"
SHA256 = "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
LICENCE = "none stated by its makers; they ask to cite A. Krizhevsky 2009"
RULES = Rules(validation=False, unlabelled=False, classes=10, train=50_000, sha256=SHA256, licence=LICENCE)

TRAIN = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
TEST = ("test_batch.bin",)
META = "batches.meta.txt"
PICKLED = ("cifar-10-python.tar.gz", "cifar-10-batches-py")

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
RECORD = 1 + 3 * 32 * 32  # bytes: the label, then the red, green and blue planes row by row
MEMBER_LIMIT = 10_000 * RECORD  # bytes of each member of the official archive
META_LIMIT = 4096  # bytes
ARCHIVE_LIMIT = 10 * MEMBER_LIMIT  # bytes of all members, those that are passed over too
_MEND = "Use the official archive."


def load(data: DataParams, read: Reader | None = None) -> Source:
    """Load CIFAR-10 from the user's archive under `data.root`, or download it."""
    root = Path(data.root)
    _refuse_pickles(root)
    archive = locate(NAME, url=URL, root=root, sha256=data.sha256 if isinstance(data.sha256, str) else SHA256)
    members = _read_members(archive)
    return Source(
        classes=_class_names(members, archive),
        train=_decode(members, TRAIN, archive, data.image_size),
        test=_decode(members, TEST, archive, data.image_size),
        origins={"train": "data_batch_1 to 5", "test": "test_batch"},
    )


def _refuse_pickles(root):
    for name in PICKLED:
        if (root / name).exists() and not (root / NAME).exists():
            raise DataError(
                f"{root / name}: the version for Python holds pickles, which are never loaded here. Put the "
                f"binary version, {NAME}, under data.root={root}, or remove this one to have it downloaded."
            )


def _read_members(archive):
    """Read the wanted members by base name; nothing is unpacked to disk."""
    limits = dict.fromkeys(TRAIN + TEST, MEMBER_LIMIT) | {META: META_LIMIT}
    members, total = {}, 0
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for member in tar:
                where = f"{archive}, member {member.name}"
                total += member.size
                if total > ARCHIVE_LIMIT:
                    raise DataError(f"{where}: the archive unpacks to more than {ARCHIVE_LIMIT:,} bytes. {_MEND}")
                name = member.name.rsplit("/", 1)[-1]
                if name not in limits or not member.isfile():
                    continue
                if name in members or member.size > limits[name]:
                    raise DataError(
                        f"{where}: {member.size:,} bytes, expected once and at most {limits[name]:,}. {_MEND}"
                    )
                members[name] = tar.extractfile(member).read(member.size)  # type: ignore[union-attr]  # it is a file
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise DataError(
            f"{archive}: truncated, or no .tar.gz archive ({error}). Delete it and get it again."
        ) from error
    return members


def _class_names(members, archive):
    if META not in members:
        return CLASSES
    names = tuple(line.strip() for line in members[META].decode("utf-8", "replace").split("\n") if line.strip())
    if len(names) != 10 or len(set(names)) != 10:
        actual = f"{len(names)}: {', '.join(names)}"
        raise DataError(f"{archive}, member {META}: expected 10 different class names, found {actual}. {_MEND}")
    return names


def _decode(members, names, archive, size):
    images, labels = [], []
    for name in names:
        if name not in members:
            raise DataError(f"{archive}: the member {name} is missing. {_MEND}")
        where = f"{archive}, member {name}"
        content = np.frombuffer(members.pop(name), np.uint8)
        if not content.size or content.size % RECORD:
            raise DataError(
                f"{where}: {content.size:,} bytes, expected a multiple of {RECORD:,}, one record an image. {_MEND}"
            )
        records = content.reshape(-1, RECORD)
        wrong = np.flatnonzero(records[:, 0] > 9)
        if wrong.size:
            label = records[wrong[0], 0]
            raise DataError(f"{where}: record {wrong[0]} has the label {label}, expected 0 to 9. {_MEND}")
        labels.append(records[:, 0].astype(np.int64))
        planes = records[:, 1:].reshape(-1, 3, 32, 32)
        images.append(np.ascontiguousarray(planes.transpose(0, 2, 3, 1)))
    return LabelledImages(resize_images(np.concatenate(images), size=size), np.concatenate(labels))

"""SVHN, cropped digits: house numbers of Google Street View, 32x32, in MATLAB files.

Source: Y. Netzer et al., "Reading Digits in Natural Images with Unsupervised Feature Learning", 2011;
http://ufldl.stanford.edu/housenumbers.
"""

from pathlib import Path

import numpy as np

from noisy_student.data.images import resize_images
from noisy_student.data.labelled import LabelledImages
from noisy_student.runtime.errors import DataError
from noisy_student.settings.schema import DataParams
from noisy_student.sources.download import locate
from noisy_student.sources.interface import Rules, Source, wants_own_split
from noisy_student.sources.reader import Reader

# The server is not known to answer by https; the hashes below hold either way.
URL = "http://ufldl.stanford.edu/housenumbers"
SHA256 = {
    "train_32x32.mat": "435e94d69a87fde4fd4d7f3dd208dfc32cb6ae8af2240d066de1df7508d083b8",
    "test_32x32.mat": "cdce80dfb2a2c4c6160906d0bd7c68ec5a99d7ca4831afa54f09182025b6a75b",
    "extra_32x32.mat": "a133a4beb38a00fcdda90c9489e0c04f900b660ce8a316a5e854838379a71eb3",
}
LICENCE = "for non-commercial use only, say its makers (Y. Netzer et al. 2011)"
RULES = Rules(validation=False, classes=10, train=73_257, sha256=SHA256, licence=LICENCE)
CLASSES = tuple("0123456789")


def load(data: DataParams, read: Reader | None = None) -> Source:
    """Load SVHN from the user's files under `data.root`, or download them.

    The split "extra" (531,131 images, 1.3 GB) is touched only if the pool is the source's own split.
    """
    extra = _read("extra_32x32.mat", data) if wants_own_split(data) else None
    return Source(
        classes=CLASSES,
        train=_read("train_32x32.mat", data),
        test=_read("test_32x32.mat", data),
        unlabelled=extra and extra.images,
        unlabelled_labels=extra and extra.labels,
        origins={"train": "train_32x32", "test": "test_32x32", "unlabelled": "extra_32x32"},
        unused=() if extra else (f"extra_32x32 (data.unlabelled_from={data.unlabelled_from})",),
    )


def _read(name, data):
    from scipy.io import loadmat  # here, because other sources do not need it

    hashes = SHA256 | (data.sha256 or {})
    path = locate(name, url=f"{URL}/{name}", root=Path(data.root), sha256=hashes[name])
    try:
        content = loadmat(path, variable_names=["X", "y"])
        images, labels = content["X"], np.ravel(content["y"]).astype(np.int64)
    except Exception as error:  # a damaged file makes the parser raise almost anything
        cause = f"cannot be read as a MATLAB file with X and y ({error!r})"
        raise DataError(f"{path}: {cause}. Delete it and get it again.") from error
    if images.dtype != np.uint8 or images.shape != (32, 32, 3, len(labels)):
        raise DataError(
            f"{path}: X is {images.dtype} {images.shape} beside {len(labels):,} labels, "
            "expected uint8 (32, 32, 3, N) beside N. Use the official file."
        )
    if not labels.size or labels.min() < 1 or labels.max() > 10:
        extent = f"{labels.min()} to {labels.max()}" if labels.size else "none"
        raise DataError(f"{path}: labels {extent}, expected 1 to 10 (10 is the digit 0). Use the official file.")
    images = np.ascontiguousarray(images.transpose(3, 0, 1, 2))
    return LabelledImages(resize_images(images, size=data.image_size), labels % 10)

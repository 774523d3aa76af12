"""The digits that scikit-learn carries: 1,797 real 8x8 images in 10 classes, offline.

Source: E. Alpaydin, C. Kaynak, "Optical Recognition of Handwritten Digits", UCI, 1998 (its test part).
"""

import numpy as np

from noisy_student.data.images import resize_images
from noisy_student.data.labelled import LabelledImages
from noisy_student.settings.schema import DataParams
from noisy_student.sources.interface import Rules, Source
from noisy_student.sources.reader import Reader

LICENCE = "CC BY 4.0 (UCI Machine Learning Repository)"
RULES = Rules(validation=False, test=False, unlabelled=False, classes=10, train=1_797, licence=LICENCE)


def load(data: DataParams, read: Reader | None = None) -> Source:
    """The digits as one set, grey levels 0..16 scaled to 0..255 and repeated to RGB; `prepare` cuts the test split."""
    from sklearn.datasets import load_digits  # here, because other sources do not need it: 0.7 s

    bunch = load_digits()
    grey = np.rint(bunch.images * 255 / 16).astype(np.uint8)  # (1797, 8, 8)
    images = np.repeat(grey[..., None], 3, axis=-1)
    return Source(
        classes=tuple(str(name) for name in bunch.target_names),
        train=LabelledImages(resize_images(images, size=data.image_size), bunch.target.astype(np.int64)),
        origins={"train": "scikit-learn"},
    )

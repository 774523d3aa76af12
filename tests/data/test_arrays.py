"""Opening prepared arrays, and refusing those that do not fit together."""

import numpy as np
import pytest

from noisy_student.data.arrays import open_images, open_labelled
from noisy_student.runtime.errors import DataError


@pytest.fixture
def save(tmp_path):
    def write(images=None, labels=None):
        np.save(tmp_path / "images.npy", np.zeros((3, 8, 8, 3), np.uint8) if images is None else images)
        np.save(tmp_path / "labels.npy", np.array([0, 1, 2]) if labels is None else labels)
        return tmp_path

    return write


def test_arrays_are_read_only_memory_maps(save):
    images = np.arange(3 * 64 * 3).reshape(3, 8, 8, 3).astype(np.uint8)
    opened = open_labelled(save(images), classes=["a", "b", "c"])
    np.testing.assert_array_equal(opened.images, images)
    assert opened.labels.tolist() == [0, 1, 2]
    assert isinstance(opened.images, np.memmap)
    assert not opened.images.flags.writeable


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((3, 8, 8, 3), np.float32),
        np.zeros((3, 8, 8), np.uint8),
        np.zeros((3, 8, 9, 3), np.uint8),
        np.zeros((3, 8, 8, 4), np.uint8),
    ],
)
def test_wrong_images_are_refused(save, images):
    with pytest.raises(DataError, match=r"images\.npy: expected uint8 \(N, S, S, 3\), found "):
        open_images(save(images))


@pytest.mark.parametrize("labels", [np.array([0, 1]), np.array([0, 1, 2], np.int32), np.zeros((3, 1), np.int64)])
def test_labels_that_do_not_fit_the_images_are_refused(save, labels):
    with pytest.raises(DataError, match=r"labels\.npy: expected int64 \(3,\), one label an image, found "):
        open_labelled(save(labels=labels))


@pytest.mark.parametrize("wrong", [3, -1])
def test_labels_outside_the_range_are_refused(save, wrong):
    with pytest.raises(DataError, match=rf"labels\.npy: label {wrong} in row 1, expected 0 to 2 \(2 rows"):
        open_labelled(save(labels=np.array([0, wrong, wrong])), classes=["a", "b", "c"])


def test_negative_labels_are_refused_without_classes(save):
    with pytest.raises(DataError, match="label -1 in row 2"):
        open_labelled(save(labels=np.array([0, 900, -1])))


def test_pickles_are_never_loaded(save):
    with pytest.raises(DataError, match=r"images\.npy"):
        open_images(save(np.array([{}], dtype=object)))

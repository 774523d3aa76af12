"""Where changed images come from: made, published, or a user's own; and every mistake with them."""

import numpy as np
import pytest
from PIL import Image

from noisy_student.data.labelled import LabelledImages
from noisy_student.robustness import severities
from noisy_student.robustness.sets import Generated, Official, corrupted_test_set, sample, sources
from noisy_student.runtime.errors import DataError, UserError
from noisy_student.sources.extra import load_extra
from noisy_student.steps.extra_tests import extra_metrics
from photographs import photographs

NAMES = ("cat", "dog", "bird")


@pytest.fixture
def test_split():
    return LabelledImages(photographs(32, 9), np.arange(9) % 3)


def test_sample_is_fixed_stratified_and_ascending():
    labels = np.repeat([0, 1, 2], [600, 300, 100])
    rows = sample(labels, 100, seed=3)
    assert np.bincount(labels[rows]).tolist() == [60, 30, 10]
    assert (np.diff(rows) > 0).all()
    assert np.array_equal(rows, sample(labels, 100, seed=3))
    assert not np.array_equal(rows, sample(labels, 100, seed=4))
    assert np.array_equal(sample(labels, 5000, seed=3), np.arange(1000))
    assert len(sample(np.array([0, 2, 2, 5, 5]), 1, seed=0)) == 3  # one of each class that there is


def test_generated_images_do_not_depend_on_sample_or_slices(test_split):
    whole = Generated(test_split, np.arange(9), seed=0, frost="/nonexistent")
    part = Generated(test_split, np.array([2, 5, 7]), seed=0, frost="/nonexistent")
    for name in ("gaussian_noise", "frost", "glass_blur"):
        images = whole.images(name, 3)
        assert images.shape == (9, 32, 32, 3)
        all_at_once = images[:]
        assert np.array_equal(np.concatenate([images[0:4], images[4:9]]), all_at_once)
        assert np.array_equal(part.images(name, 3)[:], all_at_once[[2, 5, 7]])
    assert part.labels.tolist() == [2, 2, 1]


@pytest.fixture
def archive(tmp_path):
    """A small archive of the published form: 4 images, value = severity + 10 x corruption."""
    folder = tmp_path / "root/CIFAR-10-C"
    folder.mkdir(parents=True)
    for number, name in enumerate(severities.ALL):
        blocks = [np.full((4, 32, 32, 3), 10 * number + level, np.uint8) for level in severities.SEVERITIES]
        for block in blocks:
            block[:, 0, 0, 0] = [0, 1, 2, 3]
        np.save(folder / f"{name}.npy", np.concatenate(blocks))
    np.save(folder / "labels.npy", np.tile(np.array([0, 1, 2, 1], np.uint8), 5))
    return folder


def _official(folder, **options):
    return Official(folder, **({"most": None, "side": 32, "classes": 3, "clean": np.zeros(9), "seed": 0} | options))


def test_the_published_archive_is_read_in_its_order(archive, changed, test_split):
    data = changed(
        data__source="cifar10",
        data__root=str(archive.parent),
        data__image_size=32,
        data__labelled=100,
    ).data
    found = corrupted_test_set(data, test_split, most=None, classes=3)
    assert isinstance(found, Official)
    found.check(severities.ALL)
    assert found.labels.tolist() == [0, 1, 2, 1]
    number = severities.ALL.index("snow")
    images = found.images("snow", 4)
    assert images[2:4][:, 5, 5, 1].tolist() == [10 * number + 4] * 2
    assert images[:][:, 0, 0, 0].tolist() == [0, 1, 2, 3]
    assert not found.paired  # nine test images
    assert _official(archive, clean=np.array([0, 1, 2, 1])).paired
    few = _official(archive, most=3)
    assert np.bincount(few.labels).tolist() == [1, 1, 1]
    assert _official(archive, side=16).images("snow", 1)[0:2].shape == (2, 16, 16, 3)
    other = changed(data__root=str(archive.parent)).data  # the digits
    assert isinstance(corrupted_test_set(other, test_split, most=None, classes=3), Generated)


def _save(path, array):
    np.save(path, array, allow_pickle=True)


def _npz(path):
    with path.open("wb") as file:
        np.savez(file, x=np.zeros(3))


BAD_ARCHIVES = {
    "no labels": (lambda f: (f / "labels.npy").unlink(), r"labels\.npy: no such file"),
    "a missing corruption": (lambda f: (f / "fog.npy").unlink(), r"fog\.npy: no such file"),
    "float images": (
        lambda f: _save(f / "fog.npy", np.zeros((20, 32, 32, 3))),
        r"uint8 \(20, S, S, 3\), found float64",
    ),
    "too few images": (
        lambda f: _save(f / "fog.npy", np.zeros((16, 32, 32, 3), np.uint8)),
        r"found uint8 \(16",
    ),
    "channels first": (
        lambda f: _save(f / "fog.npy", np.zeros((20, 3, 32, 32), np.uint8)),
        r"\(20, 3, 32, 32\)",
    ),
    "objects": (lambda f: _save(f / "fog.npy", np.array([{}] * 20, dtype=object)), "Python objects"),
    "a truncated file": (
        lambda f: (f / "fog.npy").write_bytes((f / "fog.npy").read_bytes()[:5000]),
        r"fog\.npy",
    ),
    "no array": (lambda f: (f / "fog.npy").write_bytes(b"hello"), r"fog\.npy"),
    "an npz": (lambda f: _npz(f / "fog.npy"), r"archive of arrays.*fog\.npy"),
    "labels in an npz": (lambda f: _npz(f / "labels.npy"), r"archive of arrays.*labels\.npy"),
    "labels out of range": (lambda f: _save(f / "labels.npy", np.full(20, 3)), "found 3 to 3"),
    "labels of floats": (lambda f: _save(f / "labels.npy", np.zeros(20)), "found float64"),
    "labels that differ": (lambda f: _save(f / "labels.npy", np.arange(20) % 3), "5 times the same labels"),
    "no multiple of five": (lambda f: _save(f / "labels.npy", np.zeros(19, int)), r"found int64 \(19,\)"),
}


def test_published_files_are_part_of_what_a_checkpoint_is_for(tmp_path, changed):
    data = changed(data__root=str(tmp_path)).data
    before = sources(data)
    (tmp_path / "frost").mkdir()
    (tmp_path / "frost/frost1.png").write_bytes(b"one")
    after = sources(data)
    (tmp_path / "frost/frost1.png").write_bytes(b"other")
    assert before == []
    assert [entry[1] for entry in after] == [3]
    assert sources(data) != after


def test_a_file_in_the_place_of_a_folder(tmp_path, changed, test_split):
    (tmp_path / "CIFAR-10-C").write_text("")
    (tmp_path / "frost").write_text("")
    data = changed(data__source="cifar10", data__root=str(tmp_path), data__labelled=100).data
    with pytest.raises(DataError, match="CIFAR-10-C: not a folder"):
        corrupted_test_set(data, test_split, most=None, classes=3)
    other = corrupted_test_set(changed(data__root=str(tmp_path)).data, test_split, most=None, classes=3)
    with pytest.raises(DataError, match="frost: not a folder"):
        other.check(["frost"])


@pytest.mark.parametrize("case", BAD_ARCHIVES)
def test_a_damaged_archive_is_one_message(archive, case):
    damage, message = BAD_ARCHIVES[case]
    damage(archive)
    with pytest.raises(DataError, match=message) as error:
        _official(archive).check(severities.ALL)
    assert "remove the folder CIFAR-10-C" in str(error.value)


def _extra(path, **options):
    return load_extra("mine", path, **({"classes": NAMES, "size": 32, "resize": "squash"} | options))


def test_a_pair_of_arrays(tmp_path):
    images = photographs(32, 5)
    np.save(tmp_path / "cifar10.1_v6_data.npy", images)
    np.save(tmp_path / "cifar10.1_v6_labels.npy", np.array([2, 0, 1, 1, 2], np.int32))
    (tmp_path / "._cifar10.1_v6_data.npy").write_bytes(b"of a Mac")
    found, present = _extra(tmp_path)
    assert np.array_equal(found.images, images)
    assert found.labels.dtype == np.int64
    assert found.labels.tolist() == [2, 0, 1, 1, 2]
    assert present == [0, 1, 2]
    assert _extra(tmp_path, size=16)[0].images.shape == (5, 16, 16, 3)


def test_folders_of_some_of_the_classes(tmp_path):
    for name, number in (("dog", 2), ("bird", 3)):
        (tmp_path / name).mkdir()
        for index in range(number):
            Image.new("RGB", (40, 30), (10 * number, index, 0)).save(tmp_path / name / f"{index}.png")
    (tmp_path / "bird/notes.txt").write_text("no image")
    found, present = _extra(tmp_path)
    assert found.labels.tolist() == [1, 1, 2, 2, 2]
    assert found.images[:, 3, 3, 0].tolist() == [20, 20, 30, 30, 30]
    assert present == [1, 2]


def _folder(path):
    path.mkdir()
    Image.new("RGB", (40, 30)).save(path / "0.png")


BAD_EXTRAS = {
    "nothing there": (lambda f: f.rmdir(), "no such file or folder"),
    "an empty folder": (lambda f: None, "no folder in it"),
    "an unknown class": (
        lambda f: _folder(f / "horse"),
        "the class horse in it; the classes are cat, dog, bird",
    ),
    "one class": (lambda f: _folder(f / "dog"), "only the class dog in it"),
    "a class without images": (
        lambda f: (_folder(f / "cat"), (f / "dog").mkdir()),
        "no readable image in dog/",
    ),
    "labels only": (
        lambda f: _save(f / "labels.npy", np.zeros(3, int)),
        "found labels.npy; which are images",
    ),
    "objects": (lambda f: (_pair(f), _save(f / "data.npy", np.array([{}] * 3))), "Python objects"),
    "float images": (lambda f: _pair(f, images=np.zeros((3, 8, 8, 3))), "the images are float64"),
    "no images": (lambda f: _pair(f, images=np.zeros((0, 8, 8, 3), np.uint8)), r"uint8 \(0, 8"),
    "no pixels": (lambda f: _pair(f, images=np.zeros((3, 0, 0, 3), np.uint8)), r"uint8 \(3, 0, 0, 3\)"),
    "an npz": (lambda f: (_pair(f), _npz(f / "data.npy")), "archive of arrays"),
    "not square": (lambda f: _pair(f, images=np.zeros((3, 8, 9, 3), np.uint8)), r"\(3, 8, 9, 3\)"),
    "too few labels": (lambda f: _pair(f, labels=np.zeros(2, int)), r"int64 \(2,\) for 3 images"),
    "labels of floats": (lambda f: _pair(f, labels=np.zeros(3)), "the labels are float64"),
    "labels out of range": (lambda f: _pair(f, labels=np.array([0, 1, 3])), "labels from 0 to 3"),
    "negative labels": (lambda f: _pair(f, labels=np.array([0, 1, -1])), "labels from -1 to 1"),
}


def _pair(folder, images=None, labels=None):
    np.save(folder / "data.npy", photographs(32, 3) if images is None else images)
    np.save(folder / "labels.npy", np.zeros(3, int) if labels is None else labels)


@pytest.mark.parametrize("case", BAD_EXTRAS)
def test_bad_extra_tests_are_one_message(tmp_path, case):
    prepare, message = BAD_EXTRAS[case]
    (tmp_path / "set").mkdir()
    prepare(tmp_path / "set")
    with pytest.raises(UserError, match=message) as error:
        _extra(tmp_path / "set")
    assert str(error.value).startswith("eval.extra_tests.mine=")


def test_only_the_classes_that_are_present_count():
    probs = np.array([[0.6, 0.3, 0.1], [0.5, 0.1, 0.4], [0.1, 0.5, 0.4]])
    labels = np.array([1, 2, 1])
    assert extra_metrics(probs, labels, present=[0, 1, 2])["accuracy"] == pytest.approx(1 / 3)
    found = extra_metrics(probs, labels, present=[1, 2])
    assert found["accuracy"] == 1.0
    assert found["classes"] == 2


def test_a_written_archive_is_read_like_a_published_one(tmp_path, test_split):
    from commands import corrupted

    folder = tmp_path / "mine"
    corrupted.write(test_split, folder, seed=0, frost="/nonexistent")
    assert len(list(folder.iterdir())) == 20
    made = Generated(test_split, np.arange(9), seed=0, frost="/nonexistent")
    read = _official(folder)
    read.check(severities.ALL)
    assert read.labels.tolist() == made.labels.tolist()
    for name in ("snow", "jpeg_compression"):
        assert np.array_equal(read.images(name, 4)[:], made.images(name, 4)[:])
    with pytest.raises(DataError, match="exists already"):
        corrupted.write(test_split, folder, seed=0, frost="/nonexistent")

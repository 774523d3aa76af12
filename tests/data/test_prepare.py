"""The splits of `prepare`: disjoint, stratified, seeded, independent of listing order."""

import hashlib
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat
from sklearn.datasets import load_digits

from noisy_student.runtime.errors import DataError, UserError
from noisy_student.settings.schema import LABELLED_POOL, OWN_SPLIT
from noisy_student.sources.prepare import prepare

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SPLITS = ("labelled", "validation", "test")


def images(out, split):
    return np.load(Path(out, split, "images.npy"), allow_pickle=False)


def labels(out, split):
    path = Path(out, "truth/unlabelled.npy") if split == "unlabelled" else Path(out, split, "labels.npy")
    return np.load(path, allow_pickle=False)


def pixels(out, split):
    return [image.tobytes() for image in images(out, split)]


def all_bytes(out):
    return {str(p.relative_to(out)): p.read_bytes() for p in sorted(Path(out).rglob("*")) if p.is_file()}


@pytest.fixture
def digits(data_params, tmp_path):
    """Prepare the digits; return (folder, report)."""

    def make(folder="out", **values):
        return tmp_path / folder, prepare(data_params(**values), tmp_path / folder)

    return make


def test_digits_are_cut_without_loss_or_overlap(digits, data_params):
    out, _ = digits(labelled=100, validation=200, test=500)
    counts = {name: len(images(out, name)) for name in (*SPLITS, "unlabelled")}
    assert counts == {"labelled": 100, "validation": 200, "test": 500, "unlabelled": 997}
    together = [pixel for name in counts for pixel in pixels(out, name)]
    assert len(set(together)) == 1797  # the digits hold no duplicates, so every image is in exactly one
    assert json.loads((out / "classes.json").read_text()) == list("0123456789")


def test_labels_and_truth_belong_to_their_images(digits):
    bunch = load_digits()
    grey = np.rint(bunch.images * 255 / 16).astype(np.uint8)
    truth = {image.tobytes(): label for image, label in zip(grey, bunch.target, strict=True)}
    out, _ = digits()
    for split in (*SPLITS, "unlabelled"):
        found = [truth[np.ascontiguousarray(image[..., 0]).tobytes()] for image in images(out, split)]
        np.testing.assert_array_equal(labels(out, split), found)
        assert labels(out, split).dtype == np.int64


def test_splits_are_stratified(digits):
    out, _ = digits(labelled=100, validation=200, test=500)
    frequencies = np.bincount(np.concatenate([labels(out, s) for s in (*SPLITS, "unlabelled")]))
    share = np.bincount(labels(out, "test")) / 500
    np.testing.assert_allclose(share, frequencies / 1797, atol=1 / 500)
    assert np.bincount(labels(out, "labelled")).tolist() == [10] * 10
    assert np.bincount(labels(out, "validation")).tolist() == [20] * 10


@pytest.mark.parametrize("split", ["labelled", "unlabelled", "validation", "test"])
def test_order_tells_nothing_about_the_class(digits, split):
    out, _ = digits(labelled=400, validation=400, test=400)
    classes = labels(out, split)
    # In a random order neighbours share their class in about 1 of 10 cases: for n = 400 the standard
    # deviation is sqrt(0.09 / 400) = 0.015, so 0.17 is more than 4 of them. Sorted, it would be nearly 1.
    assert (classes[1:] == classes[:-1]).mean() < 0.17
    assert abs(np.corrcoef(np.arange(len(classes)), classes)[0, 1]) < 0.2  # 4 standard errors of 1 / sqrt(400)


def test_report(digits):
    out, report = digits(labelled=100, validation=200, unlabelled=300, test=500)
    assert report["source"] == "digits"
    assert report["image_size"] == 8
    assert report["images"] == {"labelled": 100, "validation": 200, "unlabelled": 300, "test": 500}
    for label, counts in report["classes"].items():
        assert counts == {s: int((labels(out, s) == int(label)).sum()) for s in report["images"]}
    assert report["duplicates_dropped"] == {"of_test": {"from_train": 0}, "of_validation": {"from_train": 0}}
    assert report["unreadable"] == []
    json.dumps(report)


def test_the_seed_decides_the_splits(digits):
    first, again, other = digits("a")[0], digits("b")[0], digits("c", seed=1)[0]
    assert all_bytes(first) == all_bytes(again)
    for split in (*SPLITS, "unlabelled"):
        assert set(pixels(first, split)) != set(pixels(other, split))


def test_the_limit_takes_unlabelled_images_at_random(digits):
    out, _ = digits(unlabelled=500)
    whole, _ = digits("whole")
    assert set(pixels(out, "unlabelled")) < set(pixels(whole, "unlabelled"))
    # about 50 of 500 a class, standard deviation below sqrt(50) = 7: tolerance 4 of them
    np.testing.assert_allclose(np.bincount(labels(out, "unlabelled")), 50, atol=28)


def test_the_labelled_images_can_be_the_pool(digits):
    out, _ = digits(unlabelled_from=LABELLED_POOL)
    assert sorted(pixels(out, "unlabelled")) == sorted(pixels(out, "labelled"))
    of_labelled = dict(zip(pixels(out, "labelled"), labels(out, "labelled"), strict=True))
    truth = np.load(out / "truth" / "unlabelled.npy")
    assert [of_labelled[image] for image in pixels(out, "unlabelled")] == truth.tolist()
    other, _ = digits("other")
    assert sorted(pixels(other, "test")) == sorted(pixels(out, "test"))  # only the pool is another


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"labelled": 1760}, r"data\.labelled: 1,760 images asked, found 1,757"),
        ({"validation": 1778}, r"data\.validation: 1,778 images asked, found 1,777"),
        ({"test": 1798}, r"data\.test: 1,798 images asked, found 1,797"),
        ({"labelled": 9}, r"data\.labelled: 9 images asked, but there are 10 classes"),
        ({"labelled": 1757}, r"data\.unlabelled_from=.*no unlabelled image is left"),
    ],
)
def test_what_cannot_be_cut_is_refused_and_nothing_is_written(digits, tmp_path, values, message):
    with pytest.raises(UserError, match=message):
        digits(**values)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def folder(tmp_path, random_images, write_tree, data_params):
    """Write and prepare a tree of 60 training and 20 test images; return (folder, report)."""

    def make(name="folder", *, change=None, order=1, **values):
        train, test = random_images(60, size=8), random_images(20, size=8, seed=1)
        root = tmp_path / f"{name}-tree"
        write_tree(root, "train", *train, order=range(60)[::order])
        write_tree(root, "test", *test, order=range(20)[::order])
        if change:
            change(root, train, test)
        data = data_params(source="folder", root=str(root), **{"test": None, **values})
        return tmp_path / name, prepare(data, tmp_path / name)

    return make


def duplicates(root, train, test):
    """Hand-made: copies across the splits, one of them under another class."""

    def add(name, image):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(root / name)

    add("train/cat/copy-of-test.png", test[0][0])
    add("train/dog/copy-of-test.png", test[0][0])
    add("train/cat/copy-of-val.png", test[0][5] // 2)
    for row, name in enumerate(CLASSES):  # a val/ of ten new images, one a class, and a copy of a test image
        add(f"val/{name}/0.png", test[0][row] // 2)
    add("val/cat/copy-of-test.png", test[0][1])
    add("unlabelled/new.png", test[0][2] // 3)
    add("unlabelled/copy-of-test.png", test[0][2])
    add("unlabelled/copy-of-val.png", test[0][3] // 2)
    add("unlabelled/copy-of-val-again.png", test[0][3] // 2)
    add("unlabelled/copy-of-train.png", train[0][0])


def test_duplicates_across_splits_are_dropped(folder):
    out, report = folder(change=duplicates, labelled=None, validation=None, unlabelled_from=OWN_SPLIT)
    assert report["duplicates_dropped"] == {
        "of_test": {"from_train": 2, "from_validation": 1, "from_unlabelled": 1},
        "of_validation": {"from_train": 1, "from_unlabelled": 2},
    }
    assert report["images"] == {"labelled": 60, "validation": 10, "unlabelled": 2, "test": 20}
    found = {split: set(pixels(out, split)) for split in report["images"]}
    assert not found["test"] & (found["labelled"] | found["validation"] | found["unlabelled"])
    assert not found["validation"] & (found["labelled"] | found["unlabelled"])
    assert labels(out, "unlabelled").tolist() == [-1, -1]  # nobody knows
    assert all("unlabelled" not in counts for counts in report["classes"].values())


def test_duplicates_inside_the_training_images(folder):
    def change(root, train, test):
        for row in range(60):  # every training image twice
            name = next((root / "train").glob(f"*/{row:04}.png"))
            shutil.copy(name, name.with_name(f"again-{name.name}"))

    out, report = folder(change=change, labelled=20, validation=20)
    # The twins of validation images must go from the training pools.
    in_validation = len(set(pixels(out, "validation")))
    twins = 2 * in_validation - 20
    assert report["duplicates_dropped"]["of_validation"]["from_train"] == twins
    assert sum(report["images"].values()) == 120 + 20 - twins
    assert not set(pixels(out, "validation")) & set(pixels(out, "labelled") + pixels(out, "unlabelled"))


def test_at_most_so_many_test_images(folder):
    out, _ = folder(test=10)
    assert sorted(labels(out, "test")) == list(range(10))
    assert len(images(folder("more", test=1000)[0], "test")) == 20


def test_dropping_duplicates_that_empties_a_class_is_refused(folder):
    def change(root, train, test):
        shutil.rmtree(root / "train" / "cat")
        shutil.copytree(root / "test" / "cat", root / "train" / "cat")

    with pytest.raises(DataError, match=r"class 3 \(cat\) has no image left"):
        folder(change=change)


def test_validation_class_of_test_images_only_is_refused(folder):
    def change(root, train, test):
        duplicates(root, train, test)
        shutil.copy(next((root / "test" / "cat").iterdir()), root / "val" / "cat" / "0.png")

    with pytest.raises(DataError, match=r"data\.validation: 9 images asked, but class 3 \(cat\) has no image"):
        folder(change=change, labelled=20, validation=None)


def test_truth_of_an_own_unlabelled_split(tmp_path, random_images, data_params):
    hashes, truth = {}, {}
    for seed, name in enumerate(("train", "test", "extra")):
        split, split_labels = random_images(40, seed=seed)
        truth.update(zip((image.tobytes() for image in split), split_labels.tolist(), strict=True))
        path = tmp_path / f"{name}_32x32.mat"
        savemat(path, {"X": np.moveaxis(split, 0, -1), "y": np.where(split_labels, split_labels, 10)})
        hashes[path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
    data = data_params(
        source="svhn",
        root=str(tmp_path),
        image_size=32,
        unlabelled_from=OWN_SPLIT,
        sha256=hashes,
        unlabelled=30,
    )
    report = prepare(data, tmp_path / "out")
    assert report["images"]["unlabelled"] == 30
    found = [truth[pixel] for pixel in pixels(tmp_path / "out", "unlabelled")]
    np.testing.assert_array_equal(labels(tmp_path / "out", "unlabelled"), found)


def test_unlabelled_folder_of_test_images_only_is_refused(folder):
    with pytest.raises(DataError, match=r"no unlabelled image is left"):
        folder(
            change=lambda root, *_: shutil.copytree(root / "test", root / "unlabelled"),
            unlabelled_from=OWN_SPLIT,
        )


def test_listing_order_changes_nothing(folder, monkeypatch):
    first = all_bytes(folder(change=duplicates)[0])
    listdir = os.listdir
    monkeypatch.setattr(os, "listdir", lambda *path: sorted(listdir(*path), reverse=True))
    assert all_bytes(folder("reversed", change=duplicates, order=-1)[0]) == first


def test_order_of_the_source_changes_nothing(tmp_path, random_images, write_cifar10, data_params):
    results = []
    for name, step in (("a", 1), ("b", -1)):
        train, test = random_images(60), random_images(20, seed=1)
        sha256 = write_cifar10(tmp_path / name, [t[::step] for t in train], [t[::step] for t in test])
        data = data_params(source="cifar10", root=str(tmp_path / name), image_size=32, sha256=sha256)
        prepare(data, tmp_path / f"out-{name}")
        results.append(all_bytes(tmp_path / f"out-{name}"))
    assert results[0] == results[1]


def test_folder_and_cifar10_archive_of_the_same_pixels(tmp_path, random_images, write_tree, write_cifar10, data_params):
    train, test = random_images(60), random_images(20, seed=1)
    write_tree(tmp_path / "tree", "train", *train)
    write_tree(tmp_path / "tree", "test", *test)
    sha256 = write_cifar10(tmp_path / "archive", train, test)
    prepare(data_params(source="folder", root=str(tmp_path / "tree"), image_size=32), tmp_path / "a")
    archive = data_params(source="cifar10", root=str(tmp_path / "archive"), image_size=32, sha256=sha256)
    prepare(archive, tmp_path / "b")
    ours, theirs = all_bytes(tmp_path / "a"), all_bytes(tmp_path / "b")
    # these say where images come from and under which licence, too
    splits = [
        {key: split["sha256"] for key, split in json.loads(each.pop("splits.json")).items()} for each in (ours, theirs)
    ]
    assert splits[0] == splits[1]
    assert ours == theirs


def test_unreadable_files_are_reported(folder, capsys):
    def change(root, *_):
        for number in range(25):
            (root / "train" / "cat" / f"broken-{number:02}.png").write_bytes(b"broken")

    _, report = folder(change=change)
    assert len(report["unreadable"]) == 25
    assert report["unreadable"][0] == "train/cat/broken-00.png: not an image that Pillow can read"
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning:")]
    assert lines[0] == "warning: skipped train/cat/broken-00.png: not an image that Pillow can read"
    assert len(lines) == 21
    assert lines[-1] == "warning: and 5 more unreadable files"

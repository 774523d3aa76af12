"""Trees of image files, and every way in which they can be wrong."""

import os

import pytest
from PIL import Image

from noisy_student.runtime.errors import DataError
from noisy_student.settings.schema import AUTO, HELD_BACK, OWN_SPLIT
from noisy_student.sources.loading import load_source


@pytest.fixture
def tree(tmp_path, data_params):
    """Write grey PNGs given as {path: grey level}; return the parameters."""

    def make(greys, **values):
        for name, grey in greys.items():
            path = tmp_path / "tree" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("L", (10, 10), grey).save(path, "PNG")
        (tmp_path / "tree").mkdir(exist_ok=True)
        return data_params(source="folder", root=str(tmp_path / "tree"), **values)

    return make


GOOD = {
    "train/dog/0.png": 1,
    "train/cat/0.png": 2,
    "train/cat/1.png": 3,
    "test/cat/0.png": 4,
    "test/dog/0.png": 5,
}


def test_folder_reads_the_tree(tree):
    more = {"val/dog/0.png": 6, "val/cat/0.png": 7, "unlabelled/a/b.png": 8, "unlabelled/c.png": 9}
    source = load_source(tree({**GOOD, **more}, validation=None, unlabelled_from=OWN_SPLIT))
    assert source.classes == ("cat", "dog")
    for split, greys, labels in (
        (source.train, [2, 3, 1], [0, 0, 1]),
        (source.test, [4, 5], [0, 1]),
        (source.validation, [7, 6], [0, 1]),
    ):
        assert split.images[:, 0, 0, 0].tolist() == greys
        assert split.labels.tolist() == labels
        assert split.images.shape[1:] == (8, 8, 3)
    assert source.unlabelled[:, 0, 0, 0].tolist() == [8, 9]
    assert source.unlabelled_labels is None
    assert source.unreadable == ()


def test_folder_does_not_read_what_is_not_asked_for(tree):
    source = load_source(tree({**GOOD, "val/dog/0.png": 6, "unlabelled/c.png": 9}))
    assert (source.validation, source.unlabelled) == (None, None)


def test_folder_without_validation_images_has_none(tree):
    assert load_source(tree(GOOD, validation=None)).validation is None


def test_folder_crops_if_asked(tree, tmp_path):
    data = tree(GOOD, resize="crop")
    wide = Image.new("L", (30, 10), 0)
    wide.paste(200, (10, 0, 20, 10))  # only the central square is light
    wide.save(tmp_path / "tree/train/dog/0.png")
    assert (load_source(data).train.images[2] == 200).all()
    squashed = load_source(data.model_copy(update={"resize": "squash"})).train.images[2]
    assert squashed.min() == 0


def test_folder_names_what_it_skips(tree, tmp_path):
    data = tree({**GOOD, "train/flat.png": 1, "unlabelled/c.png": 9}, unlabelled_from=OWN_SPLIT)
    (tmp_path / "tree/train/cat/empty.jpg").write_bytes(b"")
    (tmp_path / "tree/train/cat/.hidden").write_bytes(b"")
    (tmp_path / "tree/unlabelled/x").mkdir()
    (tmp_path / "tree/unlabelled/x/notes.txt").write_text("notes")
    assert load_source(data).unreadable == (
        "train/flat.png: not in the folder of a class",
        "train/cat/empty.jpg: an empty file, 0 bytes",
        "unlabelled/x/notes.txt: not an image that Pillow can read",
    )


def test_folder_and_unlabelled_folder_both_name_what_they_skip(tree, tmp_path):
    data = tree({**GOOD, "train/flat.png": 1, "more/a.png": 1}, unlabelled_from=str(tmp_path / "tree/more"))
    (tmp_path / "tree/more/b.png").write_bytes(b"")
    assert load_source(data).unreadable == (
        "train/flat.png: not in the folder of a class",
        f"{tmp_path}/tree/more/b.png: an empty file, 0 bytes",
    )


@pytest.mark.parametrize(
    ("without", "more", "message"),
    [
        ("train/", {}, r"tree: there is no folder train/"),
        ("test/", {}, r"tree: there is no folder test/"),
        ("test/dog/", {}, r"test/dog: no image there, as of every class"),
        ("", {"test/emu/0.png": 1}, r"test: the class emu is not in train/, which has cat, dog"),
        ("", {"val/emu/0.png": 1}, r"val: the class emu is not in train/"),
        ("", {"val/cat/0.png": 1}, r"val/dog: no image there"),
    ],
)
def test_folder_with_a_wrong_tree(tree, without, more, message):
    greys = {name: grey for name, grey in GOOD.items() if not (without and name.startswith(without))}
    with pytest.raises(DataError, match=message):
        load_source(tree({**greys, **more}, validation=None))


def test_folder_without_any_class(tree, tmp_path):
    data = tree({"test/cat/0.png": 1})
    (tmp_path / "tree/train").mkdir()
    with pytest.raises(DataError, match=r"train: empty, no class folder"):
        load_source(data)


def test_folder_class_with_unreadable_images_only(tree, tmp_path):
    data = tree(GOOD)
    (tmp_path / "tree/train/dog/0.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"train/dog: no readable image \(found 1 unreadable, e\.g\. 0\.png: an emp"):
        load_source(data)


@pytest.mark.parametrize("empty", [False, True])
def test_folder_without_unlabelled_images(tree, tmp_path, empty):
    data = tree(GOOD, unlabelled_from=OWN_SPLIT)
    if empty:
        (tmp_path / "tree/unlabelled").mkdir()
    with pytest.raises(DataError, match=r"data\.unlabelled_from.*has no unlabelled images of its own"):
        load_source(data)


def test_a_single_class_is_refused(tmp_path, data_params):
    for split in ("train", "test"):
        (tmp_path / split / "only").mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(tmp_path / split / "only" / "a.png")
    with pytest.raises(DataError, match="only the class only; at least two"):
        load_source(data_params(source="folder", root=str(tmp_path)))


@pytest.mark.parametrize("name", [b"a\nb", b"\xff", b" ", "\u2003".encode()])
def test_a_class_that_cannot_be_printed_is_refused(tmp_path, data_params, name):
    for split in ("train", "test"):
        for folder in (name, b"other"):
            os.makedirs(os.path.join(os.fsencode(tmp_path / split), folder))
    with pytest.raises(DataError, match="cannot be printed"):
        load_source(data_params(source="folder", root=str(tmp_path)))


def test_auto_takes_the_own_split_where_there_is_one(tree):
    source = load_source(tree({**GOOD, "unlabelled/x/0.png": 9}, unlabelled_from=AUTO))
    assert source.unlabelled[:, 0, 0, 0].tolist() == [9]
    assert any("folders in unlabelled/ (x), as labels" in line for line in source.unused)


def test_auto_is_held_back_where_there_is_none(tree):
    source = load_source(tree(GOOD, unlabelled_from=AUTO))
    assert source.unlabelled is None
    assert source.unused == ()


@pytest.mark.parametrize("kind", ["empty", "unreadable", "file", "broken link"])
def test_auto_does_not_fall_back_silently(tree, tmp_path, kind):
    data, pool = tree(GOOD, unlabelled_from=AUTO), tmp_path / "tree/unlabelled"
    if kind == "file":
        pool.write_text("a file")
    elif kind == "broken link":
        pool.symlink_to("nowhere")
    else:
        pool.mkdir()
    if kind == "unreadable":
        (pool / "a.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"unlabelled(: expected a folder|: no image in| has no unlabelled .*found)"):
        load_source(data)


def test_auto_without_an_own_split_needs_labels_to_hold_back(tree):
    assert (
        load_source(tree({**GOOD, "unlabelled/0.png": 9}, unlabelled_from=AUTO, labelled=None)).unlabelled is not None
    )


def test_auto_with_all_labelled_and_no_pool_is_refused(tree):
    with pytest.raises(DataError, match=r"data\.labelled: empty, so all images would be .*, or add .*unlabelled/"):
        load_source(tree(GOOD, unlabelled_from=AUTO, labelled=None))


def test_what_is_not_looked_at_is_listed(tree):
    more = {"val/cat/0.png": 7, "val/dog/0.png": 8, "unlabeled/0.png": 9, "unlabeled/1.png": 9, "raw/0.png": 3}
    unused = load_source(tree({**GOOD, **more}, unlabelled_from=AUTO)).unused
    assert [line.partition(" (")[0] for line in unused] == ["raw/, 1 files", "unlabeled/, 2 files", "val/, 2 files"]
    assert "meant for unlabelled/?" in unused[1]
    assert "data.validation=20" in unused[2]
    held_back = load_source(tree({"unlabelled/0.png": 9}, unlabelled_from=HELD_BACK)).unused
    assert any(line.startswith("unlabelled/, 1 files (data.unlabelled_from=data/pools/held-back") for line in held_back)


def test_a_split_that_is_misspelt_is_suggested(tree):
    greys = {name.replace("train/", "Train/"): grey for name, grey in GOOD.items()}
    with pytest.raises(DataError, match=r"no folder train/ in it \(there is Train/\)"):
        load_source(tree(greys))


COMPOSED, DECOMPOSED = "caf\u00e9", "cafe\u0301"  # the same in two Unicode forms


def test_class_names_are_compared_in_one_unicode_form(tree):
    """An archive of macOS has the other form than a keyboard gives."""
    greys = {f"train/{DECOMPOSED}/0.png": 1, "train/dog/0.png": 2, f"test/{COMPOSED}/0.png": 3, "test/dog/0.png": 4}
    source = load_source(tree(greys))
    assert source.classes == (COMPOSED, "dog")
    assert source.test.images[:, 0, 0, 0].tolist() == [3, 4]


def test_two_forms_of_one_name_are_shown_by_code_point(tree):
    with pytest.raises(DataError, match=r"differ only in Unicode form: 'cafe\\u0301' and 'caf\\xe9'"):
        load_source(tree({f"train/{COMPOSED}/0.png": 1, f"train/{DECOMPOSED}/0.png": 2, "test/dog/0.png": 3}))


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("ｃａｔ", r"ｃａｔ \('\\uff43\\uff41\\uff54', there 'cat'\)"),  # of full width
        ("cat ", r"cat  \('cat ', there 'cat'\)"),
        ("Cat", r"Cat \('Cat', there 'cat'\)"),
        ("dogs", r"dogs \(there dog\)"),
        ("emu", r"the class emu is not"),
    ],
)
def test_an_unknown_class_is_shown_beside_what_it_may_be_meant_for(tree, name, shown):
    with pytest.raises(DataError, match=shown):
        load_source(tree({**GOOD, f"test/{name}/0.png": 1}))

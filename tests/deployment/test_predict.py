"""Predictions of files against stock Keras on what Pillow reads, whatever the files lie in."""

import csv
import importlib.util
import io
import json
import os
import shutil
import stat
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from PIL import Image

from deployed import CLASSES, SIDE
from noisy_student.data.images import InMemory, try_image
from noisy_student.deployment import image_files as files
from noisy_student.deployment.predicting import FilePredictor, Predicted
from noisy_student.deployment.runtimes import open_any
from noisy_student.deployment.sheets import Extremes
from noisy_student.inference.description import Description
from noisy_student.inference.saving import save
from noisy_student.models.build import build
from noisy_student.settings.schema import ModelParams


def table(path="out.csv"):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def distributions(rows):
    return {row["file"]: np.array([float(row[f"p({name})"]) for name in CLASSES]) for row in rows}


def as_given(name):
    return name


WAYS = {
    "a folder": (lambda: ["photos"], as_given),
    "files": (lambda: sorted(str(path) for path in Path("photos").rglob("[0-9]*.*")), as_given),
    "a pattern": (lambda: ["photos/**"], as_given),
    ".zip": (lambda: [shutil.make_archive("p", "zip", ".", "photos")], lambda name: f"{os.getcwd()}/p.zip/{name}"),
    ".tar": (lambda: [shutil.make_archive("p", "tar", ".", "photos")], lambda name: f"{os.getcwd()}/p.tar/{name}"),
    ".tar.gz": (
        lambda: [shutil.make_archive("p", "gztar", ".", "photos")],
        lambda name: f"{os.getcwd()}/p.tar.gz/{name}",
    ),
    "a list": (lambda: ["-"], as_given),
}


@pytest.mark.parametrize("way", WAYS)
def test_every_way_gives_what_keras_and_pillow_give(model, expected, call, monkeypatch, way):
    paths, named = WAYS[way]
    Path("photos/.hidden").write_bytes(b"x")
    lines = io.BytesIO("\r\n".join([*expected, ""]).encode())
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=lines))
    done = call("predict", model, *paths(), "--csv", "out.csv")
    assert (done.status, done.out) == (0, ""), done.err
    rows = table()
    found = distributions(rows)
    assert set(found) == {named(name) for name in expected}
    for name, probs in expected.items():
        np.testing.assert_allclose(found[named(name)], probs, atol=2e-5)
    for row in rows:
        best = found[row["file"]].argmax()
        assert (row["class"], float(row["confidence"])) == (CLASSES[best], found[row["file"]].max())
    assert not list(Path().glob(".tmp*"))


def test_lines_have_the_most_probable_classes_and_what_is_not_above_the_threshold(model, expected, call):
    middle = sorted(probs.max() for probs in expected.values())[3] + 1e-5
    done = call("predict", model, "photos", "--top", "3", "--threshold", f"{middle:.6f}")
    lines = [line.split("\t") for line in done.out.splitlines()]
    assert [line[0] for line in lines] == sorted(expected, key=lambda name: ("below" in name, name))
    for line in lines:
        order = np.argsort(-expected[line[0]])
        assert line[1:7:2] == [CLASSES[k] for k in order[:3]]
        np.testing.assert_allclose([float(p) for p in line[2:7:2]], expected[line[0]][order[:3]], atol=6e-5)
        assert (len(line) == 8) == (expected[line[0]].max() <= middle)
    assert "7 images, 4 not above" in done.err


def test_a_table_of_the_most_probable(model, expected, call):
    call("predict", model, "photos", "--top", "2", "--threshold", "0.5", "--csv", "new/out.csv")
    for row in table("new/out.csv"):
        first, second = np.argsort(-expected[row["file"]])[:2]
        assert (row["class"], row["class_2"]) == (CLASSES[first], CLASSES[second])
        assert float(row["confidence_2"]) == pytest.approx(expected[row["file"]][second], abs=2e-5)
        assert row["accepted"] == str(int(expected[row["file"]][first] > 0.5))


def test_a_table_with_any_names(network, tmp_path, photos, call):
    """As Python's csv module reads it; bytes that are no text stand there as escapes."""
    names = ["a,b.png", 'c"d".png', "new\nline.png", "return\r.png", "100%s.png", os.fsdecode(b"\xff.png")]
    Path("odd").mkdir()
    for name in names:
        shutil.copy("photos/0.png", f"odd/{name}")
    classes = ("cat, tabby", 'dog "Rex"', "%d", "d", "e")
    save(network, tmp_path / "odd.keras", Description(name="odd", classes=classes, image_size=SIDE, resize="crop"))
    for more in ([], ["--top", "5"]):
        assert call("predict", "odd.keras", "odd", "--csv", "out.csv", *more).status == 0
        rows = table()
        assert {row["file"] for row in rows} == {f"odd/{name}" for name in [*names[:-1], "\\udcff.png"]}
        given = [row[key] for row in rows for key in row if key.startswith("class")]
        assert set(given) <= set(classes)
        assert len(given) == 6 * (5 if more else 1)
    assert {rows[0][f"class_{rank}" if rank > 1 else "class"] for rank in range(1, 6)} == set(classes)


def test_a_network_of_another_size_gets_the_images_resized_twice_as_in_the_pipeline(tmp_path, call, photos):
    network = build(ModelParams(name="resnet", depth=8, width=4), classes=5, image_size=16, mode="inference", seed=1)
    described = Description(name="teacher", classes=CLASSES, image_size=SIDE, resize="squash")
    save(network, tmp_path / "larger.keras", described)
    call("predict", tmp_path / "larger.keras", "photos/0.png", "--csv", "out.csv")
    small = Image.fromarray(photos["photos/0.png"]).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    larger = np.asarray(small.resize((16, 16), Image.Resampling.BICUBIC))[None]
    (found,) = distributions(table()).values()
    np.testing.assert_allclose(found, network.predict(larger, verbose=0)[0], atol=2e-5)


MODES = {
    "a.png": Image.fromarray(np.arange(400, dtype=np.uint8).reshape(10, 10, 4), "RGBA"),
    "b.png": Image.fromarray(np.arange(0, 65535, 656, dtype=np.uint16)[:100].reshape(10, 10)),
    "c.tif": Image.fromarray(np.arange(400, dtype=np.uint8).reshape(10, 10, 4), "CMYK"),
    "d.gif": Image.fromarray(np.arange(100, dtype=np.uint8).reshape(10, 10)).convert("P"),
    "e.jpg": Image.fromarray(np.arange(300, dtype=np.uint8).reshape(10, 10, 3)),
    "f.jp2": Image.fromarray(np.arange(300, dtype=np.uint8).reshape(10, 10, 3)),
    "g.webp": Image.fromarray(np.arange(300, dtype=np.uint8).reshape(10, 10, 3)),
    "h.ppm": Image.fromarray(np.arange(300, dtype=np.uint8).reshape(10, 10, 3)),
}


@pytest.mark.parametrize("name", MODES)
def test_bytes_of_an_archive_are_read_as_the_file_is(tmp_path, name):
    MODES[name].save(tmp_path / name)
    on_disk = try_image(tmp_path / name, size=7, resize="squash")
    in_memory = try_image(InMemory((tmp_path / name).read_bytes()), size=7, resize="squash")
    assert on_disk.cause is None
    np.testing.assert_array_equal(in_memory.image, on_disk.image)
    assert in_memory.depth == on_disk.depth


def test_16_bit_colours_in_memory(tmp_path):
    import cv2

    cv2.imwrite(str(tmp_path / "a.png"), np.arange(300, dtype=np.uint16).reshape(10, 10, 3) * 13)
    on_disk = try_image(tmp_path / "a.png", size=7, resize="squash", levels=4096)
    in_memory = try_image(InMemory((tmp_path / "a.png").read_bytes()), size=7, resize="squash", levels=4096)
    np.testing.assert_array_equal(in_memory.image, on_disk.image)


def _links():
    os.symlink("loop", "photos/loop")
    os.symlink("nowhere", "photos/dangling.png")
    os.symlink(".", "photos/self")


def test_what_cannot_be_read_is_named_and_the_rest_is_done(model, expected, call):
    Path("photos/notes.txt").write_text("no image")
    Path("photos/cut.png").write_bytes(Path("photos/0.png").read_bytes()[:200])
    Path("photos/new\nline.png").write_bytes(b"")
    shutil.make_archive("photos/inner", "zip", ".", "photos/below")
    _links()
    os.mkfifo("photos/pipe")
    done = call("predict", model, "photos", "nothing", "no*thing", "/dev/zero", "--csv", "out.csv")
    assert done.status == 3
    assert {row["file"] for row in table()} == set(expected)
    causes = {
        "photos/notes.txt": "not an image",
        "photos/cut.png": "truncated",
        r"photos/new\nline.png": "0 bytes",
        "photos/inner.zip": "an archive; name it itself",
        "photos/loop": "Too many levels of symbolic links",
        "photos/dangling.png": "a link to nothing",
        "photos/pipe": "pipe",
        "nothing": "no such file",
        "no*thing": "no file matches",
        "/dev/zero": "a device",
    }
    for name, cause in causes.items():
        (line,) = [line for line in done.err.splitlines() if line.startswith(f"unreadable: {name}: ")]
        assert cause in line
    assert f"7 images, {len(causes)} unreadable" in done.err


ARCHIVES = {
    "an empty .zip": (lambda path: path.write_bytes(b""), "a.zip", "no .zip archive"),
    "a cut .zip": (lambda path: _zip(path, cut=30), "a.zip", "no .zip archive"),
    "a damaged member": (lambda path: _zip(path, damage=True), "a.zip", "CRC"),
    "a .zip of too many": (lambda path: _zip(path, number=12), "a.zip", "a .zip of 12 files, more than 11"),
    "a bomb": (lambda path: _zip(path, content=b"\0" * 2**21), "a.zip", "2,097,152 bytes unpacked"),
    "a cut .tar": (lambda path: _tar(path, cut=700), "a.tar", "no .tar archive"),
    "a cut .tar.gz": (lambda path: _tar(path, cut=200), "a.tar.gz", "no .tar archive"),
    "a text .tar": (lambda path: path.write_text("text" * 500), "a.tar", "no .tar archive"),
    "a link in a .tar": (lambda path: _tar(path, link="/etc/passwd"), "a.tar", "a link or device"),
    "a large one in a .tar": (lambda path: _tar(path, content=b"\0" * 2**21), "a.tar", "2,097,152 bytes"),
}


def _zip(path, *, content=b"text" * 100, number=1, cut=0, damage=False):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED if damage else zipfile.ZIP_DEFLATED) as archive:
        for place in range(number):
            archive.writestr(f"{place}.png", content)
    data = bytearray(path.read_bytes())
    if damage:
        data[60] ^= 255
    path.write_bytes(data[: len(data) - cut])


def _tar(path, *, content=None, cut=0, link=None):
    with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as archive:
        member = tarfile.TarInfo("0.png")
        if link:
            member.type, member.linkname = tarfile.SYMTYPE, link
        content = np.random.default_rng(0).bytes(4000) if content is None else content
        member.size = 0 if link else len(content)
        archive.addfile(member, io.BytesIO(content))
    path.write_bytes(path.read_bytes()[: cut or None])


@pytest.mark.parametrize("case", ARCHIVES)
def test_bad_archives(tmp_path, monkeypatch, case):
    monkeypatch.setattr(files, "MOST_ZIP_MEMBERS", 11)
    monkeypatch.setattr(files, "LARGEST_MEMBER", 2**20)
    harm, name, cause = ARCHIVES[case]
    harm(tmp_path / name)
    found = list(files.readings(files.image_files([str(tmp_path / name)]), size=8, resize="squash"))
    assert any(cause in reading.cause for _, reading in found), found
    assert all(reading.image is None for _, reading in found)


def test_what_a_large_zip_says_of_itself(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for number in range(66_000):  # above 65,535 the number stands in a header of its own
            archive.writestr(zipfile.ZipInfo(str(number)), b"")
    assert files._zip_members(tmp_path / "a.zip") == 66_000


def test_few_files_are_read_ahead_and_no_names_of_members_are_kept(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for number in range(3000):
            archive.addfile(tarfile.TarInfo(f"{number}.png"))
    taken = 0

    def counted():
        nonlocal taken
        for file in files.image_files([str(tmp_path / "a.tar")]):
            taken += 1
            yield file

    ahead = [taken - given for given, _ in enumerate(files.readings(counted(), size=8, resize="squash"))]
    assert taken == 3000
    assert max(ahead) <= 32 * (files.environment.threads() + 2)


def test_the_least_and_the_most_sure_images(model):
    draw = np.random.default_rng(0)
    probs = draw.dirichlet(np.ones(3), 500).astype(np.float32).round(2)  # with many that are equally sure
    extremes, sure = Extremes(each=40), probs.max(axis=1)
    for first in range(0, 500, 64):
        part = probs[first : first + 64]
        names = [str(first + row) for row in range(len(part))]
        extremes.add(Predicted(names, np.zeros((len(part), 2, 2, 3), np.uint8), part))
    order = np.argsort(sure, kind="stable")
    assert [int(shown.name) for shown in extremes.least()] == order[:40].tolist()
    assert [int(shown.name) for shown in extremes.most()] == np.argsort(-sure, kind="stable")[:40].tolist()


def test_an_image_is_on_a_sheet_once(model, expected, call):
    done = call("predict", model, "photos", "--sheet", "sheet.png")
    assert done.status == 0
    with Image.open("sheet.png") as sheet:
        assert sheet.height < 300  # one row
    assert "wrote sheet.png" in done.err


# --- mistakes: one message, status 1, nothing written -------------------------------------------------


def _lambda(path):
    layers = [keras.Input((8, 8, 3)), keras.layers.Lambda(lambda x: x), keras.layers.Flatten(), keras.layers.Dense(3)]
    keras.Sequential(layers).save(path)


def _plain(path, *, shape=(8, 8, 3), softmax=True):
    layers = [keras.Input(shape), keras.layers.Flatten(), keras.layers.Dense(3)]
    keras.Sequential([*layers, *([keras.layers.Softmax()] if softmax else [])]).save(path)


def _names(text, name="names.txt"):
    Path(name).write_text(text)
    return ["--classes", name]


MISTAKES = {
    "no model": (lambda model: ["nowhere.keras", "photos"], ["nowhere.keras", "no such model"]),
    "no model, but others": (
        lambda model: (shutil.copy(model, "gen1.keras"), ["gen3.keras", "photos"])[1],
        ["gen3.keras: no such model. There are: gen1.keras."],
    ),
    "a folder as model": (lambda model: ["photos", "photos"], ["photos", "no such model"]),
    "an image as model": (lambda model: ["photos/0.png", "photos"], ["photos/0.png", "not a .keras file"]),
    "a truncated model": (
        lambda model: (Path("m.keras").write_bytes(model.read_bytes()[:-300]), ["m.keras", "photos"])[1],
        ["m.keras", "truncated", "name another file"],
    ),
    "code in the model": (
        lambda model: (_lambda("m.keras"), ["m.keras", "photos"])[1],
        ["m.keras", "names no classes"],
    ),
    "code in a model with names": (
        lambda model: (_lambda("m.keras"), ["m.keras", "photos", *_names("a\nb\nc\n")])[1],
        ["m.keras", "safe mode"],
    ),
    "another project's": (
        lambda model: (_plain("m.keras"), ["m.keras", "photos"])[1],
        ["names no classes", "--classes"],
    ),
    "too few names": (lambda model: [model, "photos", *_names("a\nb\n")], ["names 2 classes", "gives 5"]),
    "a name twice": (lambda model: [model, "photos", *_names("a\nb\na\nd\ne\n")], ["the class a stands there twice"]),
    "no names": (lambda model: [model, "photos", *_names("{}", "n.json")], ["n.json", "expected a list of names"]),
    "names of another kind": (lambda model: [model, "photos", *_names("[", "n.json")], ["n.json", "one a line"]),
    "names nowhere": (lambda model: [model, "photos", "--classes", "n.txt"], ["n.txt", "No such file"]),
    "grey images": (
        lambda model: (_plain("m.keras", shape=(8, 8, 1)), ["m.keras", "photos", *_names("a\nb\nc")])[1],
        ["(None, 8, 8, 1)", "square colour images"],
    ),
    "no softmax": (
        lambda model: (_plain("m.keras", softmax=False), ["m.keras", "photos", *_names("a\nb\nc")])[1],
        ["no probabilities", "softmax"],
    ),
    "an empty folder": (lambda model: (Path("empty").mkdir(), [model, "empty"])[1], ["empty: no image file there"]),
    "no list": (lambda model: [model, "-"], ["-: no image file there"]),
    "a path that is not there": (lambda model: [model, "nowhere"], ["nowhere: no such file or folder"]),
    "a device": (lambda model: [model, "/dev/zero"], ["/dev/zero: a device"]),
    "only unreadable files": (
        lambda model: (
            Path("bad").mkdir(),
            [Path(f"bad/{name}.png").write_text("x") for name in "ab"],
            [model, "bad"],
        )[2],
        ["none of 2 files can be read", "bad/a.png: not an image"],
    ),
    "10,000 pixels a side": (
        lambda model: (Image.new("1", (10_000, 10_000)).save("huge.png"), [model, "huge.png"])[1],
        ["huge.png: 100,000,000 pixels"],
    ),
    "a folder as table": (
        lambda model: (Path("out.csv").mkdir(), [model, "photos"])[1],
        ["out.csv", "Is a directory", "Nothing was written"],
    ),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_mistakes(model, photos, call, monkeypatch, case):
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO()))
    arguments, words = MISTAKES[case]
    given = arguments(model)
    done = call("predict", *given, "--csv", "out.csv", "--sheet", "sheet.png")
    assert done.status == 1
    (message,) = [line for line in done.err.splitlines() if not line.startswith("unreadable: ")]
    assert message.startswith("error: ")
    for word in words:
        assert word in message
    assert done.out == ""
    assert not Path("out.csv").is_file()
    assert not Path("sheet.png").exists()
    assert not list(Path().glob(".tmp*"))


def test_names_from_a_file_serve_a_model_of_another_project(photos, call):
    _plain("m.keras")
    Path("names.json").write_text(json.dumps(["x", "y", "z"]))
    done = call("predict", "m.keras", "photos/0.png", "--classes", "names.json", "--csv", "out.csv")
    assert done.status == 0
    image = np.asarray(Image.fromarray(photos["photos/0.png"]).resize((8, 8), Image.Resampling.BICUBIC))[None]
    probs = keras.saving.load_model("m.keras").predict(image, verbose=0)[0]
    (row,) = table()
    np.testing.assert_allclose([float(row[f"p({name})"]) for name in "xyz"], probs, atol=2e-5)


@pytest.mark.parametrize("arguments", [[], ["--top", "0"], ["--threshold", "1"], ["--threshold", "-0.1"]])
def test_wrong_arguments_are_status_2(model, call, arguments):
    done = call("predict", model, *(["x"] if arguments else []), *arguments)
    assert done.status == 2
    assert "usage: " in done.err


def test_ctrl_c_leaves_nothing(model, photos, call, monkeypatch):
    def stop(self, batch):
        raise KeyboardInterrupt

    monkeypatch.setattr(Extremes, "add", stop)
    done = call("predict", model, "photos", "--csv", "out.csv", "--sheet", "sheet.png")
    assert done.status == 130
    assert "nothing was written" in done.err
    assert sorted(path.name for path in Path().iterdir()) == ["photos"]


def test_images_that_were_scaled_differently_are_said(model, photos, call):
    Image.fromarray(np.full((9, 9), 40_000, np.uint16)).save("photos/a.png")
    (Path("photos/b.pgm")).write_bytes(b"P5 4 4 4095\n" + np.full((4, 4), 4000, ">u2").tobytes())
    Image.fromarray(np.full((9, 9), 1000, np.uint16)).save("photos/c.png")
    Image.fromarray(np.full((9, 9), 1000, np.uint16)).save("photos/d.tif", tiffinfo={281: 4095})
    done = call("predict", model, "photos")
    assert done.status == 0
    assert "warning: images of different depth" in done.err


# --- workers ---------------------------------------------------------------------------------------


def _packed(folder):
    """Files, a .tar, a .zip and more files, with some that cannot be read, by units of three."""
    draw = np.random.default_rng(9)
    for number in range(11):
        Image.fromarray(draw.integers(0, 256, (14, 14, 3), np.uint8)).save(folder / f"photos/more{number:02}.png")
    Path("photos/more05.png").write_bytes(b"no image")
    Path("photos/empty.png").touch()
    with tarfile.open("a.tar", "w") as archive:
        for path in sorted(Path("photos").glob("more*")):
            archive.add(path)
    shutil.make_archive("b", "zip", "photos")
    return ["photos", "a.tar", "b.zip", "photos/more01.png", "nowhere.png"]


@pytest.mark.parametrize(
    "executor",
    [
        pytest.param("2", marks=pytest.mark.slow, id="two workers"),  # each imports Keras
        pytest.param(
            "name=ray,workers=2",
            marks=[
                pytest.mark.slow,
                pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed"),
            ],
            id="ray",
        ),
    ],
)
def test_tables_and_sheets_are_the_same_by_workers(model, photos, call, tmp_path, monkeypatch, executor):
    monkeypatch.setattr(files, "UNIT", 3)
    paths = _packed(tmp_path)
    options = ["--csv", "one.csv", "--sheet", "one.png"]
    one = call("predict", model, *paths, *options)
    if "=" in executor:
        monkeypatch.setenv("EXECUTOR", executor)
        more = []
    else:
        more = ["--workers", executor]
    two = call("predict", model, *paths, "--csv", "two.csv", "--sheet", "two.png", *more)
    assert Path("two.csv").read_bytes() == Path("one.csv").read_bytes()
    assert Path("two.png").read_bytes() == Path("one.png").read_bytes()
    assert two.status == one.status == 3

    def named(errors):
        return [line for line in errors.splitlines() if line.startswith("unreadable")]

    assert named(two.err) == named(one.err)
    assert len(named(one.err)) == 6
    assert not list(tmp_path.glob(".noisy-student-*"))


def test_units_are_the_files_in_their_order(photos, tmp_path, monkeypatch):
    monkeypatch.setattr(files, "UNIT", 3)
    paths = _packed(tmp_path)
    found = list(files.units(paths))
    assert [file.name for unit in found for file in unit] == [file.name for file in files.image_files(paths)]
    assert [bool(unit.archive) for unit in found].count(True) == 2
    begins = [file.begins for unit in found for file in unit]
    assert begins == [file.begins for file in files.image_files(paths)]
    assert begins.count(True) == len(found)
    assert max(len(unit.files) for unit in found) == 3


def test_batches_begin_anew_with_each_unit(model, photos, tmp_path, monkeypatch):
    monkeypatch.setattr(files, "UNIT", 3)
    predictor = FilePredictor(open_any(model))
    assert [len(batch.names) for batch in predictor(files.image_files(["photos"]))] == [3, 3, 1]


def test_a_pipe_and_a_link_stay_what_they_are(call, model, photos):
    """Whoever reads the pipe gets the table; the file that a link names gets it, and the link stays."""
    call("predict", model, "photos", "--csv", "plain.csv")
    os.mkfifo("pipe")
    Path("disk").mkdir()
    Path("link.csv").symlink_to("disk/table.csv")
    reader = subprocess.Popen(["cat", "pipe"], stdout=subprocess.PIPE)
    call("predict", model, "photos", "--csv", "pipe")
    assert reader.communicate(timeout=60)[0] == Path("plain.csv").read_bytes()
    assert stat.S_ISFIFO(os.stat("pipe").st_mode)
    call("predict", model, "photos", "--csv", "link.csv")
    assert Path("link.csv").is_symlink()
    assert Path("disk/table.csv").read_bytes() == Path("plain.csv").read_bytes()


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """Folders and files, of which none is read."""
    monkeypatch.chdir(tmp_path)
    for name in (
        "a/cats/1.png",
        "a/cats/old/2.png",
        "a/cats/.hidden/3.png",
        "b/cats4.png",
        "b/dogs/5.png",
        "cats/6.png",
    ):
        path = Path("photos", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("photos/*/cats", ["a/cats/1.png", "a/cats/old/2.png"]),
        ("photos/**/cats", ["a/cats/1.png", "a/cats/old/2.png", "cats/6.png"]),
        ("photos/**/cats*", ["a/cats/1.png", "a/cats/old/2.png", "b/cats4.png", "cats/6.png"]),
        ("pho**", ["a/cats/1.png", "a/cats/old/2.png", "b/cats4.png", "b/dogs/5.png", "cats/6.png"]),
        ("photos/**", ["a/cats/1.png", "a/cats/old/2.png", "b/cats4.png", "b/dogs/5.png", "cats/6.png"]),
        ("photos/**/*", ["a/cats/1.png", "a/cats/old/2.png", "b/cats4.png", "b/dogs/5.png", "cats/6.png"]),
        ("photos/**/*.png", ["a/cats/1.png", "a/cats/old/2.png", "b/cats4.png", "b/dogs/5.png", "cats/6.png"]),
        ("./photos/**/o*", ["a/cats/old/2.png"]),
        ("photos/**/", ["a/cats/1.png", "a/cats/old/2.png", "b/cats4.png", "b/dogs/5.png", "cats/6.png"]),
    ],
)
def test_a_pattern_gives_every_file_of_what_it_matches_once(tree, pattern, expected):
    found = [os.path.relpath(file.name, "photos") for file in files.image_files([pattern])]
    assert sorted(found) == expected


def test_a_damaged_member_of_a_zip_is_named_however_it_is_packed(tree):
    for method in (zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        with zipfile.ZipFile("x.zip", "w", method) as archive:
            archive.writestr("1.png", np.random.default_rng(0).bytes(4000))
        content = bytearray(Path("x.zip").read_bytes())
        content[60:3000] = bytes(2940)
        Path("x.zip").write_bytes(content)
        [found] = list(files.image_files(["x.zip"]))
        assert (found.name, found.file) == ("x.zip/1.png", None), method
        assert found.cause

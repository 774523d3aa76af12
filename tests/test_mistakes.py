"""What users do wrong, six kinds of it: one message that helps, status 1, no traceback, nothing changed.

Every case damages a small finished workspace and runs a stage in it, in this process.
"""

import hashlib
import importlib.util
import io
import json
import os
import resource
import shutil
import tarfile
import zipfile
import zlib
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from small import stage
from support import set_params


def _state(folder):
    """Every file with its content; locks lie about."""
    paths = [
        path for path in folder.rglob("*") if path.is_file() and path.name != "run.json" and path.suffix != ".lock"
    ]
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def _assert_mistake(workspace, call, words, capfd):
    before = _state(workspace)
    end = stage(*call)
    printed = capfd.readouterr()
    assert isinstance(end, str), f"status {end}; {printed.err}"  # a text is printed, the status is 1
    assert end.startswith("error: "), end
    for word in words:
        assert word in end, end
    assert "Traceback" not in end + printed.out + printed.err
    assert _state(workspace) == before, "files changed"


def _params(**values):
    """Change params.yaml; keys are dotted, with __ for the dots."""
    set_params({key.replace("__", "."): value for key, value in values.items()})


def _text(old, new):
    path = Path("params.yaml")
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


# --- parameters ----------------------------------------------------------------------------------

PARAMETERS = {
    "a typo": (lambda: _text("  mix: ratio", "  mxi: ratio"), ["student.mxi", "spelling"]),
    "a word for a number": (lambda: _params(teacher__steps="many"), ["teacher.steps", "'many'"]),
    "a negative rate": (lambda: _params(teacher__optimizer__learning_rate=-0.1), ["learning_rate", "-0.1"]),
    "not a number": (lambda: _text("learning_rate: #", "learning_rate: .nan #"), ["learning_rate", "nan"]),
    "a missing section": (lambda: _text("balance:\n", "balanse:\n"), ["balance", "missing"]),
    "steps and epochs": (lambda: _params(teacher__epochs=3), ["epochs", "steps", "null"]),
    "an unknown teacher": (
        lambda: _text("gen1: {teacher: teacher}", "gen1: {teacher: student-gen9}"),
        ["student-gen9", "choose one of"],
    ),
    "a number as generation": (lambda: _text("gen1: {", "1: {"), ["key 1 is of type int", "gen1"]),
    "a network that does not exist": (
        lambda: _params(teacher__model__name="vgg"),
        ["teacher.model.name", "choose one"],
    ),
    "a split that the source lacks": (lambda: _params(data__test=None), ["data.test", "digits has no test split"]),
    "a size without steps": (
        lambda: _params(teacher__progressive__image_size=8),  # two validations
        ["teacher: progressive", "sizes=2 within share=0.5 of 2 stretches", "Give more of them"],
    ),
    "no YAML": (lambda: Path("params.yaml").write_text("a: [1,\n"), ["not valid YAML", "params.yaml"]),
    "an empty file": (lambda: Path("params.yaml").write_text(""), ["must hold sections"]),
    "binary": (lambda: Path("params.yaml").write_bytes(b"\xff\xfe\x00"), ["params.yaml", "cannot be read"]),
    "no file": (lambda: Path("params.yaml").unlink(), ["params.yaml", "repository's root"]),
    "a key twice": (lambda: _text("seed: 0", "seed: 0\nseed: 1"), ["seed", "params.yaml"]),
    "validation that does not divide": (
        lambda: _params(teacher__validate_every=3),
        ["validate_every=3", "must divide"],
    ),
    "an output as input": (
        lambda: _params(data__root="data/prepared/labelled"),
        ["data.root", "data/prepared/labelled"],
    ),
    "more images than there are": (lambda: _params(data__labelled=5000), ["5,000", "labelled"]),
    "a single grey level": (lambda: _params(data__levels=1), ["data.levels", "4096 for 12 bits", "found 1"]),
    "minutes below zero": (lambda: _params(checkpoint__every_minutes=-1.0), ["checkpoint.every_minutes"]),
    "portable bfloat16": (
        lambda: _params(arithmetic="portable", precision="mixed_bfloat16"),
        ["arithmetic=portable", "mixed_bfloat16", "float32"],
    ),
}


@pytest.mark.parametrize("case", PARAMETERS)
def test_parameters(workspace, case, capfd):
    damage, words = PARAMETERS[case]
    damage()
    _assert_mistake(workspace, ["prepare"], words, capfd)


def _list(text):
    Path("data/raw/pool.txt").write_text(text)
    _params(data__unlabelled_from="data/raw/pool.txt")


CHECKED = {  # what the stage check knows before the first image is read
    "a size of another network": (
        lambda: _params(student__model__size="b0"),
        ["student.model.size=b0 is for efficientnet", "Leave size empty"],
    ),
    "the depth of a network that has none": (
        lambda: _params(teacher__model__name="article_resnet50", teacher__model__depth=50),
        ["teacher.model.depth=50 is for resnet", "fixed size"],
    ),
    "images that do not grow": (
        lambda: _params(teacher__progressive__image_size=8, teacher__progressive__sizes=1),  # 8 is the full size, too
        [
            "teacher.progressive: images cannot grow from 8 to 8 pixels",
            "empty (`-S teacher.progressive.image_size=null`)",
        ],
    ),
    "no validation images to choose by": (
        lambda: _params(data__validation=0, teacher__select_by="loss"),
        ["data.validation=0", "teacher.select_by=last"],
    ),
    "fewer labels than classes": (lambda: _params(data__labelled=9), ["data.labelled=9", "10 classes"]),
    "more images than there are": (lambda: _params(data__labelled=5000), ["data.labelled=5,000", "1,797"]),
    "a confidence that none can have": (
        lambda: _params(pseudolabel__max_confidence=0.1),
        ["pseudolabel.max_confidence=0.1", "no image would be left"],
    ),
    "a folder that is not there": (
        lambda: _params(data__unlabelled_from="/nonexistent/images"),
        ["data.unlabelled_from=/nonexistent/images", "no such file"],
    ),
    "a URL in the place of a list": (
        lambda: _params(data__unlabelled_from="s3://bucket/{000..099}.tar"),
        ["data.unlabelled_from=s3://bucket/{000..099}.tar", "write them into one, e.g. data/raw/pool.txt"],
    ),
    "more labels to keep than there are": (
        lambda: _params(generations__gen1__pseudolabel={"keep": 10}),
        ["generations.gen1.pseudolabel.keep=10", "there are 10 classes"],
    ),
    "an executor that is none": (
        lambda: Path("executor.yaml").write_text("workers: 0\n"),
        ["executor.yaml", "workers", "greater than or equal to 1"],
    ),
    "a list of nothing": (lambda: _list("# later\n"), ["data/raw/pool.txt: names no file"]),
    "a list with a path that leads nowhere": (lambda: _list("\na.tar"), ["pool.txt, line 2: a.tar: no such file"]),
    "a list with an unknown protocol": (lambda: _list("s4://a/b.tar"), ["line 1: s4://a/b.tar: unknown protocol"]),
    "labels anew of what nobody has chosen": (
        lambda: _params(pseudolabel__reassign=True),
        ["generations.gen1.pseudolabel.reassign", "learned from no pseudo-labels"],
    ),
    "another framework in the environment": (
        lambda: os.environ.update(KERAS_BACKEND="jax"),
        ["KERAS_BACKEND is jax", "Unset it"],
    ),
}


@pytest.mark.parametrize("case", CHECKED)
def test_before_the_first_image_is_read(workspace, case, capfd, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")  # put back afterwards
    damage, words = CHECKED[case]
    damage()
    _assert_mistake(workspace, ["check"], words, capfd)


def test_a_number_as_generation_is_refused_by_every_stage(workspace, capfd):
    _text("gen1: {", "1: {")
    for name in ("check", "prepare", "teacher", "eval_teacher", "robustness_teacher", "results"):
        _assert_mistake(workspace, [name], ["the key 1 is of type int", "gen1"], capfd)
    for name in ("pseudolabel", "balance", "student", "eval", "robustness", "card"):
        _assert_mistake(workspace, [name, "1"], ["the key 1 is of type int", "gen1"], capfd)


# --- images --------------------------------------------------------------------------------------


def _folder():
    """A valid source of kind folder, and the parameters for it."""
    rng = np.random.default_rng(0)
    for split, number in (("train", 60), ("test", 10)):
        for name in ("cat", "dog"):
            Path("data/raw/mine", split, name).mkdir(parents=True)
            for index in range(number):
                image = Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8))
                image.save(f"data/raw/mine/{split}/{name}/{index}.png")
    _params(data__source="folder", data__root="data/raw/mine", data__test=None, data__unlabelled=None)


def _spoil(split, name, content):
    """Put the same content into every image of a class."""
    for path in Path("data/raw/mine", split, name).iterdir():
        path.write_bytes(content)


def _link(folder):
    """Move a folder away and leave a link to it."""
    shutil.move(folder, "elsewhere")
    Path(folder).symlink_to(Path("elsewhere").resolve())


def _save_deep(path):
    Image.fromarray(np.linspace(0, 4000, 64).astype(np.uint16).reshape(8, 8)).save(path)


def _flat_val(numbers):
    """In place of test/: images in one folder, beside a list of their classes."""
    Path("data/raw/mine/val").mkdir()
    for row, number in enumerate(numbers):
        Path(f"data/raw/mine/test/cat/{row}.png").rename(f"data/raw/mine/val/{row}.png")
        with Path("data/raw/mine/val.txt").open("a") as file:
            file.write(f"{row}.png {number}\n")
    shutil.rmtree("data/raw/mine/test")


def _thin_out(split, name):
    """Leave two images of a class."""
    for path in sorted(Path("data/raw/mine", split, name).iterdir())[2:]:
        path.unlink()


def _png(side):
    """A PNG whose header claims so many pixels a side."""
    chunk = b"IHDR" + side.to_bytes(4, "big") * 2 + bytes([8, 2, 0, 0, 0])
    end = b"\x00\x00\x00\x00IEND\xaeB`\x82"
    return b"\x89PNG\r\n\x1a\n\x00\x00\x00\r" + chunk + zlib.crc32(chunk).to_bytes(4, "big") + end


def _jpeg_cut():
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)).save(file, "JPEG")
    return file.getvalue()[:300]


IMAGES = {
    "no train": (lambda: shutil.rmtree("data/raw/mine/train"), ["no folder train/", "Expected"]),
    "no test": (lambda: shutil.rmtree("data/raw/mine/test"), ["no folder test/", "Expected"]),
    "one class": (lambda: shutil.rmtree("data/raw/mine/train/cat"), ["only the class dog", "two classes"]),
    "an empty class": (lambda: (_spoil("train", "cat", b""), None), ["train/cat", "an empty file"]),
    "no image at all": (lambda: _spoil("train", "dog", b"hello"), ["train/dog", "not an image"]),
    "cut JPEGs": (lambda: _spoil("train", "dog", _jpeg_cut()), ["train/dog", "Truncated"]),
    "a decompression bomb": (lambda: _spoil("test", "dog", _png(50_000)), ["test/dog", "decompression bomb"]),
    "a class without training images": (
        lambda: shutil.copytree("data/raw/mine/test/cat", "data/raw/mine/test/eel"),
        ["eel is not in train/"],
    ),
    "too few": (
        lambda: [p.unlink() for p in list(Path("data/raw/mine/train/cat").iterdir())[2:]],
        ["data.labelled", "found 22"],
    ),
    "no folder": (lambda: shutil.rmtree("data/raw/mine"), ["data.root=data/raw/mine"]),
    "a file for a folder": (
        lambda: _params(data__unlabelled_from="params.yaml"),
        ["params.yaml, line ", "no such file (paths are relative to .)", "Correct the list"],
    ),
    "an empty pool": (
        lambda: (Path("pool").mkdir(), _params(data__unlabelled_from="pool")),
        ["data.unlabelled_from=pool", "no readable image"],
    ),
    "a pool of test images": (
        lambda: _params(data__unlabelled_from="data/raw/mine/test"),
        ["no unlabelled image is left", "duplicates"],
    ),
    "a misspelt root": (
        lambda: _params(data__root="data/raw/mien"),
        ["data.root=data/raw/mien: no such file", "Did you mean data/raw/mine?"],
    ),
    "a misspelt pool": (
        lambda: _params(data__unlabelled_from="data/raw/mine/tset"),
        ["data.unlabelled_from=data/raw/mine/tset", "Did you mean data/raw/mine/test?"],
    ),
    "a misspelt split": (
        lambda: Path("data/raw/mine/train").rename("data/raw/mine/Train"),
        ["no folder train/", "there is Train/"],
    ),
    "a linked folder": (
        lambda: _link("data/raw/mine/train/cat"),
        ["data.root: data/raw/mine/train/cat is a link to the folder", "cp -rs"],
    ),
    "a linked folder in the pool": (
        lambda: (
            shutil.copytree("data/raw/mine/test", "pool"),
            _link("pool/cat"),
            _params(data__unlabelled_from="pool"),
        ),
        ["data.unlabelled_from: pool/cat is a link to the folder", "cp -rs"],
    ),
    "an unlabelled/ without images": (
        lambda: Path("data/raw/mine/unlabelled").mkdir(),
        ["unlabelled: no image in it"],
    ),
    "an unlabelled/ that cannot be read": (
        lambda: (Path("data/raw/mine/unlabelled").mkdir(), Path("data/raw/mine/unlabelled/a.png").write_text("a")),
        ["unlabelled has no unlabelled", "a.png: not an image"],
    ),
    "two forms of one class": (
        lambda: [Path("data/raw/mine/train", name).mkdir() for name in ("caf\u00e9", "cafe\u0301")],
        ["train: two folders of the class", r"'caf\xe9'", r"'cafe\u0301'"],
    ),
    "16 bits of which 12 are used": (
        lambda: [_save_deep(path) for path in Path("data/raw/mine").rglob("*.png")],
        ["140 images of 16 bits use levels up to 4,000 only", "data.levels to 4096"],
    ),
    "levels that are too few": (
        lambda: (_save_deep(Path("data/raw/mine/train/cat/0.png")), _params(data__levels=1024)),
        ["data.levels=1024", "train/cat/0.png has levels up to 4,000"],
    ),
    "a list of places without an end": (
        lambda: _flat_val([1, 1]),
        ["val.txt: classes by number, from 1 to 1", "classes.txt"],
    ),
}


@pytest.mark.parametrize("case", IMAGES)
def test_images(workspace, case, capfd):
    damage, words = IMAGES[case]
    _folder()
    damage()
    _assert_mistake(workspace, ["prepare"], words, capfd)


# --- archives ------------------------------------------------------------------------------------

CIFAR = Path("data/raw/cifar10/cifar-10-binary.tar.gz")


def _cifar(*, skip=(), change=None, twice=None):
    """Write an archive of 200 training and 40 test images, and the parameters for it."""
    rng = np.random.default_rng(0)
    members = {f"data_batch_{k}.bin": _records(rng, 40) for k in range(1, 6)} | {"test_batch.bin": _records(rng, 40)}
    members["batches.meta.txt"] = b"\n".join(b"class%d" % k for k in range(10))
    members |= change or {}
    CIFAR.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(CIFAR, "w:gz") as tar:
        for name, content in [*members.items(), *([(twice, b"")] if twice else [])]:
            if name not in skip:
                info = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    _hash()
    _params(data__source="cifar10", data__root="data/raw/cifar10", data__test=None)


def _records(rng, number):
    return b"".join(bytes([k % 10]) + rng.bytes(3072) for k in range(number))


def _hash():
    _params(data__sha256=hashlib.sha256(CIFAR.read_bytes()).hexdigest())


def _change_archive(function):
    _cifar()
    CIFAR.write_bytes(function(CIFAR.read_bytes()))
    _hash()


def _pickles():
    _cifar()
    CIFAR.rename(CIFAR.with_name("cifar-10-python.tar.gz"))


def _wrong_hash():
    _cifar()
    _params(data__sha256="0" * 64)


def _svhn(**content):
    """Write the three files of SVHN, the test split with other content, and the parameters for them."""
    hashes, rng = {}, np.random.default_rng(0)
    Path("data/raw/svhn").mkdir(parents=True)
    for name in ("train", "test", "extra"):
        path = Path(f"data/raw/svhn/{name}_32x32.mat")
        values = {
            "X": rng.integers(0, 256, (32, 32, 3, 200), np.uint8),
            "y": np.arange(200)[:, None] % 10 + 1,
        }
        savemat(path, values | (content if name == "test" else {}))
        hashes[path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
    _params(data__source="svhn", data__root="data/raw/svhn", data__test=None, data__sha256=hashes)


ARCHIVES = {
    "pickles": (_pickles, ["holds pickles, which are never loaded"]),
    "another file": (_wrong_hash, ["SHA-256 expected 000", "found"]),
    "cut": (lambda: _change_archive(lambda data: data[: len(data) // 2]), ["truncated"]),
    "not compressed": (lambda: _change_archive(lambda data: b"PK" + data), ["no .tar.gz"]),
    "a member missing": (lambda: _cifar(skip=("data_batch_3.bin",)), ["data_batch_3.bin is missing"]),
    "half a record": (lambda: _cifar(change={"test_batch.bin": bytes(3000)}), ["test_batch.bin", "3,073"]),
    "a label too high": (
        lambda: _cifar(change={"data_batch_1.bin": bytes([77]) + bytes(3072)}),
        ["data_batch_1.bin", "label 77"],
    ),
    "a bomb": (
        lambda: _cifar(change={"data_batch_1.bin": bytes(40_000_000)}),
        ["40,000,000 bytes", "at most"],
    ),
    "a bomb beside them": (
        lambda: _cifar(change={"huge": bytes(320_000_000)}),
        ["member cifar-10-batches-bin/huge", "unpacks to more"],
    ),
    "a member twice": (lambda: _cifar(twice="test_batch.bin"), ["expected once"]),
    "nine classes": (
        lambda: _cifar(change={"batches.meta.txt": b"a\nb\nc\nd\ne\nf\ng\nh\ni\n"}),
        ["10 different class names"],
    ),
    "a matrix of another shape": (
        lambda: _svhn(X=np.zeros((32, 32, 200), np.uint8)),
        ["expected uint8 (32, 32, 3"],
    ),
    "no labels": (lambda: _svhn(y=np.zeros((200, 1))), ["labels 0 to 0", "expected 1 to 10"]),
}


@pytest.mark.parametrize("case", ARCHIVES)
def test_archives(workspace, case, capfd):
    damage, words = ARCHIVES[case]
    damage()
    _assert_mistake(workspace, ["prepare"], words, capfd)


# --- arrays --------------------------------------------------------------------------------------

BALANCE, STUDENT, LABEL = ["balance", "gen1"], ["student", "gen1"], ["pseudolabel", "gen1"]
PROBS, ROWS = "data/prepared/pseudo_labels/gen1/shard-00000.npy", "data/prepared/balanced/gen1.npy"


def _save(path, array):
    np.save(path, array, allow_pickle=True)


def _edit(path, function):
    _save(path, function(np.load(path)))


def _cut(path):
    Path(path).write_bytes(Path(path).read_bytes()[:-20])


def _without_the_last_class():
    probs = np.full((80, 10), 0.01, np.float32)
    probs[np.arange(80), np.arange(80) % 9] = 0.91
    return probs


def _with_nan(probs):
    probs[3, 2] = np.nan
    return probs


ARRAYS = {
    "a pickle": (
        ["balance", "gen1"],
        lambda: _save(PROBS, np.array([{}], object)),
        [PROBS, "not a readable"],
    ),
    "cut labels": (BALANCE, lambda: _cut(PROBS), [PROBS, "not a readable"]),
    "no labels": (BALANCE, lambda: Path(PROBS).unlink(), [PROBS, "no such file"]),
    "labels of another pool": (
        ["balance", "gen1"],
        lambda: _edit(PROBS, lambda p: p[:-1]),
        ["pseudo_labels/gen1", "79 distributions", "80 unlabelled"],
    ),
    "labels of other classes": (
        ["student", "gen1"],
        lambda: _edit(PROBS, lambda p: p[:, :9]),
        [PROBS, "(80, 9)"],
    ),
    "float64": (STUDENT, lambda: _edit(PROBS, lambda p: p.astype(float)), [PROBS, "float64"]),
    "NaN": (STUDENT, lambda: _edit(PROBS, _with_nan), [PROBS, "row 3", "nan"]),
    "no distributions": (BALANCE, lambda: _edit(PROBS, lambda p: p * 2), [PROBS, "sums to 2"]),
    "rows beyond the pool": (STUDENT, lambda: _edit(ROWS, lambda r: r + 80), [ROWS, "80 images"]),
    "no rows": (STUDENT, lambda: _edit(ROWS, lambda r: r[:0]), [ROWS, "found int64 (0,)"]),
    "images as numbers": (
        ["teacher"],
        lambda: _edit("data/prepared/labelled/images.npy", lambda i: i / 255),
        ["data/prepared/labelled/images.npy", "uint8", "float64"],
    ),
    "fewer labels than images": (
        ["teacher"],
        lambda: _edit("data/prepared/labelled/labels.npy", lambda v: v[:-1]),
        ["data/prepared/labelled/labels.npy", "one label an image"],
    ),
    "a label too high": (
        ["teacher"],
        lambda: _edit("data/prepared/validation/labels.npy", lambda v: v + 9),
        ["data/prepared/validation/labels.npy", "expected 0 to 9"],
    ),
    "a truth too high": (
        ["eval", "gen1"],
        lambda: _edit("data/prepared/truth/unlabelled.npy", lambda v: v + 9),
        ["data/prepared/truth/unlabelled.npy", "-1 (unknown) to 9"],
    ),
    "labels of which none is sure": (
        BALANCE,
        lambda: (_save(PROBS, np.full((80, 10), 0.1, np.float32)), _params(pseudolabel__threshold=0.9)),
        ["threshold=0.9", "Lower pseudolabel.threshold"],
    ),
    "labels of which none is of a class": (
        BALANCE,
        lambda: (_save(PROBS, _without_the_last_class()), _params(balance__on_empty="error")),
        ["class 9", "balance.on_empty"],
    ),
    "a generation that there is not": (["student", "gen9"], lambda: None, ["there is no 'gen9'", "gen1"]),
    "classes that are no JSON": (
        ["teacher"],
        lambda: Path("data/prepared/classes.json").write_text("{"),
        ["data/prepared/classes.json", "JSON"],
    ),
}


@pytest.mark.parametrize("case", ARRAYS)
def test_arrays(workspace, case, capfd):
    call, damage, words = ARRAYS[case]
    damage()
    _assert_mistake(workspace, call, words, capfd)


# --- models --------------------------------------------------------------------------------------

TEACHER, WEIGHTS = Path("models/teacher.keras"), "model.weights.h5"


def _flip():
    data = bytearray(TEACHER.read_bytes())
    data[len(data) // 2] ^= 1
    TEACHER.write_bytes(data)


def _member(name, function):
    """Rewrite one member of the teacher's file; None removes it."""
    with zipfile.ZipFile(TEACHER) as archive:
        members = {each: archive.read(each) for each in archive.namelist()}
    changed = function(members.pop(name))
    with zipfile.ZipFile(TEACHER, "w") as archive:
        for each, content in (members | ({} if changed is None else {name: changed})).items():
            archive.writestr(each, content)


def _bomb():
    with zipfile.ZipFile(TEACHER, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", bytes(100_000_000))


def _network(**options):
    inputs = keras.Input((options.get("size", 8),) * 2 + (3,), dtype="uint8")
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Rescaling(1 / 255)(inputs))
    if "function" in options:
        x = keras.layers.Lambda(options["function"], output_shape=(3,))(x)
    model = keras.Model(inputs, keras.layers.Dense(options.get("classes", 10), activation="softmax")(x))
    if "value" in options:
        model.set_weights([np.full_like(weight, options["value"]) for weight in model.get_weights()])
    model.save(TEACHER)


def _class_from(module, name):
    def change(content):
        config = json.loads(content)
        config["module"], config["class_name"], config["registered_name"] = module, name, name
        return json.dumps(config).encode()

    return change


MODELS = {
    "a depth that there is not": (
        ["teacher"],
        lambda: _params(teacher__model__depth=9),
        ["teacher.model: resnet has depth 6n + 2", "8, 14"],
    ),
    "a rate that is too high": (
        ["teacher"],
        lambda: _params(teacher__optimizer__learning_rate=1e30, teacher__schedule={"name": "constant"}),
        ["teacher: the loss became", "learning_rate"],
    ),
    "a student's network that cannot be": (
        LABEL,
        lambda: _params(generations__gen1={"teacher": "teacher", "student": {"model": {"depth": 9}}}),
        ["generations.gen1.student.model: resnet has depth 6n + 2"],
    ),
    "missing": (LABEL, lambda: TEACHER.unlink(), ["models/teacher.keras", "no such model"]),
    "cut": (LABEL, lambda: _cut(TEACHER), ["models/teacher.keras", "truncated"]),
    "no archive": (
        LABEL,
        lambda: TEACHER.write_bytes(b"hello" * 99),
        ["models/teacher.keras", "not a .keras"],
    ),
    "a flipped bit": (LABEL, _flip, ["models/teacher.keras", "checksum"]),
    "no weights": (
        LABEL,
        lambda: _member("model.weights.h5", lambda c: None),
        ["model.weights.h5", "missing"],
    ),
    "weights of nothing": (LABEL, lambda: _member(WEIGHTS, lambda c: b""), ["safe mode"]),
    "no configuration": (LABEL, lambda: _member("config.json", lambda c: b"{"), ["safe mode"]),
    "code in it": (LABEL, lambda: _network(function=lambda x: x), ["safe mode"]),
    "another class": (LABEL, lambda: _member("config.json", _class_from("os", "system")), ["safe mode"]),
    "no model": (
        LABEL,
        lambda: _member("config.json", _class_from("keras.layers", "Softmax")),
        ["models/teacher.keras"],
    ),
    "other classes": (["eval_teacher"], lambda: _network(classes=7), ["teacher.keras", "7", "10 classes"]),
    "other classes, to label": (
        LABEL,
        lambda: _network(classes=7),
        ["teacher.keras", "7", "10 classes"],
    ),
    "NaN": (LABEL, lambda: _network(value=np.nan), ["NaN", "learning rate"]),
    "metadata that are none": (LABEL, lambda: _member("metadata.json", lambda c: b"{"), ["metadata.json is no JSON"]),
    "a description that is none": (
        LABEL,
        lambda: _member("metadata.json", lambda c: b'{"noisy_student": {"format": 1, "classes": []}}'),
        ["teacher.keras", "description is damaged"],
    ),
    "other names of classes": (
        LABEL,
        lambda: _member("metadata.json", lambda c: c.replace(b'"classes": ["0", "1"', b'"classes": ["1", "0"')),
        ["teacher.keras", "names other classes", "class 0 is '1' there, '0' here"],
    ),
    "a bomb": (LABEL, _bomb, ["unpack to", "no model of ours"]),
}


@pytest.mark.parametrize("case", MODELS)
def test_models(workspace, case, capfd):
    call, damage, words = MODELS[case]
    damage()
    _assert_mistake(workspace, call, words, capfd)


# --- weights to start from ------------------------------------------------------------------------

OWN = Path("data/raw/weights/own.keras")
B0 = {"name": "efficientnet", "size": "b0", "small_images": True}


def _start(model=None, **values):
    """Ask for a pretrained start; by default the weights are the finished teacher's."""
    shutil.copy("models/teacher.keras", OWN)
    _params(teacher__init="pretrained", **({"teacher__model": model} if model else {}), **values)


def _hdf5(names=("stem_conv", "block1a_dwconv", "top_conv"), cut=0):
    """A file as Keras saved it formerly, of kernels of 8 filters."""
    OWN.unlink()
    path = OWN.with_name("efficientnetb0.h5")
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = list(names)
        for name in names:
            file[f"{name}/kernel:0"] = np.zeros((1, 1, 8, 8), np.float32)
            file[name].attrs["weight_names"] = ["kernel:0"]
    if cut:
        path.write_bytes(path.read_bytes()[:-cut])


def _tensors(content=None, config=None, **tensors):
    """A file of timm's kind."""
    from safetensors.numpy import save_file

    OWN.unlink()
    path = OWN.with_name("model.safetensors")
    save_file(tensors or {"conv_stem.weight": np.zeros((8, 3, 3, 3), np.float32)}, path)
    if content is not None:
        path.write_bytes(content(path.read_bytes()))
    if config is not None:
        path.with_name("config.json").write_text(config)


CHECK, START = ["check"], ["teacher"]
INITIAL = {
    "no folder": (CHECK, lambda: shutil.rmtree(OWN.parent), ["teacher.weights=data/raw/weights: no such file"]),
    "a misspelt folder": (
        CHECK,
        lambda: _params(teacher__weights="data/raw/wieghts"),
        ["no such file", "Did you mean data/raw/weights?"],
    ),
    "an output": (
        CHECK,
        lambda: _params(teacher__weights="models/teacher.keras"),
        ["teacher.weights=models/teacher.keras", "Copy the file of weights into data/raw/weights"],
    ),
    "no file": (CHECK, lambda: (_start(), OWN.unlink()), ["no file there ends in .h5", "commands.weights"]),
    "two files": (
        CHECK,
        lambda: (_start(), shutil.copy(OWN, OWN.with_name("b.keras"))),
        ["2 files of weights there (b.keras, own.keras)", "teacher.weights=data/raw/weights/b.keras"],
    ),
    "another kind of file": (
        CHECK,
        lambda: _start(teacher__weights="params.yaml"),
        ["ends in .h5, .safetensors, .keras, found params.yaml"],
    ),
    "frozen at random": (
        CHECK,
        lambda: _params(teacher__freeze_blocks=1),
        ["teacher.freeze_blocks=1 would keep random weights", "teacher.init: pretrained"],
    ),
    "more frozen than there are": (
        CHECK,
        lambda: _start(teacher__freeze_blocks=4),
        ["teacher.freeze_blocks=4: resnet has only 3 blocks"],
    ),
    "EfficientNet for a ResNet": (
        CHECK,
        lambda: (_start(), _hdf5()),
        ["efficientnetb0.h5 is read as an EfficientNet", "Set teacher.model.name to efficientnet"],
    ),
    "part of an EfficientNet": (CHECK, lambda: (_start(B0), _hdf5()), ["only part of one", "Get the whole file"]),
    "layers by other names": (
        CHECK,
        lambda: (_start(B0), _hdf5(["conv2d"])),
        ["holds no layer of keras.applications' EfficientNet", "save_weights("],
    ),
    "HDF5 that is cut": (
        CHECK,
        lambda: (_start(B0), _hdf5(cut=99)),
        ["efficientnetb0.h5 is truncated", "Get it again"],
    ),
    "tensors that are cut": (
        CHECK,
        lambda: (_start(B0), _tensors(lambda data: data[:-9])),
        ["model.safetensors is truncated", "Get it again"],
    ),
    "tensors by other names": (
        CHECK,
        lambda: (_start(B0), _tensors(other=np.zeros(3, np.float32))),
        ["holds no tensor of timm's tf_efficientnet_*"],
    ),
    "timm's other EfficientNet": (
        CHECK,
        lambda: (_start(B0), _tensors(config='{"architecture": "efficientnet_b0"}')),
        ["timm's efficientnet_b0, which pads", "tf_efficientnet_b0"],
    ),
    "a configuration that is none": (
        CHECK,
        lambda: (_start(B0), _tensors(config='{"pretrained_cfg": {"mean": [1]}}')),
        ["config.json is no configuration of timm's (mean is [1])"],
    ),
    "a model that is cut": (START, lambda: (_start(), _cut(OWN)), ["teacher.weights", "own.keras: truncated"]),
    "a model of another network": (
        START,
        lambda: _start({"name": "resnet", "depth": 8, "width": 8}),
        ["own.keras does not fit teacher.model, resnet_8_8", "layer stem_conv"],
    ),
    "a model of another project": (
        START,
        lambda: (_start(), _network(), shutil.copy(TEACHER, OWN)),
        ["own.keras is no model of this project", "save_weights("],
    ),
}


@pytest.mark.parametrize("case", INITIAL)
def test_weights_to_start_from(workspace, case, capfd):
    call, damage, words = INITIAL[case]
    damage()
    _assert_mistake(workspace, call, words, capfd)


# --- environment ---------------------------------------------------------------------------------


def _file_at(path):
    """A file where a folder should be."""
    if Path(path).exists():
        shutil.rmtree(path)
    Path(path).write_text("in the way")


def _folder_at(path):
    Path(path).unlink()
    (Path(path) / "inside").mkdir(parents=True)


def _raise(error):
    def function(*arguments, **options):
        raise error

    return function


ENVIRONMENT = {
    "another backend": (
        ["teacher"],
        lambda patch: patch.setenv("KERAS_BACKEND", "numpy"),
        ["KERAS_BACKEND is numpy", "Unset it"],
    ),
    "a backend that is not installed": (
        ["teacher"],
        lambda patch: (
            patch.delenv("KERAS_BACKEND"),
            patch.setattr("importlib.util.find_spec", lambda name: None),
        ),
        ["is not installed", "pip install -r"],
    ),
    "a disk that is full": (
        ["prepare"],
        lambda patch: _limit_files(1000),
        ["data/", "Free"],
    ),
    "a full disk for labels": (LABEL, lambda patch: _limit_files(500), ["Free"]),
    "a full disk for the rows": (
        ["balance", "gen1"],
        lambda patch: _limit_files(300),
        ["Free"],
    ),
    "a read-only file system": (
        ["prepare"],
        lambda patch: patch.setattr(os, "replace", _raise(OSError(30, "Read-only file system", "data"))),
        ["Read-only file system", "in a copy of the project"],
    ),
    "no permission": (
        ["prepare"],
        lambda patch: patch.setattr(os, "replace", _raise(PermissionError(13, "Permission denied", "data"))),
        ["Permission denied", "permissions"],
    ),
    "too little memory": (
        ["prepare"],
        lambda patch: patch.setattr(np, "lexsort", _raise(MemoryError("Unable to allocate 9 TiB"))),
        ["out of memory", "9 TiB", "data.unlabelled"],
    ),
    "a file in the way of the checkpoints": (
        ["teacher"],
        lambda patch: _file_at("checkpoints"),
        ["checkpoints", "in the way"],
    ),
    "a file in the way of the data": (
        ["prepare"],
        lambda patch: _file_at("data/prepared/labelled"),
        ["data/prepared/labelled"],
    ),
    "a folder in the way of a model": (
        ["eval", "gen1"],
        lambda patch: _folder_at("models/student-gen1.keras"),
        ["models/student-gen1.keras"],
    ),
    "another folder": (
        ["results"],
        lambda patch: (Path("empty").mkdir(), patch.chdir("empty")),
        ["params.yaml", "repository's root"],
    ),
}


def _limit_files(size):
    """No file may grow beyond so many bytes: for a program the same as a full disk."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


@pytest.mark.parametrize("case", ENVIRONMENT)
def test_environment(workspace, case, capfd, monkeypatch):
    call, damage, words = ENVIRONMENT[case]
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        with monkeypatch.context() as patch:
            damage(patch)
            before = _state(workspace)
            end = stage(*call)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert isinstance(end, str), end
    assert end.startswith("error: "), end
    for word in words:
        assert word in end, end
    assert "Traceback" not in end + capfd.readouterr().err
    left = {path for path in _state(workspace) if path not in before}
    assert not left, "half-written files"


# --- several devices -----------------------------------------------------------------------------


def _launch(text, **values):
    Path("launch.yaml").write_text(text)
    _params(**values)


LAUNCHES = {
    "PyTorch": (
        lambda: _params(backend="torch", distribution="devices"),
        ["distribution=devices", "tensorflow or jax", "found torch"],
    ),
    "processes on TensorFlow": (lambda: _params(distribution="processes"), ["distribution=processes", "jax"]),
    "portable on several": (
        lambda: _params(distribution="devices", arithmetic="portable"),
        ["arithmetic=portable", "one device"],
    ),
    "a batch that they cannot share": (
        lambda: _launch("devices: 5", distribution="devices"),
        ["teacher: 5 devices cannot share a batch of 64", "60 or 65 would do", "student: 5 devices", "batch of 16"],
    ),
    "one device": (lambda: _launch("devices: 1", distribution="devices"), ["there is 1 device", "LAUNCH=devices=2"]),
    "a misspelt key of launch.yaml": (
        lambda: _launch("device: 2", distribution="devices"),
        ["launch.yaml", "device", "It may hold name: shell | ray, workers"],
    ),
}


@pytest.mark.parametrize("case", LAUNCHES)
def test_launches(workspace, case, capfd, monkeypatch):
    for variable in ("LAUNCH", "DVC_ROOT"):
        monkeypatch.delenv(variable, raising=False)
    damage, words = LAUNCHES[case]
    damage()
    _assert_mistake(workspace, ["check"], words, capfd)


# --- executors -----------------------------------------------------------------------------------


def _executor(text):
    Path("executor.yaml").write_text(text)


EXECUTORS = {
    "an unknown executor": (lambda: _executor("name: slurm"), ["executor.yaml", "'slurm'", "local | ray"]),
    "a misspelt key": (lambda: _executor("worker: 2"), ["executor.yaml", "worker"]),
    "an address without Ray": (lambda: _executor("address: 10.0.0.1:6379"), ["executor.yaml", "name: ray"]),
    "more processors than there are": (
        lambda: _params(pseudolabel__threads=4096),
        ["pseudolabel.threads=4096", "Give at most that"],
    ),
    "all classes, and more": (lambda: _params(pseudolabel__keep=10), ["pseudolabel.keep=10", "10 classes"]),
    "no number of classes": (lambda: _params(pseudolabel__keep="top"), ["pseudolabel.keep", "or all"]),
}


@pytest.mark.parametrize("case", EXECUTORS)
def test_executors(workspace, case, capfd, monkeypatch):
    monkeypatch.delenv("EXECUTOR", raising=False)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    damage, words = EXECUTORS[case]
    damage()
    _assert_mistake(workspace, LABEL, words, capfd)


@pytest.mark.skipif(importlib.util.find_spec("ray") is not None, reason="Ray is installed here")
def test_ray_is_named_where_it_is_not_installed(workspace, capfd, monkeypatch):
    monkeypatch.setenv("EXECUTOR", "ray")
    _assert_mistake(workspace, LABEL, ["ray is not installed", "requirements-ray.txt", "name: local"], capfd)

"""What holds for any input: parameters, image files, archives, and where a reading or a round is resumed."""

import contextlib
import io
import tarfile
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from noisy_student.data.images import try_image
from noisy_student.noise.pipeline import InputNoise
from noisy_student.runtime.checkpoints import Checkpoints
from noisy_student.runtime.errors import DataError, ParamsError
from noisy_student.settings.schema import AugmentationParams, DataParams
from noisy_student.sources import reading_tasks, staging
from noisy_student.sources.adapters import cifar10
from noisy_student.sources.reader import MemoryReader, read_folder
from noisy_student.sources.staging import ShardReader
from noisy_student.steps.checking import check
from noisy_student.training.batches import Share, TrainingBatches
from noisy_student.training.examples import LabelledExamples
from support import digits_100, with_values

DIGITS = digits_100()


def _paths(tree, before=()):
    for key, value in tree.items():
        yield (*before, key)
        if isinstance(value, dict):
            yield from _paths(value, (*before, key))


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=300, deadline=None)
@given(path=st.sampled_from(sorted(_paths(DIGITS))), value=ANYTHING)
def test_any_value_anywhere_is_accepted_or_named(path, value):
    message, checked = "", None
    try:
        checked = check(with_values(DIGITS, {".".join(path): value}))
    except ParamsError as error:
        message = str(error)
    if checked is None:
        assert path[0] in message
        return
    found = checked.model_dump()
    for key in path:
        found = found[key]
    assert found == value or (isinstance(value, dict) and isinstance(found, dict))


FORMATS = ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "PPM", "ICO", "TGA", "JPEG2000")


def _encoded(name):
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, name)
    return file.getvalue()


ENCODED = [_encoded(name) for name in FORMATS]


@settings(max_examples=400, deadline=None)
@given(data=st.data())
def test_a_file_of_any_bytes_is_an_image_or_has_a_cause(data):
    """Damaged copies of ten formats: bytes changed, put in, left out, and cut off."""
    content = bytearray(data.draw(st.sampled_from(ENCODED) | st.binary(max_size=64)))
    for _ in range(data.draw(st.integers(0, 8))):
        if content:
            place = data.draw(st.integers(0, len(content) - 1))
            kind = data.draw(st.sampled_from(["change", "insert", "remove"]))
            if kind == "change":
                content[place] = data.draw(st.integers(0, 255))
            elif kind == "insert":
                content[place:place] = data.draw(st.binary(min_size=1, max_size=4))
            else:
                del content[place : place + data.draw(st.integers(1, 4))]
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content)))]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "image")
        path.write_bytes(content)
        image, cause, _ = try_image(path, size=8, resize="squash")
    if image is None:
        assert cause.strip()
    else:
        assert cause is None
        assert (image.shape, image.dtype) == ((8, 8, 3), np.uint8)


WHOLE = dict.fromkeys([*cifar10.TRAIN, *cifar10.TEST], bytes(cifar10.RECORD))
WHOLE[cifar10.META] = "\n".join("abcdefghij").encode()


def _read(members, flip, monkeypatch_module):
    """The labels in an archive; a byte of it is damaged."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, cifar10.NAME)
        with tarfile.open(path, "w:gz") as tar:
            for name, content in members.items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
        data = bytearray(path.read_bytes())
        if flip is not None and flip < len(data):
            data[flip] ^= 0x55
            path.write_bytes(data)
        monkeypatch_module.setattr(cifar10, "locate", lambda *arguments, **options: path)
        values = DIGITS["data"] | {"source": "cifar10", "root": folder, "image_size": 32, "sha256": None}
        source = cifar10.load(DataParams(**values))
        assert source.train.images.shape[1:] == (32, 32, 3)
        assert len(source.train.images) == len(source.train.labels)
        return source.train.labels


@settings(max_examples=60, deadline=None)
@given(
    members=st.dictionaries(
        st.sampled_from([*WHOLE, "other"]),
        st.binary(max_size=40) | st.integers(0, 2).map(lambda n: bytes(n * cifar10.RECORD)),
        max_size=3,
    ),
    flip=st.none() | st.integers(0, 200),
)
def test_any_archive_is_read_or_refused(members, flip, monkeypatch_module):
    with contextlib.suppress(DataError):
        _read(WHOLE | members, flip, monkeypatch_module)


def test_a_whole_archive_of_that_kind_is_read(monkeypatch_module):
    assert _read(WHOLE | {"other": b"x"}, None, monkeypatch_module).tolist() == [0] * 5


@pytest.fixture(scope="module")
def monkeypatch_module():
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Twelve small images, one of them broken."""
    made = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for number in range(12):
        Image.fromarray(rng.integers(0, 256, (4, 4, 3), np.uint8)).save(made / f"{number:02}.png")
    (made / "05.png").write_bytes(b"broken")
    return made


class _Stop(Exception):
    pass


@settings(max_examples=40, deadline=None)
@given(stops=st.lists(st.integers(0, 12), max_size=4), spoil=st.none() | st.integers(0, 11))
def test_a_reading_stopped_anywhere_any_number_of_times_gives_the_same(folder, stops, spoil, monkeypatch_module):
    monkeypatch_module.setattr(staging, "_CHUNK", 1)
    with tempfile.TemporaryDirectory() as kept:

        def read(stop=None):
            left = iter(range(12 if stop is None else stop))

            def read_or_stop(path, **options):
                if next(left, None) is None:
                    raise _Stop
                return try_image(path, **options)

            monkeypatch_module.setattr(reading_tasks, "try_image", read_or_stop)
            shards = Checkpoints(Path(kept), every_minutes=0, keep=None)
            reader = ShardReader(shards, encoding="png", size=4, resize="squash")
            images, *rest = read_folder(folder, reader, recursive=False)
            return images[:], rest

        for stop in stops:
            with contextlib.suppress(_Stop):
                read(stop)
        if spoil is not None:  # a shard is damaged between two runs
            shards = sorted(Path(kept).iterdir())
            for shard in shards[spoil : spoil + 1]:
                shard.write_bytes(shard.read_bytes()[:-3])
        found, rest = read()
    expected, *others = read_folder(folder, MemoryReader(size=4, resize="squash"), recursive=False)
    np.testing.assert_array_equal(found, expected)
    assert rest == others


@settings(max_examples=40, deadline=None)
@given(
    rows=st.integers(2, 30),
    batch_size=st.integers(1, 12),
    round_steps=st.integers(1, 6),
    done=st.integers(0, 20),
)
def test_what_is_left_of_a_round_is_what_would_have_come(rows, batch_size, round_steps, done):
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (rows, 8, 8, 3), np.uint8), rng.integers(0, 3, rows)

    def batches():
        share = Share("labelled", LabelledExamples(images, labels, classes=3), batch_size)
        noise = InputNoise(augmentation=AugmentationParams(flip=True, crop=2), randaugment=None)
        return TrainingBatches([share], noise=noise, round_steps=round_steps, seed=3)

    whole, resumed = batches(), batches()
    whole.round = resumed.round = done // round_steps
    resumed.done = done % round_steps
    expected = [whole[index] for index in range(whole.num_batches)][resumed.done :]
    found = [resumed[index] for index in range(resumed.num_batches)]
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        for array, same in zip(one, other, strict=True):
            np.testing.assert_array_equal(array, same)

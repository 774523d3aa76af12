"""Images of more than 8 bits a sample: which level is white; values by hand."""

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from noisy_student.data.images import try_image
from noisy_student.data.levels import header
from noisy_student.runtime.errors import DataError
from noisy_student.sources.extra import load_extra
from noisy_student.sources.loading import load_source

TWELVE = np.linspace(0, 4095, 64).round().astype(np.uint16).reshape(8, 8)  # every 65th level of 12 bits
WHITE_4095 = np.round(TWELVE * 255.0 / 4095)
BLACK = np.round(TWELVE / 257)  # what they become as 16 bits: 17 levels of 256


def read(path, levels="auto"):
    return try_image(path, size=8, resize="squash", levels=levels)


def scaled(path, levels="auto"):
    reading = read(path, levels)
    assert reading.cause is None
    return reading.image.astype(int)


def write_png(path, values, *, sbit=None):
    """16 bits, with a chunk sBIT behind the header."""
    Image.fromarray(values).save(path, "PNG")
    _add_sbit(path, sbit)


def write_colours(path, values, *, sbit=None):
    """16 bits a colour, by OpenCV, because Pillow cannot write them."""
    cv2.imwrite(str(path), values[..., [2, 1, 0, 3][: values.shape[2]]])
    _add_sbit(path, sbit)


def _add_sbit(path, sbit):
    if sbit is not None:
        data = path.read_bytes()
        path.write_bytes(data[:33] + _chunk(b"sBIT" + bytes(sbit)) + data[33:])


def _chunk(body):
    return struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))


def grey(values):
    return np.repeat(values[..., None], 3, axis=-1)


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.pgm"])
def test_the_levels_that_the_user_gives(tmp_path, name):
    Image.fromarray(TWELVE).save(tmp_path / name)
    np.testing.assert_array_equal(scaled(tmp_path / name, 4096), grey(WHITE_4095))
    np.testing.assert_array_equal(scaled(tmp_path / name, 65536), grey(BLACK))


def test_significant_bits_of_a_png(tmp_path):
    write_png(tmp_path / "a.png", TWELVE, sbit=[12])
    np.testing.assert_array_equal(scaled(tmp_path / "a.png"), grey(WHITE_4095))
    assert read(tmp_path / "a.png").depth == (4096, 4095, "sBIT")


class Counted(io.BytesIO):
    """A path, and the file there, of which is counted what is read."""

    count = 0

    def open(self, mode):
        return self

    def read_bytes(self):
        return self.read()

    def read(self, size=-1):
        data = super().read(size)
        self.count += len(data)
        return data


@pytest.mark.parametrize("name", ["a.png", "a.jp2"])
def test_of_a_large_file_the_header_alone_is_read_for_the_levels(tmp_path, name):
    write_colours(tmp_path / name, np.random.default_rng(0).integers(0, 4096, (256, 256, 3), np.uint16))
    data = (tmp_path / name).read_bytes()
    if name == "a.png":  # before the pixels 300 kB of an ancillary chunk, then sBIT
        text = b"tEXtwhat\0" + b"x" * 300_000
        data = data[:33] + _chunk(text) + _chunk(b"sBIT\x0c\x0c\x0c") + data[33:]
    file = Counted(data)
    with Image.open(io.BytesIO(data)) as image:
        known = header(image, file)
    assert known.claimed == ((4096, "sBIT") if name == "a.png" else None)
    assert 0 < file.count <= 65536 < len(data)


@pytest.mark.parametrize(
    "stretch", [lambda v: v << 4, lambda v: v << 4 | v >> 8, lambda v: np.rint(v * 65535.0 / 4095)]
)
@pytest.mark.parametrize("darkest", [1, 16])
def test_levels_that_were_stretched_as_the_standard_wants(tmp_path, stretch, darkest):
    """W3C PNG, 11.3.3.4: samples are scaled to the full range, sBIT only says what they came from; dark ones too."""
    values = stretch(TWELVE // darkest).astype(np.uint16)
    write_png(tmp_path / "a.png", values, sbit=[12])
    np.testing.assert_array_equal(scaled(tmp_path / "a.png"), grey(np.round(values / 257)))


def _tiff(bits, values, *, most=None):
    """A grey TIFF with so many bits a sample, written by hand."""
    stream = "".join(f"{value:0{bits}b}" for value in values.ravel())
    pixels = int(stream, 2).to_bytes(len(stream) // 8, "big") if bits == 12 else values.astype("<u2").tobytes()
    tags = {256: 8, 257: 8, 258: bits, 259: 1, 262: 1, 277: 1, 278: 8, 279: len(pixels)}
    tags |= {} if most is None else {281: most}
    end = 8 + 2 + 12 * (len(tags) + 1) + 4
    entries = [struct.pack("<HHIHH", tag, 3, 1, value, 0) for tag, value in tags.items()]
    entries = sorted([*entries, struct.pack("<HHII", 273, 4, 1, end)], key=lambda e: struct.unpack("<H", e[:2]))
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + b"".join(entries) + bytes(4) + pixels


def test_a_tiff_of_12_bits(tmp_path):
    (tmp_path / "a.tif").write_bytes(_tiff(12, TWELVE))
    np.testing.assert_array_equal(scaled(tmp_path / "a.tif"), grey(WHITE_4095))
    np.testing.assert_array_equal(scaled(tmp_path / "a.tif", 65536), grey(WHITE_4095))  # a fact, whatever else is there


@pytest.mark.parametrize("most", [4095, 4012])
def test_the_highest_level_that_a_tiff_claims(tmp_path, most):
    """Writers put the highest level of the one image there: what counts is how many bits it needs."""
    values = np.minimum(TWELVE, most)
    (tmp_path / "a.tif").write_bytes(_tiff(16, values, most=most))
    np.testing.assert_array_equal(scaled(tmp_path / "a.tif"), grey(np.round(values * 255.0 / 4095)))
    (tmp_path / "b.tif").write_bytes(_tiff(16, values, most=1000))  # which is not true
    np.testing.assert_array_equal(scaled(tmp_path / "b.tif"), grey(np.round(values / 257)))


@pytest.mark.parametrize("magic", [b"P5", b"P2"])
def test_a_portable_greymap_says_what_is_white(tmp_path, magic):
    body = TWELVE.astype(">u2").tobytes() if magic == b"P5" else " ".join(map(str, TWELVE.ravel())).encode()
    (tmp_path / "a.pgm").write_bytes(magic + b"\n8 8\n4095\n" + body)
    for levels in ("auto", 65536, 4096):
        np.testing.assert_allclose(scaled(tmp_path / "a.pgm", levels), grey(WHITE_4095), atol=1)
    assert read(tmp_path / "a.pgm").depth is None


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_colours_of_16_bits(tmp_path, channels, suffix):
    path, values = tmp_path / f"a{suffix}", np.dstack([TWELVE, TWELVE.T, TWELVE[::-1], np.full_like(TWELVE, 4095)])
    expected = np.round(values[..., :3] * 255.0 / 4095)
    write_colours(path, values[..., :channels])
    np.testing.assert_array_equal(scaled(path, 4096), expected)
    assert scaled(path).max() <= 16 or channels == 4  # as 16 bits they are nearly black, or nearly transparent
    assert read(path).depth == (65536, 4095, "")
    if suffix == ".png":
        write_colours(path, values[..., :channels], sbit=[12] * channels)
        np.testing.assert_array_equal(scaled(path), expected)


def test_transparent_colours_of_12_bits_are_laid_on_white(tmp_path):
    alpha = np.full_like(TWELVE, 819)  # a fifth of 4095
    write_colours(tmp_path / "a.png", np.dstack([TWELVE, TWELVE, TWELVE, alpha]))
    np.testing.assert_allclose(scaled(tmp_path / "a.png", 4096), grey(0.2 * WHITE_4095 + 0.8 * 255), atol=1.5)


def test_all_16_bits_of_colours_are_pillows(tmp_path):
    values = np.random.default_rng(0).integers(0, 65536, (8, 8, 3), np.uint16)
    write_colours(tmp_path / "a.png", values)
    np.testing.assert_array_equal(scaled(tmp_path / "a.png"), values >> 8)


def test_a_turned_tiff_of_16_bits_a_colour(tmp_path):
    write_colours(tmp_path / "a.tif", np.dstack([TWELVE] * 3))
    data = bytearray((tmp_path / "a.tif").read_bytes())
    place = data.index(struct.pack("<HHI", 278, 3, 1))  # rows per strip, which may be left out
    start = struct.unpack_from("<I", data, 4)[0] + 2
    count = struct.unpack_from("<H", data, start - 2)[0]
    data[place : place + 12] = struct.pack("<HHIHH", 274, 3, 1, 6, 0)
    entries = sorted(bytes(data[start + 12 * k : start + 12 * k + 12]) for k in range(count))
    entries.sort(key=lambda entry: struct.unpack("<H", entry[:2]))
    data[start : start + 12 * count] = b"".join(entries)
    (tmp_path / "a.tif").write_bytes(data)
    np.testing.assert_array_equal(scaled(tmp_path / "a.tif", 4096), np.rot90(grey(WHITE_4095), k=-1))


@pytest.mark.parametrize(("levels", "expected"), [(2, [0, 64, 128, 255]), (11, [0, 6, 13, 26])])
def test_floats_need_the_levels(tmp_path, levels, expected):
    """White is `levels` - 1, so 2 is for levels from 0 to 1."""
    values = np.resize(np.array([0, 0.25, 0.5, 1.0], np.float32), (8, 8))
    Image.fromarray(values).save(tmp_path / "a.tif")
    assert "data.levels" in read(tmp_path / "a.tif").cause
    np.testing.assert_allclose(scaled(tmp_path / "a.tif", levels)[0, :4, 0], expected, atol=0.51)


def test_integers_of_32_bits_need_the_levels(tmp_path):
    values = np.linspace(0, 2**20 - 1, 64).astype(np.int32).reshape(8, 8)
    Image.fromarray(values).save(tmp_path / "a.tif")
    assert "data.levels" in read(tmp_path / "a.tif").cause
    np.testing.assert_array_equal(scaled(tmp_path / "a.tif", 2**20), grey(np.round(values * 255.0 / (2**20 - 1))))


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -1.0])
def test_levels_that_are_none(tmp_path, wrong):
    Image.fromarray(np.full((8, 8), wrong, np.float32)).save(tmp_path / "a.tif")
    assert read(tmp_path / "a.tif", 2).cause


@pytest.fixture
def folders(tmp_path, data_params):
    """A function: write 16-bit PNGs by {path: level or (level, bits that sBIT says)}; the parameters."""

    def make(images, **values):
        for name, value in images.items():
            level, bits = value if isinstance(value, tuple) else (value, None)
            path = tmp_path / "set" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = np.full((8, 8), level, np.uint16)
            pixels[0, 0] = 1  # so that it is not stretched
            write_png(path, pixels, sbit=None if bits is None else [bits])
        root = str(tmp_path / "set")
        return data_params(**{"source": "folder", "root": root, "test": None, "labelled": 1, "validation": 1} | values)

    return make


def _splits(*levels):
    names = ("train/cat/0.png", "train/dog/0.png", "test/cat/0.png", "test/dog/0.png")
    return dict(zip(names, levels, strict=True))


def test_a_set_that_uses_12_of_16_bits_is_refused_by_name(folders):
    with pytest.raises(
        DataError, match=r"4 images of 16 bits use levels up to 4,012 only \(the highest in .*test/cat/0"
    ):
        load_source(folders(_splits(900, 3000, 4012, 20)))


def test_its_levels_are_those_that_the_message_asks_for(folders):
    source = load_source(folders(_splits(900, 3000, 4012, 4095), levels=4096))
    assert source.train.images[:, 4, 4, 0].tolist() == [56, 187]  # 900 * 255 / 4095 = 56.04, 186.8
    assert source.test.images[:, 4, 4, 0].tolist() == [250, 255]


def test_dark_images_of_a_set_of_16_bits_stay_dark(folders):
    source = load_source(folders(_splits(200, 60_000, 4000, 30_000)))
    assert source.train.images[:, 4, 4, 0].tolist() == [1, 233]
    assert source.test.images[:, 4, 4, 0].tolist() == [16, 117]


def test_the_pool_is_of_the_same_set(folders, tmp_path):
    """Its images are scaled as the labelled ones are."""
    pool = tmp_path / "set/pool"
    more = {"pool/1.png": 3000, "pool/2.png": 4000}
    source = load_source(folders({**_splits(900, 60_000, 4012, 20), **more}, unlabelled_from=str(pool)))
    assert source.unlabelled[:, 4, 4, 0].tolist() == [12, 16]
    with pytest.raises(DataError, match="different depth"):
        load_source(folders({"pool/3.png": (3000, 12)}, unlabelled_from=str(pool)))


def test_files_that_disagree_are_refused(folders):
    with pytest.raises(
        DataError, match=r"different depth.*levels of .*cat/0\.png 4,096 \(sBIT\), of .*dog/0\.png 65,536"
    ):
        load_source(folders(_splits((900, 12), (900, 16), (900, 12), (900, 12))))


def test_files_that_say_16_bits_may_be_dark(folders):
    source = load_source(folders(_splits((900, 16), 900, 900, 900)))
    assert source.train.images[:, 4, 4, 0].tolist() == [4, 4]


def test_levels_above_those_given_are_refused(folders):
    with pytest.raises(
        DataError, match=r"data\.levels=1024: .*dog/0\.png has levels up to 3,000.*Set data\.levels to 4096"
    ):
        load_source(folders(_splits(900, 3000, 3, 20), levels=1024))


def test_images_of_8_bits_are_left_alone(folders, tmp_path):
    data = folders(_splits(900, 3000, 4012, 20), levels=4096)
    Image.new("L", (8, 8), 100).save(tmp_path / "set/train/cat/0.png")
    assert load_source(data).train.images[0, 0, 0].tolist() == [100] * 3


def test_an_extra_test_set_goes_by_the_same_rule(folders, tmp_path):
    folders({"cat/0.png": 4000, "dog/0.png": 900})
    options = {"classes": ["cat", "dog"], "size": 8, "resize": "squash"}
    with pytest.raises(DataError, match=r"levels up to 4,000 only"):
        load_extra("mine", tmp_path / "set", **options)
    extra, _ = load_extra("mine", tmp_path / "set", levels=4096, **options)
    assert extra.images[:, 4, 4, 0].tolist() == [249, 56]


def test_a_transparent_colour_of_16_bits(tmp_path):
    """All of its bits count, of the key and of the pixels."""
    key = np.array([0x1234, 0x5678, 0x9ABC], np.uint16)
    values = np.random.default_rng(0).integers(0, 65536, (8, 8, 3)).astype(np.uint16)
    values[0, 0], values[0, 1], values[0, 2] = key, (0x3400, 0x7800, 0xBC00), key + 1
    write_colours(tmp_path / "a.png", values)
    data = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(data[:33] + _chunk(b"tRNS" + key.astype(">u2").tobytes()) + data[33:])
    expected = (values >> 8).astype(np.uint8)
    expected[0, 0] = 255
    np.testing.assert_array_equal(scaled(tmp_path / "a.png"), expected)

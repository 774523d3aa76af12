"""Images of every mode and every kind of damage; Pillow and values by hand are the oracles."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from noisy_student.data.images import resize_images, try_image
from noisy_student.sources.reader import MemoryReader, read_folder


def read(path, size=4, resize="squash"):
    image, cause, _ = try_image(path, size=size, resize=resize)
    if cause is not None:
        raise ValueError(cause)
    return image


@pytest.fixture
def rgb():
    return np.random.default_rng(1).integers(0, 256, (4, 4, 3), np.uint8)


def test_size_that_fits_is_not_resampled(tmp_path, rgb):
    Image.fromarray(rgb).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read(tmp_path / "a.png"), rgb)


@pytest.mark.parametrize(("shape", "box"), [((9, 14), (2, 0, 11, 9)), ((14, 9), (0, 2, 9, 11))])
def test_squash_and_crop_equal_pillow_bicubic(tmp_path, shape, box):
    image = Image.fromarray(np.random.default_rng(2).integers(0, 256, (*shape, 3), np.uint8))
    image.save(tmp_path / "a.png")
    squashed = np.asarray(image.resize((5, 5), Image.Resampling.BICUBIC))
    cropped = np.asarray(image.crop(box).resize((5, 5), Image.Resampling.BICUBIC))
    np.testing.assert_array_equal(read(tmp_path / "a.png", 5), squashed)
    np.testing.assert_array_equal(read(tmp_path / "a.png", 5, "crop"), cropped)


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_16_bit_grey_is_scaled_not_clipped(tmp_path, name):
    values = np.array([[0, 256, 257, 1000], [32768, 40000, 65407, 65535]] * 2, np.uint16)
    Image.fromarray(values).save(tmp_path / name)
    by_hand = np.array([[0, 1, 1, 4], [128, 156, 255, 255]] * 2)  # value * 255 / 65535, rounded
    np.testing.assert_array_equal(read(tmp_path / name), np.repeat(by_hand[..., None], 3, axis=-1))


def test_transparent_level_of_16_bit_grey_is_white(tmp_path):
    Image.fromarray(np.full((4, 4), 1000, np.uint16)).save(tmp_path / "a.png", transparency=1000)
    assert (read(tmp_path / "a.png") == 255).all()


def test_16_bit_portable_greymap_is_scaled(tmp_path):
    values = np.full((4, 4), 25700, ">u2")
    (tmp_path / "a.pgm").write_bytes(b"P5 4 4 65535\n" + values.tobytes())
    assert (read(tmp_path / "a.pgm") == 100).all()


def test_cmyk_by_the_subtractive_formula(tmp_path, rgb):
    cmyk = np.concatenate([rgb, rgb[::-1, :, :1]], axis=-1)
    Image.fromarray(cmyk, mode="CMYK").save(tmp_path / "a.tif")
    by_hand = (255.0 - cmyk[..., :3]) * (255.0 - cmyk[..., 3:]) / 255.0
    np.testing.assert_allclose(read(tmp_path / "a.tif"), by_hand, atol=1.0)


def palette_image():
    image = Image.new("P", (4, 4), 1)
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putpixel((0, 0), 0)
    return image


def test_palette_colours(tmp_path):
    palette_image().save(tmp_path / "a.png")
    expected = np.full((4, 4, 3), (200, 100, 50))
    expected[0, 0] = (10, 20, 30)
    np.testing.assert_array_equal(read(tmp_path / "a.png"), expected)


def test_transparent_palette_entry_is_white(tmp_path):
    palette_image().save(tmp_path / "a.png", transparency=0)
    result = read(tmp_path / "a.png")
    assert result[0, 0].tolist() == [255, 255, 255]
    assert result[1, 1].tolist() == [200, 100, 50]


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_alpha_is_composited_onto_white(tmp_path, mode):
    pixel = (40, 80, 120, 51) if mode == "RGBA" else (40, 51)
    Image.new(mode, (4, 4), pixel).save(tmp_path / "a.png")
    colour = np.array(pixel[:-1] if mode == "RGBA" else [40] * 3)
    by_hand = 0.2 * colour + 0.8 * 255  # 51 / 255 = 0.2
    np.testing.assert_allclose(read(tmp_path / "a.png")[2, 2], by_hand, atol=1.0)


@pytest.mark.parametrize(("mode", "value", "grey"), [("1", 1, 255), ("L", 77, 77)])
def test_grey_and_black_and_white(tmp_path, mode, value, grey):
    Image.new(mode, (4, 4), value).save(tmp_path / "a.png")
    assert (read(tmp_path / "a.png") == grey).all()


def test_first_frame_of_an_animation(tmp_path):
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue", "green")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert (read(tmp_path / "a.gif") == (255, 0, 0)).all()


def test_exif_orientation_is_applied(tmp_path, rgb):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: the stored image must be rotated by 90 degrees clockwise
    Image.fromarray(rgb).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(read(tmp_path / "a.png"), np.rot90(rgb, k=-1))


def png_chunk(kind, content):
    body = kind + content
    return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))


def write_bomb(path, side):
    """A PNG of a few bytes whose header promises side * side pixels."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0))
    content = png_chunk(b"IDAT", zlib.compress(b"\0" * 100)) + png_chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + content)


@pytest.mark.parametrize("side", [10_000, 60_000])  # Pillow itself only warns about the smaller one
def test_decompression_bomb_is_refused(tmp_path, side):
    write_bomb(tmp_path / "bomb.png", side)
    with pytest.raises(ValueError, match="exceeds limit"):
        read(tmp_path / "bomb.png")


def damage(folder, kind):
    path = folder / f"{kind}.png"
    if kind == "truncated":
        noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
        Image.fromarray(noise).save(path)
        path.write_bytes(path.read_bytes()[:6000])
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "text":
        path.write_text("not an image")
    elif kind == "folder":
        path.mkdir()
    elif kind == "float":
        path = path.with_suffix(".tif")
        Image.fromarray(np.zeros((4, 4), np.float32)).save(path)
    elif kind == "int32":
        path = path.with_suffix(".tif")
        Image.fromarray(np.full((4, 4), 70_000, np.int32)).save(path)
    return path


CAUSES = {
    "truncated": "truncated",
    "empty": "an empty file",
    "text": "not an image",
    "folder": "a folder",
    "missing": "no such file",
    "float": "floating-point",
    "int32": "levels up to 65535",
}


@pytest.mark.parametrize("kind", CAUSES)
def test_a_damaged_file_has_its_cause(tmp_path, kind):
    path = damage(tmp_path, kind)
    with pytest.raises(ValueError, match=CAUSES[kind]):
        read(path)


def test_read_folder_skips_and_names_what_is_unreadable(tmp_path):
    for name, value in (("b.png", 2), ("a.png", 1), (".hidden.png", 3)):
        Image.new("L", (4, 4), value).save(tmp_path / name)
    damage(tmp_path, "text")
    damage(tmp_path, "folder")
    images, names, unreadable = read_folder(tmp_path, MemoryReader(size=4, resize="squash"), recursive=False)
    assert names == ["a.png", "b.png"]
    assert images[:, 0, 0, 0].tolist() == [1, 2]
    assert unreadable == ["folder.png: a folder", "text.png: not an image that Pillow can read"]


def test_read_folder_recursive_follows_links_without_going_round(tmp_path):
    for name in ("x/2.png", "1.png", ".git/3.png", ".4.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("L", (4, 4), int(name[-5])).save(tmp_path / name)
    elsewhere = tmp_path.parent / f"{tmp_path.name}-linked"
    elsewhere.mkdir()
    Image.new("L", (4, 4), 9).save(elsewhere / "9.png")
    (tmp_path / "linked").symlink_to(elsewhere)
    (tmp_path / "x" / "round").symlink_to(tmp_path)
    images, names, unreadable = read_folder(tmp_path, MemoryReader(size=4, resize="squash"), recursive=True)
    assert names == ["1.png", "linked/9.png", "x/2.png"]
    assert images[:, 0, 0, 0].tolist() == [1, 9, 2]
    assert unreadable == []


def test_resize_images_equals_pillow(random_images):
    images, _ = random_images(3, size=8)
    assert resize_images(images, size=8) is images
    expected = [np.asarray(Image.fromarray(i).resize((16, 16), Image.Resampling.BICUBIC)) for i in images]
    np.testing.assert_array_equal(resize_images(images, size=16), expected)


@pytest.mark.parametrize("kind", [np.int32, np.uint16])
@pytest.mark.parametrize("highest", [200, 60_000])
def test_grey_levels_of_16_bits_and_more(tmp_path, highest, kind):
    """A dark image is one of 16 bits like others; that all of a set are dark is refused, see test_levels.py."""
    levels = np.linspace(0, highest, 64).astype(kind).reshape(8, 8)
    Image.fromarray(levels).save(tmp_path / "a.tiff")
    np.testing.assert_allclose(read(tmp_path / "a.tiff", 8)[:, :, 0], np.round(levels / 257), atol=0.51)

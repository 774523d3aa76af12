"""A small described model, image files, and the commands of `python -m noisy_student` in this process."""

import signal
import sys
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from PIL import Image

from deployed import CLASSES, SIDE, by_hand
from noisy_student import __main__ as program
from noisy_student.inference.description import Description
from noisy_student.inference.saving import save
from noisy_student.models.build import build
from noisy_student.settings.schema import ModelParams


@pytest.fixture(scope="session")
def network():
    """A ResNet-8 for 12x12 images of five classes, whose weights are all drawn."""
    model = build(ModelParams(name="resnet", depth=8, width=4), classes=5, image_size=SIDE, mode="inference", seed=1)
    draw = np.random.default_rng(1)
    for layer in model.layers:
        layer.set_weights([w + draw.uniform(0.02, 0.1, w.shape).astype("float32") for w in layer.get_weights()])
    head, logits = model.get_layer("logits"), keras.Model(model.input, model.get_layer("logits").output)
    pixels, steps = (
        draw.integers(0, 256, (70, SIDE, 2, SIDE, 2, 3)),
        np.arange(1, 8).repeat(10).reshape(70, 1, 1, 1, 1, 1),
    )
    images = (pixels // steps * steps).mean(axis=(2, 4)).astype(np.uint8)  # about as `photos` are
    said = keras.ops.convert_to_numpy(logits(images))
    kernel, bias = head.get_weights()  # so that every class is the most probable one of some image
    head.set_weights([kernel / said.std(axis=0), (bias - said.mean(axis=0)) / said.std(axis=0)])
    return model


@pytest.fixture(scope="session")
def model(network, tmp_path_factory):
    """Its file, described."""
    path = tmp_path_factory.mktemp("model") / "small.keras"
    save(network, path, Description(name="student-gen1", classes=CLASSES, image_size=SIDE, resize="crop"))
    return path


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """A folder of 7 images of several sizes and formats, one of them in a folder below; the current directory is above.

    Returns {name: pixels that are in the file}; none is lossy.
    """
    monkeypatch.chdir(tmp_path)
    draw, pixels = np.random.default_rng(2), {}
    (tmp_path / "photos/below").mkdir(parents=True)
    for number, suffix in enumerate(("png", "bmp", "tif", "png", "ppm", "png", "png")):
        shape = (20 + 3 * number, 30 - 2 * number, 3)
        image = draw.integers(0, 256, shape, np.uint8) // (number + 1) * (number + 1)
        name = f"photos/{'below/' if number == 6 else ''}{number}.{suffix}"
        Image.fromarray(image).save(tmp_path / name)
        pixels[name] = image
    return pixels


@pytest.fixture
def expected(model, photos):
    """See `by_hand`."""
    return by_hand(model, photos)


@pytest.fixture
def call(capsys, monkeypatch):
    """A function: run a command; its status, its output and what it says on standard error."""

    def run(*arguments):
        before = signal.getsignal(signal.SIGTERM)
        monkeypatch.setattr(sys, "argv", ["noisy_student", *map(str, arguments)])
        try:
            status = program.main()
        except SystemExit as end:
            status = end.code
        finally:
            signal.signal(signal.SIGTERM, before)
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return SimpleNamespace(status=status, out=out, err=err)

    return run

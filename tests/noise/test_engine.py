"""The way into the compiled kernels: memory, threads, refused arguments, the cache of compiled code."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from noisy_student.noise.engine import apply_draw
from noisy_student.noise.kernels.batch import SOURCES, versioned
from noisy_student.noise.operations import STANDARD
from noisy_student.noise.pipeline import InputDraw, InputNoise
from noisy_student.runtime.seeds import image_keys
from noisy_student.settings.schema import AugmentationParams, RandAugmentParams
from support import ROOT


def everything_on(**changes):
    params = {
        "ops": 3,
        "magnitude": 9,
        "levels": 10,
        "table": "standard",
        "magnitude_sampling": "fixed",
        "fill": 9,
    }
    return InputNoise(
        augmentation=AugmentationParams(flip=True, crop=3), randaugment=RandAugmentParams(**params | changes)
    )


def images(n=60, height=13, width=17):
    return np.random.default_rng(0).integers(0, 256, (n, height, width, 3), np.uint8)


def keys(n=60):
    return image_keys(1, 0, np.arange(n))


def one_step(**changes):
    """A draw of one operation, with defects."""
    parts = {"flip": None, "top": None, "left": None, "op": np.zeros((2, 1), int), "value": np.zeros((2, 1))}
    return InputDraw(**parts | changes)


def apply(batch, draw, **changes):
    return apply_draw(batch, draw, **{"padding": 2, "crop_fill": 0, "table": STANDARD, "fill": 0} | changes)


@pytest.mark.parametrize("table", ["article", "standard"])
def test_an_image_does_not_depend_on_its_neighbours(table):
    noise, batch = everything_on(table=table), images()
    together = noise(batch, keys())
    alone = np.concatenate([noise(batch[i : i + 1], keys()[i : i + 1]) for i in range(60)])
    backwards = noise(batch[::-1], keys()[::-1])[::-1]
    np.testing.assert_array_equal(together, alone)
    np.testing.assert_array_equal(together, backwards)
    assert (together != batch).reshape(60, -1).any(axis=1).mean() > 0.9


def test_the_images_stay_as_they_are_and_may_be_read_only():
    noise, batch = everything_on(), images()
    before = batch.copy()
    batch.setflags(write=False)
    result = noise(batch, keys())
    np.testing.assert_array_equal(batch, before)
    assert not np.shares_memory(result, batch)


def test_writes_into_out_which_may_be_the_images():
    noise, batch = everything_on(), images()
    draw, expected = noise.draw(keys()), noise(batch, keys())
    out = np.zeros_like(batch)
    assert noise.apply(batch, draw, out=out) is out
    np.testing.assert_array_equal(out, expected)
    assert noise.apply(batch, draw, out=batch) is batch
    np.testing.assert_array_equal(batch, expected)


@pytest.mark.parametrize("batch", [images()[:, ::-1], images(height=20)[:, 3:16, :, :], images()[..., ::-1]])
def test_images_may_be_any_view(batch):
    noise = everything_on()
    np.testing.assert_array_equal(noise(batch, keys()), noise(batch.copy(), keys()))


def test_no_images():
    assert everything_on()(images(0), keys(0)).shape == (0, 13, 17, 3)


def test_threads_do_not_disturb_each_other():
    noise, batch = everything_on(), images()
    seeds = [image_keys(seed, 0, np.arange(60)) for seed in range(40)]
    expected = [noise(batch, each) for each in seeds]
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda each: noise(batch, each), seeds * 3))
    for got, wanted in zip(results, expected * 3, strict=True):
        np.testing.assert_array_equal(got, wanted)


# what would otherwise read or write beyond an array
@pytest.mark.parametrize(
    ("batch", "draw", "changes", "said"),
    [
        (np.zeros((2, 8, 8, 3)), one_step(), {}, "float64"),
        (np.zeros((2, 8, 8, 4), np.uint8), one_step(), {}, r"\(2, 8, 8, 4\)"),
        (np.zeros((8, 8, 3), np.uint8), one_step(), {}, r"\(8, 8, 3\)"),
        (images(3), one_step(), {}, "3 images"),
        (images(2), one_step(value=np.zeros((2, 2))), {}, "strengths"),
        (images(2), one_step(flip=np.zeros(3, bool)), {}, r"\(3,\)"),
        (images(2), one_step(top=np.zeros(1, int), left=np.zeros(2, int)), {}, r"\(1,\)"),
        (images(2), one_step(), {"out": np.zeros((2, 13, 17, 3))}, "float64"),
        (images(2), one_step(), {"out": images(1)}, r"\(1, 13, 17, 3\)"),
        (images(2), one_step(), {"out": images(2)[:, :, ::-1]}, "contiguous"),
    ],
)
def test_refuses_arrays_that_do_not_fit(batch, draw, changes, said):
    with pytest.raises(ValueError, match=said):
        apply(batch, draw, **changes)


def test_refuses_an_operation_that_is_not_in_the_table():
    with pytest.raises(IndexError):
        apply(images(2), one_step(op=np.full((2, 1), len(STANDARD))))


def test_offsets_far_outside_show_the_fill_only():
    draw = one_step(top=np.array([0, 0]), left=np.array([10**6, -(10**6)]))
    assert (apply(images(2), draw, crop_fill=44) == 44).all()


def test_changed_kernels_are_not_taken_from_the_cache(tmp_path):
    names = set()
    copies = [tmp_path / path.name for path in SOURCES]
    for change in (None, *copies):
        for path, copy in zip(SOURCES, copies, strict=True):
            copy.write_bytes(path.read_bytes() + (b"#" if copy is change else b""))

        @versioned(copies)
        def function():
            pass

        names.add(function.__qualname__)
    assert len(names) == len(SOURCES) + 1
    assert {path.name for path in SOURCES} > {"values.py", "nearest.py", "cubic.py", "operations.py"}


def test_numba_is_loaded_only_when_something_is_noised():
    code = "import sys, noisy_student.noise.pipeline; print('numba' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout == "False\n"

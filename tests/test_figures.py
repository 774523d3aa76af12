"""Figures are judged by what is drawn: pixels of the PNG, and the texts and bars handed to matplotlib."""

import io
import subprocess
import sys

import matplotlib
import numpy as np
import pytest
from PIL import Image

from noisy_student.drawing import canvas, charts, galleries
from noisy_student.inference import metrics
from noisy_student.noise.pipeline import InputNoise
from noisy_student.settings.schema import AugmentationParams, RandAugmentParams

NAMES = ["plane", "car", "cat"]


def images(n=30):
    return np.random.default_rng(0).integers(0, 256, (n, 8, 8, 3), np.uint8)


def distributions(n=30, k=3, seed=1):
    return np.random.default_rng(seed).dirichlet(np.full(k, 0.5), n)


def input_noise(ops=2):
    params = RandAugmentParams(ops=ops, magnitude=10, levels=30, table="standard", magnitude_sampling="fixed", fill=128)
    return InputNoise(augmentation=AugmentationParams(flip=True, crop=0), randaugment=params)


def curves():
    return [
        {
            "step": step,
            "train_loss": 3.0 / step,
            "validation_loss": 4.0 / step,
            "train_accuracy": 1 - 0.5 / step,
            "validation_accuracy": 1 - 0.7 / step,
        }
        for step in (1, 2, 4)
    ]


def all_figures(n_classes):
    """Every figure with (name, function of the path), on random data of so many classes."""
    names = [f"class {k}" for k in range(n_classes)]
    probs, other = distributions(300, n_classes), distributions(300, n_classes, seed=2)
    labels = np.random.default_rng(3).integers(0, n_classes, 300)
    truth = np.where(np.arange(300) < 120, -1, labels)
    bins = {"teacher": metrics.reliability(probs, labels), "student": metrics.reliability(other, labels)}
    return {
        "noise": lambda p: galleries.noise_gallery(p, images(), input_noise(), seed=1),
        "pseudo": lambda p: galleries.pseudo_label_gallery(p, images(300), probs, names, threshold=0.75),
        "disagreement": lambda p: galleries.disagreement_gallery(
            p, images(300), labels, probs, other, names, title="teacher wrong"
        ),
        "histogram": lambda p: charts.confidence_histogram(p, probs, threshold=0.75, truth=truth),
        "confusion": lambda p: charts.confusion_matrix(p, metrics.confusion(probs, labels), names, "teacher"),
        "reliability": lambda p: charts.reliability_diagram(p, bins),
        "curves": lambda p: charts.learning_curves(p, "teacher", curves(), best=curves()[1]),
        "counts": lambda p: charts.class_counts(p, np.arange(n_classes), np.full(n_classes, 9), names),
    }


@pytest.fixture
def drawn(monkeypatch):
    """Keep the matplotlib figures that are written, to look at their parts."""
    kept = []
    original = canvas.Figure.savefig

    def savefig(figure, *args, **kwargs):
        kept.append(figure)
        return original(figure, *args, **kwargs)

    monkeypatch.setattr(canvas.Figure, "savefig", savefig)
    return kept


def texts(figure):
    return [text.get_text() for axes in figure.axes for text in axes.texts]


@pytest.mark.parametrize("name", list(all_figures(3)))
def test_equal_input_gives_equal_bytes_whatever_the_users_settings(name, tmp_path):
    draw = all_figures(3)[name]
    draw(tmp_path / "a.png")
    with matplotlib.rc_context({"font.size": 20, "axes.facecolor": "red", "savefig.facecolor": "green"}):
        draw(tmp_path / "b.png")
        assert matplotlib.rcParams["font.size"] == 20  # and leaves them as they were
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert {file.name for file in tmp_path.iterdir()} == {"a.png", "b.png"}
    with Image.open(tmp_path / "a.png") as png:
        assert "Software" not in png.info
        assert png.format == "PNG"


@pytest.mark.parametrize("classes", [2, 100])
def test_every_figure_can_be_drawn_for_few_and_many_classes(classes, tmp_path):
    for name, draw in all_figures(classes).items():
        draw(tmp_path / f"{name}.png")
        with Image.open(tmp_path / f"{name}.png") as png:
            grey = np.asarray(png.convert("L"))
        assert max(grey.shape) < 12_000
        # nothing is cut off: the outermost pixels are the white margin
        border = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
        assert (border == 255).all(), name
        assert (grey < 200).mean() > 0.01, name


def test_pyplot_is_not_used():
    code = "import sys, noisy_student.drawing.charts; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_class_names_with_dollar_signs_are_plain_text(tmp_path):
    names = ["$5-$10", "$\\bad{$", "_^"]
    charts.class_counts(tmp_path / "a.png", [1, 2, 3], [3, 3, 3], names)
    charts.confusion_matrix(tmp_path / "b.png", np.eye(3, dtype=int), names, "$x$")


def test_noise_gallery_shows_originals_and_noised_images_pixel_by_pixel(tmp_path, drawn):
    batch, noise = images(), input_noise()
    galleries.noise_gallery(tmp_path / "a.png", batch, noise, rows=4, columns=5, seed=1)
    shown = [picture.get_array() for picture in drawn[0].axes[0].images]
    assert len(shown) == 4 * 5
    for r in range(4):
        np.testing.assert_array_equal(shown[5 * r], batch[r])
    assert len({np.asarray(image).tobytes() for image in shown}) > 12
    # two operations below each noised cell, three headers
    assert len(texts(drawn[0])) == 3 + 4 * 4 * 2
    # the first original really is in the PNG, at 0.15 and 0.75 inches: the middle of each of its pixels
    with Image.open(tmp_path / "a.png") as png:
        pixels = np.asarray(png.convert("RGB"))
    scale = canvas.DPI / 8
    middle = (np.arange(8) + 0.5) * scale
    rows = (middle + round(0.75 * canvas.DPI)).astype(int)
    columns = (middle + round(0.15 * canvas.DPI)).astype(int)
    np.testing.assert_array_equal(pixels[np.ix_(rows, columns)], batch[0])


def test_noise_gallery_without_randaugment_has_no_captions(tmp_path, drawn):
    galleries.noise_gallery(tmp_path / "a.png", images(2), input_noise(ops=0), columns=3, seed=1)
    assert len(texts(drawn[0])) == 3
    assert len(drawn[0].axes[0].images) == 6


def test_pseudo_label_groups_by_hand():
    confidence = np.array([0.9, 0.8, 0.75, 0.7, 0.99, 0.6, 0.95, 0.85, 0.3])
    rows = np.array([0, 1, 2, 3, 4, 5, 6, 7])
    top, above, below = galleries.pseudo_label_groups(confidence, rows, threshold=0.75, each=2)
    assert top.tolist() == [4, 6]
    assert above.tolist() == [1, 7]
    assert below.tolist() == [2, 3]


def test_pseudo_label_groups_below_a_bound():
    confidence = np.array([0.9, 0.8, 0.75, 0.7, 0.99])
    bounds = {"threshold": 0.72, "max_confidence": 0.8}
    top, above, below = galleries.pseudo_label_groups(confidence, np.arange(5), each=1, **bounds)
    assert (top.tolist(), above.tolist(), below.tolist()) == ([1], [2], [4])


def test_pseudo_label_groups_share_no_image_when_few_are_kept():
    confidence = np.array([0.9, 0.8, 0.5])
    top, above, below = galleries.pseudo_label_groups(confidence, np.arange(3), threshold=0.75, each=4)
    assert (top.tolist(), above.tolist(), below.tolist()) == ([0, 1], [], [2])


def test_pseudo_label_gallery_shows_the_groups_and_leaves_empty_cells_blank(tmp_path, drawn):
    probs = np.array([[0.9, 0.1, 0.0], [0.6, 0.4, 0.0], [0.15, 0.85, 0.0]])
    batch = images(3)
    galleries.pseudo_label_gallery(tmp_path / "a.png", batch, probs, NAMES, threshold=0.75, each=2)
    shown = [picture.get_array() for picture in drawn[0].axes[0].images]
    for got, row in zip(shown, [0, 1, 2], strict=True):
        np.testing.assert_array_equal(got, batch[row])
    found = texts(drawn[0])
    assert [t for t in found if t.startswith("0.")] == ["0.900", "0.600", "0.850"]
    assert [t for t in found if t.endswith("kept")] == ["1 of 2 kept", "1 of 1 kept", "0 of 0 kept"]
    assert [t for t in found if t in NAMES] == NAMES


def test_pseudo_label_gallery_says_when_classes_are_left_out(tmp_path, drawn):
    names = [f"c{k}" for k in range(101)]
    galleries.pseudo_label_gallery(tmp_path / "a.png", images(5), distributions(5, 101), names, threshold=0.5, each=1)
    found = texts(drawn[0])
    assert "the first 100 of 101 classes" in found[0]
    assert "c99" in found
    assert "c100" not in found


def test_disagreement_by_hand(tmp_path, drawn):
    labels = np.array([0, 1, 2, 0])
    first = np.array([[0.3, 0.7, 0.0], [0.0, 0.9, 0.1], [0.8, 0.1, 0.1], [0.2, 0.8, 0.0]])
    second = np.array([[0.6, 0.4, 0.0], [0.9, 0.1, 0.0], [0.0, 0.05, 0.95], [0.1, 0.9, 0.0]])
    # 0 and 2 are mended (gains 0.3 and 0.85), 1 is spoilt, 3 is wrong in both
    assert galleries.disagreement_rows(labels, first, second).tolist() == [2, 0]
    assert galleries.disagreement_rows(labels, second, first).tolist() == [1]
    batch = images(4)
    galleries.disagreement_gallery(tmp_path / "a.png", batch, labels, first, second, NAMES, title="Mended")
    found = texts(drawn[0])
    assert found[0] == "Mended"
    assert found[1].startswith("2 of 4 images;")
    assert found[2:] == ["cat", "✗ plane 0.80", "✓ cat 0.95", "plane", "✗ car 0.70", "✓ plane 0.60"]
    shown = [picture.get_array() for picture in drawn[0].axes[0].images]
    for got, row in zip(shown, [2, 0], strict=True):
        np.testing.assert_array_equal(got, batch[row])


def test_disagreement_without_any_says_none_and_with_many_says_how_many(tmp_path, drawn):
    labels, right, wrong = np.zeros(20, int), np.eye(3)[[0] * 20], np.eye(3)[[1] * 20]
    galleries.disagreement_gallery(tmp_path / "a.png", images(20), labels, right, right, NAMES, title="T")
    assert texts(drawn[0]) == ["T", "0 of 20 images", "none"]
    galleries.disagreement_gallery(tmp_path / "b.png", images(20), labels, wrong, right, NAMES, title="T", most=9)
    assert texts(drawn[1])[1].startswith("20 of 20 images, 9 shown;")
    assert len(drawn[1].axes[0].images) == 9


def test_confidence_histogram_by_hand(tmp_path, drawn):
    probs = np.array([[0.91, 0.09], [0.2, 0.8], [0.61, 0.39], [0.99, 0.01], [0.7, 0.3]])
    truth = np.array([0, 0, 0, -1, 1])
    charts.confidence_histogram(tmp_path / "a.png", probs, threshold=0.75, truth=truth)
    (axes,) = drawn[0].axes
    labels = axes.get_legend_handles_labels()[1]
    assert sorted(labels) == [
        "right: 2 (1 kept)",
        "threshold 0.75",
        "truth unknown: 1 (1 kept)",
        "wrong: 2 (1 kept)",
    ]
    assert axes.get_title(loc="left") == "3 of 5 pseudo-labels kept (60.0%)"
    assert list(axes.lines[0].get_xdata()) == [0.75, 0.75]
    # upper edges of the bins of 0.025 that hold the two right ones
    edges = [bar.get_x() + bar.get_width() for bar in axes.containers[0] if bar.get_height()]
    np.testing.assert_allclose(edges, [0.625, 0.925])
    charts.confidence_histogram(tmp_path / "b.png", probs, threshold=0.75)
    assert "images: 5 (3 kept)" in drawn[1].axes[0].get_legend_handles_labels()[1]


@pytest.mark.parametrize("threshold", [0.0, 0.31, 0.75, 0.999])
def test_no_bar_of_the_histogram_is_half_kept(threshold):
    edges = charts._edges(threshold)
    assert threshold in edges
    assert (edges[0], edges[-1]) == (0, 1)
    assert (np.diff(edges) > 0).all()


def test_confusion_matrix_shows_counts_and_shares(tmp_path, drawn):
    matrix = np.array([[8, 2, 0], [0, 0, 0], [1, 0, 3]])
    charts.confusion_matrix(tmp_path / "a.png", matrix, NAMES, "teacher")
    axes = drawn[0].axes[0]
    np.testing.assert_allclose(axes.images[0].get_array(), [[0.8, 0.2, 0], [0, 0, 0], [0.25, 0, 0.75]])
    assert texts(drawn[0]) == ["8", "2", "1", "3"]
    assert axes.get_title(loc="left") == "teacher: 11 of 14 right"
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted", "true")


def test_reliability_diagram_draws_the_bins(tmp_path, drawn):
    probs = np.array([[0.6, 0.4], [0.7, 0.3], [0.9, 0.1], [0.2, 0.8], [0.0, 1.0]])
    bins = metrics.reliability(probs, np.array([0, 1, 0, 1, 1]), bins=4)
    charts.reliability_diagram(tmp_path / "a.png", {"teacher": bins})
    top, bottom = drawn[0].axes
    np.testing.assert_allclose(top.lines[1].get_xydata(), [[0.65, 0.5], [0.9, 1.0]])
    assert top.lines[1].get_label() == "teacher (calibration error 0.120)"
    np.testing.assert_allclose(bottom.patches[0].get_data().values, [0, 0, 0.4, 0.6])


def test_class_counts_draws_both_sets_of_bars(tmp_path, drawn):
    charts.class_counts(tmp_path / "a.png", [3, 12, 0], [12, 12, 0], NAMES)
    (axes,) = drawn[0].axes
    before, after = axes.containers
    assert [bar.get_height() for bar in before] == [3, 12, 0]
    assert [bar.get_height() for bar in after] == [12, 12, 0]
    assert [label.get_text() for label in axes.get_xticklabels()] == NAMES
    assert axes.get_legend_handles_labels()[1] == ["before balancing: 15", "after balancing: 24"]


def test_a_failed_figure_leaves_nothing(tmp_path):
    with pytest.raises(ZeroDivisionError), canvas.png(tmp_path / "a.png", width=1, height=1):
        1 / 0  # noqa: B018
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("shape", [(10, 20), (20, 10)])
def test_images_that_are_not_square_keep_their_shape(tmp_path, shape):
    with canvas.png(tmp_path / "a.png", width=2, height=2, layout=None) as figure:
        axes = canvas.sheet(figure)
        canvas.thumbnail(axes, np.zeros((*shape, 3), np.uint8), 0.5, 0.5, 1.0)
    with Image.open(io.BytesIO((tmp_path / "a.png").read_bytes())) as png:
        dark = np.asarray(png.convert("L")) < 128
    height, width = np.ptp(np.argwhere(dark), axis=0) + 1
    assert abs(height - canvas.DPI * shape[0] / 20) <= 1
    assert abs(width - canvas.DPI * shape[1] / 20) <= 1


def test_learning_curves_show_all_rows_and_the_kept_checkpoint(tmp_path, drawn):
    charts.learning_curves(tmp_path / "a.png", "teacher", curves(), best=curves()[1])
    for axes, quantity, shown in zip(drawn[0].axes, ("loss", "accuracy"), ("2.0000", "0.6500"), strict=True):
        train, validation, kept = axes.get_lines()
        np.testing.assert_array_equal(train.get_ydata(), [row[f"train_{quantity}"] for row in curves()])
        np.testing.assert_array_equal(validation.get_ydata(), [row[f"validation_{quantity}"] for row in curves()])
        assert list(kept.get_xdata()) == [2]
        assert [text.get_text() for text in axes.texts] == [shown]

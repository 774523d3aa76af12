"""Pictures are judged by what is drawn: the pixels of the PNG, its texts, and the specification of a chart."""

import io
import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from types import SimpleNamespace

import numpy as np
import pytest
import vl_convert
from PIL import Image

from noisy_student.drawing import canvas, charts, fonts, galleries, pool
from noisy_student.drawing.canvas import save_chart
from noisy_student.inference import metrics
from noisy_student.inference.outcomes import Outcomes
from noisy_student.noise.pipeline import InputNoise
from noisy_student.pseudo_labels.confidence import confidence_rows
from noisy_student.settings.schema import AugmentationParams, RandAugmentParams
from support import ROOT

NAMES = ["plane", "car", "cat"]


def images(n=30):
    return np.random.default_rng(0).integers(0, 256, (n, 8, 8, 3), np.uint8)


def distributions(n=30, k=3, seed=1):
    return np.random.default_rng(seed).dirichlet(np.full(k, 0.5), n)


def input_noise(ops=2):
    params = RandAugmentParams(ops=ops, magnitude=10, levels=30, table="standard", magnitude_sampling="fixed", fill=128)
    return InputNoise(augmentation=AugmentationParams(flip=True, crop=0), randaugment=params)


def curves(model="teacher"):
    return [
        {
            "model": model,
            "step": step,
            "train_loss": 3.0 / step,
            "validation_loss": 4.0 / step,
            "train_accuracy": 1 - 0.5 / step,
            "validation_accuracy": 1 - 0.7 / step,
        }
        for step in (1, 2, 4)
    ]


def reliability_rows(models, labels):
    return [{"model": name, **row} for name, probs in models.items() for row in metrics.reliability(probs, labels)]


def count_rows(before, after, names):
    sides = (("filtered", before), ("balanced", after))
    return [
        {"class": name, "images": int(count), "when": when}
        for when, counts in sides
        for name, count in zip(names, counts, strict=True)
    ]


def corruption_rows(names, levels=(1, 3, 5)):
    cells = [{"corruption": c, "severity": s, "error": 0.1 * s} for c in names for s in levels]
    return [{"corruption": "clean", "severity": 0, "error": 0.07}, *cells]


def attack_rows(model):
    return [
        {"model": model, "attack": a, "epsilon": e, "accuracy": 1 / (1 + e)} for a in ("fgsm", "pgd") for e in (0, 2)
    ]


def all_figures(n_classes, n=300, name="class {}"):
    """Every picture with (name, function of the path), on random data of so many classes."""
    names = [name.format(k) for k in range(n_classes)]
    probs, other = distributions(n, n_classes), distributions(n, n_classes, seed=2)
    labels = np.random.default_rng(3).integers(0, n_classes, n)
    truth = np.where(np.arange(n) < 120, -1, labels)
    matrix, bins = np.zeros((n_classes, n_classes), int), [{"model": "teacher", "lower": 0, "upper": 1, "count": 0}]
    if n:
        matrix = metrics.confusion(probs, labels)
        bins = reliability_rows({"teacher": probs, "student": other}, labels)
    counts = count_rows(np.arange(n_classes), np.full(n_classes, 9), names)
    confident = confidence_rows(probs, truth, threshold=0.75)
    corruptions = [f"kind_{k}" for k in range(19)]
    tables = {"teacher": corruption_rows(corruptions), "student-gen1": corruption_rows(corruptions)}
    cell = {"corruption": "glass_blur", "severity": 3, "clean": images()[0], "changed": images()[1]}
    cells = [cell | {"label": 0, "first": n_classes - 1, "second": 0}] * min(n, 9)
    specs = {
        "histogram": charts.confidence_histogram(confident, threshold=0.75),
        "confusion": charts.confusion("teacher", matrix, names),
        "reliability": charts.reliability(bins),
        "curves": charts.learning_curves(curves(), {"teacher": curves()[1]}),
        "counts": charts.class_counts(counts),
        "severity": charts.error_by_severity(tables, extra=corruptions[15:]),
        "errors": charts.errors("teacher", tables["teacher"], extra=corruptions[15:]),
        "attacks": charts.attacks(attack_rows("teacher") + attack_rows("student-gen1")),
    }
    return {
        "noise": lambda p: galleries.noise_gallery(p, images(min(n, 6)), input_noise(), seed=1),
        "pseudo": lambda p: pool.pseudo_label_gallery(p, images(n), probs, names, threshold=0.75),
        "disagreement": lambda p: galleries.disagreement_gallery(
            p, images(n), labels, Outcomes.of(probs, labels), Outcomes.of(other, labels), names, title="teacher wrong"
        ),
        "corruptions": lambda p: galleries.contact_sheet(
            p, images(3), {(c, s): images(3) for c in corruptions for s in (1, 5)}, each=(1, 5)
        ),
        "sequences": lambda p: galleries.sequence_sheet(p, [("motion_blur", [images(1)] * 30)]),
        "gained": lambda p: galleries.gained_gallery(p, cells, first="teacher", second="s", class_names=names),
        **{key: lambda p, spec=spec: save_chart(p, spec) for key, spec in specs.items()},
    }


@pytest.fixture
def written(monkeypatch):
    """The texts of the sheets that are drawn, each sheet's in a list."""
    sheets = []

    def svg_to_png(svg):
        sheets.append([text.text for text in ET.fromstring(svg) if text.text])
        return vl_convert.svg_to_png(svg)

    fonts.converter()
    monkeypatch.setattr(canvas, "converter", lambda: SimpleNamespace(svg_to_png=svg_to_png))
    return sheets


def shown(path, batch, side):
    """Which images of the batch (N, 8, 8, 3) stand in the PNG, enlarged to `side`: rows from left to right."""
    pixels, places = pixels_of(path), []
    for index, image in enumerate(batch):
        large = image.repeat(side // 8, axis=0).repeat(side // 8, axis=1)
        for y, x in np.argwhere((pixels[: 1 - side, : 1 - side] == image[0, 0]).all(axis=-1)):
            if (pixels[y : y + side, x : x + side] == large).all():
                places.append((y, x, index))
    return [index for _, _, index in sorted(places)]


def pixels_of(path):
    with Image.open(path) as png:
        return np.asarray(png.convert("RGB"))


def coloured(path, color):
    """(H, W) bool: the pixels of a colour, but for its blurred edges."""
    rgb = [int(color[i : i + 2], 16) for i in (1, 3, 5)]
    return (np.abs(pixels_of(path).astype(int) - rgb) <= 2).all(axis=-1)


def marks(spec, kind):
    """What Vega draws of a chart: the items of each mark of a kind, with their places in pixels."""

    def walk(node):
        if isinstance(node, dict) and node.get("marktype") == kind and node.get("role") == "mark":
            yield node["items"]
        for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
            yield from walk(child)

    scene = fonts.converter().vegalite_to_scenegraph(json.dumps(spec), vl_version=canvas.VEGA_LITE)
    return list(walk(scene))


def heights(items, *, of):
    """The items' y in units of the data: `of` = (0's y, 1's y)."""
    return [(of[0] - item.get("y", 0)) / (of[0] - of[1]) for item in items]


@pytest.mark.parametrize("name", list(all_figures(3)))
def test_equal_input_gives_equal_bytes(name, tmp_path):
    all_figures(3)[name](tmp_path / "a.png")
    all_figures(3)[name](tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert {file.name for file in tmp_path.iterdir()} == {"a.png", "b.png"}
    with Image.open(tmp_path / "a.png") as png:
        assert png.info == {}  # neither a date nor a version
        assert png.format == "PNG"


def test_the_machines_fonts_do_not_show(tmp_path):
    """Drawn as where no font is installed; a letter that ours lacks would come from any other that is found."""
    code = (
        "import os, sys; from pathlib import Path; import vl_convert\n"
        "from noisy_student.drawing import canvas, charts, fonts\n"
        "fonts._OTHERS = fonts.re.compile('(?!)')\n"  # nothing is replaced: other fonts would be asked
        "if len(sys.argv) > 2: fonts.converter = canvas.converter = lambda: vl_convert\n"  # as the environment has it
        "before = dict(os.environ)\n"
        "canvas.save_chart(Path(sys.argv[1]), charts.confusion('✗ 猫 é', [[3, 1], [0, 2]], ['a', '☃']))\n"
        "sys.exit(dict(os.environ) != before)"
    )
    none, environment = tmp_path / "fonts.conf", {**os.environ, "PYTHONPATH": str(ROOT)}
    none.write_text("<fontconfig><dir>/nowhere</dir></fontconfig>")
    for arguments, more in ((["a.png"], {}), (["b.png", "bare"], {"FONTCONFIG_FILE": str(none)})):
        run = [sys.executable, "-c", code, *arguments]
        assert subprocess.run(run, cwd=tmp_path, env=environment | more, check=False).returncode == 0
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_no_character_is_an_empty_box():
    """Each that is not replaced is drawn otherwise than one that no font has."""
    drawable = [chr(c) for c in range(0x21, 0x3000) if not fonts._OTHERS.match(chr(c)) and chr(c).isprintable()]
    assert len(drawable) > 1500
    assert {*"azÄßéłŐçñøΩλЖяש×√…–€−"} <= {*drawable}
    box, *drawn = glyphs(["\U0010fffd", *drawable])
    assert box.any()
    assert [c for c, glyph in zip(drawable, drawn, strict=True) if (glyph == box).all()] == []
    assert fonts.printable("猫 a\u0308\U0001f600\x07") == "U+732B äU+1F600U+0007"  # ¨ after a is one letter with it


def glyphs(characters):
    side, columns = 40, 50
    texts = [
        f'<text x="{i % columns * side + 8}" y="{i // columns * side + 28}" font-size="20">&#{ord(c)};</text>'
        for i, c in enumerate(characters)
    ]
    height = -(-len(texts) // columns) * side
    size = f'width="{columns * side}" height="{height}" font-family="{fonts.FONT}"'
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" {size}>{"".join(texts)}</svg>'
    ink = np.asarray(Image.open(io.BytesIO(fonts.converter().svg_to_png(svg))))[..., 3]
    cells = ink.reshape(height // side, side, columns, side).swapaxes(1, 2).reshape(-1, side, side)
    return cells[: len(texts)]


@pytest.mark.parametrize(
    ("classes", "n", "name"),
    [
        (1, 300, "{}"),
        (2, 300, "a class of a very long name, longer than there is room {}"),
        (100, 300, "class {}"),
        (3, 300, '<b>"$5-$10\\'),
        (3, 300, "猫猫猫猫猫猫猫猫猫猫猫猫"),
        (3, 0, "{}"),
    ],
)
def test_every_picture_is_whole_for_few_and_many_classes(classes, n, name, tmp_path):
    """Nothing is cut off: the outermost pixels are the white margin."""
    for key, draw in all_figures(classes, n, name).items():
        draw(tmp_path / f"{key}.png")
        grey = pixels_of(tmp_path / f"{key}.png").min(axis=-1)
        assert max(grey.shape) < 12_000
        border = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
        assert (border == 255).all(), key
        assert (grey < 200).mean() > (0.01 if n else 0.001), key


def test_a_model_has_its_own_colour_in_every_chart(tmp_path):
    both, alone = canvas.colours(["teacher", "student-gen2"]), canvas.colours(["student-gen2"])
    assert both["student-gen2"] == alone["student-gen2"] != both["teacher"] == canvas.colours(["teacher"])["teacher"]
    many = canvas.colours(["teacher", "student-a", *(f"student-gen{n}" for n in range(1, 6))])
    assert len(set(many.values())) == 7
    assert len(canvas.colours(f"student-{n}" for n in range(20))) == 20
    save_chart(tmp_path / "a.png", charts.attacks(attack_rows("student-gen2")))
    assert coloured(tmp_path / "a.png", alone["student-gen2"]).sum() > 500
    assert not coloured(tmp_path / "a.png", both["teacher"]).any()


def test_the_template_of_dvc_has_the_colours_of_the_pictures():
    template = json.loads((ROOT / ".dvc/plots/curves.json").read_text())
    assert template["encoding"]["color"]["scale"]["range"] == list(canvas.CYCLE)
    models = ["teacher", "student-gen1", "student-gen2"]
    assert list(canvas.colours(models).values()) == template["encoding"]["color"]["scale"]["range"][:3]


def test_noise_gallery_shows_originals_and_noised_images_pixel_by_pixel(tmp_path, written):
    batch, noise = images(), input_noise()
    galleries.noise_gallery(tmp_path / "a.png", batch, noise, rows=4, columns=5, seed=1)
    first = [index for index in shown(tmp_path / "a.png", batch, 96) if index < 4]
    assert first[0] == 0
    assert set(first) == {0, 1, 2, 3}
    pixels, side, gap = pixels_of(tmp_path / "a.png"), 96, 6
    pitch = side + gap + 2 * 13 + gap
    cells = [
        pixels[56 + r * pitch : 56 + r * pitch + side, 16 + c * (side + gap) : 16 + c * (side + gap) + side][
            6::12, 6::12
        ]
        for r in range(4)
        for c in range(5)
    ]
    for r in range(4):
        np.testing.assert_array_equal(cells[5 * r], batch[r])
    assert len({cell.tobytes() for cell in cells}) > 12
    # two operations below each noised cell, a title and two headers
    assert len(written[0]) == 3 + 4 * 4 * 2


def test_noise_gallery_without_randaugment_has_no_captions(tmp_path, written):
    galleries.noise_gallery(tmp_path / "a.png", images(2), input_noise(ops=0), columns=3, seed=1)
    assert written[0] == ["Input noise", "original", "noised, a fresh draw for each cell"]


def test_pseudo_label_groups_by_hand():
    confidence = np.array([0.9, 0.8, 0.75, 0.7, 0.99, 0.6, 0.95, 0.85, 0.3])
    rows = np.array([0, 1, 2, 3, 4, 5, 6, 7])
    top, above, below = pool.pseudo_label_groups(confidence, rows, threshold=0.75, each=2)
    assert top.tolist() == [4, 6]
    assert above.tolist() == [1, 7]
    assert below.tolist() == [2, 3]


def test_pseudo_label_groups_below_a_bound():
    confidence = np.array([0.9, 0.8, 0.75, 0.7, 0.99])
    bounds = {"threshold": 0.72, "max_confidence": 0.8}
    top, above, below = pool.pseudo_label_groups(confidence, np.arange(5), each=1, **bounds)
    assert (top.tolist(), above.tolist(), below.tolist()) == ([1], [2], [4])


def test_pseudo_label_groups_share_no_image_when_few_are_kept():
    confidence = np.array([0.9, 0.8, 0.5])
    top, above, below = pool.pseudo_label_groups(confidence, np.arange(3), threshold=0.75, each=4)
    assert (top.tolist(), above.tolist(), below.tolist()) == ([0, 1], [], [2])


def test_pseudo_label_gallery_shows_the_groups_and_leaves_empty_cells_blank(tmp_path, written):
    probs = np.array([[0.9, 0.1, 0.0], [0.6, 0.4, 0.0], [0.15, 0.85, 0.0]])
    batch = images(3)
    pool.pseudo_label_gallery(tmp_path / "a.png", batch, probs, NAMES, threshold=0.75, each=2)
    assert shown(tmp_path / "a.png", batch, 64) == [0, 1, 2]
    found = written[0]
    assert [t for t in found if t.startswith("0.")] == ["0.900", "0.600", "0.850"]
    assert [t for t in found if t.endswith("kept")] == ["1 of 2 kept", "1 of 1 kept", "0 of 0 kept"]
    assert [t for t in found if t in NAMES] == NAMES


def test_pseudo_label_gallery_says_when_classes_are_left_out(tmp_path, written):
    names = [f"c{k}" for k in range(101)]
    pool.pseudo_label_gallery(tmp_path / "a.png", images(5), distributions(5, 101), names, threshold=0.5, each=1)
    assert "the first 100 of 101 classes" in written[0][0]
    assert "c99" in written[0]
    assert "c100" not in written[0]


def test_disagreement_by_hand(tmp_path, written):
    labels = np.array([0, 1, 2, 0])
    first = np.array([[0.3, 0.7, 0.0], [0.0, 0.9, 0.1], [0.8, 0.1, 0.1], [0.2, 0.8, 0.0]])
    second = np.array([[0.6, 0.4, 0.0], [0.9, 0.1, 0.0], [0.0, 0.05, 0.95], [0.1, 0.9, 0.0]])
    first, second = Outcomes.of(first, labels), Outcomes.of(second, labels)
    # 0 and 2 are mended (gains 0.3 and 0.85), 1 is spoilt, 3 is wrong in both
    assert galleries.disagreement_rows(labels, first, second).tolist() == [2, 0]
    assert galleries.disagreement_rows(labels, second, first).tolist() == [1]
    batch = images(4)
    galleries.disagreement_gallery(tmp_path / "a.png", batch, labels, first, second, NAMES, title="Mended")
    assert written[0][0] == "Mended"
    assert written[0][1].startswith("2 of 4 images;")
    assert written[0][2:] == ["cat", "× plane 0.80", "√ cat 0.95", "plane", "× car 0.70", "√ plane 0.60"]
    assert shown(tmp_path / "a.png", batch, 96) == [2, 0]


def test_disagreement_without_any_says_none_and_with_many_says_how_many(tmp_path, written):
    labels = np.zeros(20, int)
    right, wrong = (Outcomes.of(np.eye(3)[[guess] * 20], labels) for guess in (0, 1))
    galleries.disagreement_gallery(tmp_path / "a.png", images(20), labels, right, right, NAMES, title="T")
    assert written[0] == ["T", "0 of 20 images"]
    galleries.disagreement_gallery(tmp_path / "b.png", images(20), labels, wrong, right, NAMES, title="T", most=9)
    assert written[1][1].startswith("20 of 20 images, 9 shown;")
    assert shown(tmp_path / "b.png", images(20), 96) == list(range(9))


def test_contact_sheet_shows_each_severity_beside_the_clean_image(tmp_path, written):
    batch = images(6)
    changed = {("fog", 1): batch[2:4], ("fog", 5): batch[4:6]}
    galleries.contact_sheet(tmp_path / "a.png", batch[:2], changed, each=(1, 5))
    assert shown(tmp_path / "a.png", batch, 64) == [0, 2, 4, 1, 3, 5]
    assert written[0] == ["Corruptions", *["clean", "severity 1", "severity 5"] * 2, "fog"]


def test_sequences_are_shown_from_the_first_frame_to_the_last(tmp_path):
    batch = images(21)
    galleries.sequence_sheet(tmp_path / "a.png", [("zoom_blur", [frame[None] for frame in batch])], columns=5)
    assert shown(tmp_path / "a.png", batch, 96) == [0, 5, 10, 15, 20]


def test_gained_images_stand_beside_the_clean_ones(tmp_path, written):
    batch, given = images(3), {"corruption": "fog", "severity": 3, "label": 0, "first": 1, "second": 0}
    cells = [given | {"clean": batch[0], "changed": batch[1]}, given | {"clean": None, "changed": batch[2]}]
    galleries.gained_gallery(tmp_path / "a.png", cells, first="teacher", second="s", class_names=NAMES)
    assert shown(tmp_path / "a.png", batch, 96) == [0, 1, 2]
    assert written[0][1:] == ["fog, severity 3", "true: plane", "teacher: car", "s: plane"] * 2


@pytest.mark.parametrize("shape", [(10, 20), (20, 10)])
def test_images_that_are_not_square_keep_their_shape(tmp_path, shape):
    canvas.save_sheet(tmp_path / "a.png", "", [((), [(np.zeros((*shape, 3), np.uint8), ())])], side=100)
    dark = pixels_of(tmp_path / "a.png").max(axis=-1) < 128
    assert (np.ptp(np.argwhere(dark), axis=0) + 1).tolist() == [100 * length // 20 for length in shape]


def test_large_images_are_averaged_not_thinned_out(tmp_path):
    stripes = np.zeros((256, 256, 3), np.uint8)
    stripes[:, ::2] = 255
    canvas.save_sheet(tmp_path / "a.png", "", [((), [(stripes, ())])], side=64)
    middle = pixels_of(tmp_path / "a.png")[46:86, 26:70]
    assert np.abs(middle.astype(int) - 127).max() < 30


def test_a_failed_picture_leaves_nothing(tmp_path):
    with pytest.raises(ValueError, match="conversion failed"):
        save_chart(tmp_path / "a.png", charts.chart("T", [], mark="nonsense"))
    assert not list(tmp_path.iterdir())


def test_a_chart_loads_nothing(tmp_path):
    spec = charts.chart("T", [], mark="point") | {"data": {"url": "https://example.invalid/rows.csv"}}
    with pytest.raises(ValueError, match="not allowed"):
        save_chart(tmp_path / "a.png", spec)


def test_confidence_rows_by_hand():
    probs = np.array([[0.91, 0.09], [0.2, 0.8], [0.61, 0.39], [0.99, 0.01], [0.7, 0.3]])
    rows = confidence_rows(probs, np.array([0, 0, 0, -1, 1]), threshold=0.75)
    for label, images_, kept, edges in (("right", 2, 1, [0.625, 0.925]), ("wrong", 2, 1, [0.7, 0.8])):
        own = [row for row in rows if row["label"] == label]
        assert (sum(row["images"] for row in own), sum(row["kept"] for row in own)) == (images_, kept)
        np.testing.assert_allclose([row["upper"] for row in own], edges)  # of bins of 0.025
    assert [row["images"] for row in rows if row["label"] == "unknown"] == [1]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("threshold", "bound"), [(0.0, 1.0), (0.31, 0.9), (0.7, 1.0), (0.7, 0.77), (0.999, 1.0)])
def test_no_bar_of_the_histogram_is_half_kept(threshold, bound, dtype):
    confidence = np.concatenate([np.linspace(0.5, 1, 997), [threshold, bound, *np.nextafter(dtype(threshold), [0, 1])]])
    probs = np.stack([confidence, 1 - confidence], axis=1).astype(dtype)
    rows = confidence_rows(probs, np.zeros(len(probs), int), threshold=threshold, max_confidence=bound)
    assert sum(row["images"] for row in rows) == len(probs)
    highest = probs.max(axis=1)
    kept = (highest > threshold) & ((highest <= bound) | (bound == 1))
    assert sum(row["kept"] for row in rows) == kept.sum() > 0
    assert all(row["kept"] in (0, row["images"]) for row in rows)


def test_confidence_histogram_stacks_the_groups(tmp_path):
    row = {"lower": 0.75, "upper": 1.0}
    rows = [
        {"lower": 0.0, "upper": 0.25, "label": "wrong", "images": 20, "kept": 0},
        row | {"label": "right", "images": 30, "kept": 30},
        row | {"label": "wrong", "images": 10, "kept": 10},
    ]
    spec = charts.confidence_histogram(rows, threshold=0.75, max_confidence=0.9)
    assert spec["title"]["text"] == "40 of 60 pseudo-labels kept (66.7%)"
    assert spec["title"]["subtitle"] == "dashed: threshold 0.75, and at most 0.9"
    (bars,) = marks(spec, "rect")
    found = {
        (bar["fill"], round(bar["x"] / 160), round(bar["width"] / 160)): (bar["y"] + bar["height"], bar["height"])
        for bar in bars
    }  # 640 pixels for [0, 1], 260 for 40 images
    expected = {
        (canvas.WRONG, 0, 1): (260, 130),
        (canvas.RIGHT, 3, 1): (260, 195),
        (canvas.WRONG, 3, 1): (65, 65),
    }
    assert found == {key: pytest.approx(value) for key, value in expected.items()}
    (rules,) = marks(spec, "rule")
    assert [rule["x"] for rule in rules] == pytest.approx([480, 576])
    domain = spec["layer"][0]["encoding"]["color"]["scale"]["domain"]
    assert domain == ["right: 30 (30 kept)", "wrong: 30 (10 kept)"]


def test_confusion_matrix_shows_counts_and_shares():
    spec = charts.confusion("teacher", np.array([[8, 2, 0], [0, 0, 0], [1, 0, 3]]), NAMES)
    assert spec["title"]["text"] == "teacher: 11 of 14 right"
    ((texts,), (cells,)) = marks(spec, "text"), marks(spec, "rect")
    place = {(int(text["y"] // 60), int(text["x"] // 60)): text for text in texts}  # rows: the truth
    shown = [[place[r, c]["text"] for c in range(3)] for r in range(3)]
    assert shown == [["8", "2", "0"], ["0", "0", "0"], ["1", "0", "3"]]
    blue = {(int(cell["y"] // 60), int(cell["x"] // 60)): cell["fill"] for cell in cells}
    red = {key: int(fill[4:].split(",")[0]) for key, fill in blue.items()}  # of rgb(...)
    assert red[0, 0] < red[2, 2] < red[2, 0] < red[0, 1]  # the darker, the larger the share
    white = {key for key, text in place.items() if text["fill"] == "white"}
    assert white == {(0, 0), (2, 2)}


def test_reliability_diagram_draws_the_bins():
    probs = np.array([[0.6, 0.4], [0.7, 0.3], [0.9, 0.1], [0.2, 0.8], [0.0, 1.0]])
    bins = metrics.reliability(probs, np.array([0, 1, 0, 1, 1]), bins=4)
    spec = charts.reliability([{"model": "teacher", **row} for row in bins])
    (points,), (shares,) = marks(spec, "symbol"), marks(spec, "rule")
    np.testing.assert_allclose([point["x"] / 400 for point in points], [0.65, 0.9])
    np.testing.assert_allclose(heights(points, of=(300, 0)), [0.5, 1.0], atol=1e-9)
    np.testing.assert_allclose([share["x"] / 400 for share in shares], [0, 0.25, 0.5, 0.75])
    np.testing.assert_allclose([share["x2"] / 400 for share in shares], [0.25, 0.5, 0.75, 1])
    np.testing.assert_allclose(heights(shares, of=(90, -60)), [0, 0, 0.4, 0.6], atol=1e-9)
    assert spec["title"]["subtitle"] == "calibration error: teacher 0.120"


def test_class_counts_draws_both_sets_of_bars():
    spec = charts.class_counts(count_rows([3, 12, 0], [12, 12, 0], NAMES))
    (bars,) = marks(spec, "rect")
    tall = {color: [bar["height"] for bar in bars if bar["fill"] == color] for color in (canvas.BEFORE, canvas.AFTER)}
    np.testing.assert_allclose(np.divide(tall[canvas.BEFORE], 220), [0.25, 1, 0], atol=1e-9)
    np.testing.assert_allclose(np.divide(tall[canvas.AFTER], 220), [1, 1, 0], atol=1e-9)
    assert {row["when"] for row in spec["data"]["values"]} == {"before balancing: 15", "after balancing: 24"}


def test_learning_curves_show_all_rows_and_the_kept_checkpoint():
    models = ["teacher", "student-gen1"]
    spec = charts.learning_curves(curves() + curves(models[1]), {models[0]: curves()[1], models[1]: curves()[2]})
    lines, dots, texts = marks(spec, "line"), marks(spec, "symbol"), marks(spec, "text")
    colours = list(canvas.colours(models).values())
    for panel, quantity in enumerate(("loss", "accuracy")):
        drawn = lines[4 * panel : 4 * panel + 4]
        circles = dots[2 * panel + 1]
        solid = next(line for line in drawn if line[0]["stroke"] == colours[0] and line[0]["strokeDash"] == [1, 0])
        # the scale from two of its points; then every line is where it belongs
        (first, *_, last), (low, *_, high) = solid, (row[f"validation_{quantity}"] for row in curves())
        unit = (first["y"] - last["y"]) / (high - low)
        of = (first["y"] + low * unit, first["y"] + low * unit - unit)
        for line in drawn:
            kind = "validation" if line[0]["strokeDash"] == [1, 0] else "train"
            np.testing.assert_allclose(heights(line, of=of), [row[f"{kind}_{quantity}"] for row in curves()])
        assert sorted((line[0]["stroke"], line[0]["strokeDash"][0]) for line in drawn) == sorted(
            (color, dash) for color in colours for dash in (1, 4)
        )
        np.testing.assert_allclose(heights(circles, of=of), [curves()[i][f"validation_{quantity}"] for i in (1, 2)])
        assert [circle["stroke"] for circle in circles] == colours
    assert [text["text"] for group in texts for text in group] == ["2.0000", "1.0000", "0.6500", "0.8250"]


def test_errors_are_drawn_for_each_severity():
    rows = corruption_rows(["spatter", "glass_blur", "fog"])
    spec = charts.error_by_severity({"teacher": rows}, extra=["spatter"])
    assert spec["facet"]["sort"] == ["spatter (extra)", "glass blur", "fog"]  # as in the table, not by letters
    lines, rules = marks(spec, "line"), marks(spec, "rule")
    assert len(lines) == len(rules) == 3
    np.testing.assert_allclose(heights(lines[0], of=(90, -90)), [0.1, 0.3, 0.5])  # the scale ends at the highest, 0.5
    assert all(heights(rule, of=(90, -90)) == pytest.approx([0.07]) for rule in rules)
    heat = charts.errors("teacher", rows, extra=["spatter"])
    texts = [text["text"] for text in sorted(marks(heat, "text")[0], key=lambda text: (text["y"], text["x"]))]
    assert texts == ["0.10", "0.30", "0.50"] * 3
    assert heat["title"]["subtitle"] == "clean images: 0.070"


def test_attacks_are_drawn_dashed_by_their_kind():
    (fgsm, pgd) = marks(charts.attacks(attack_rows("teacher")), "line")
    assert fgsm[0]["strokeDash"] != pgd[0]["strokeDash"]
    np.testing.assert_allclose(heights(fgsm, of=(260, 0)), [1, 1 / 3], atol=1e-9)

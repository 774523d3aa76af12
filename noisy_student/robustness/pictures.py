"""Pictures of robustness: charts, and sheets of changed images."""

import numpy as np

from noisy_student.drawing.canvas import BLACK, BLUE, GREY, ORANGE, VERMILLION, png, sheet, shorten, thumbnail
from noisy_student.robustness import perturbations, severities

_MARGIN = 0.15  # inches
_COLUMNS = 5
_SHOWN = (1, 3, 5)  # severities on the contact sheet


def words(name):
    """A corruption's name as it is shown."""
    return name.replace("_", " ")


def error_by_severity(path, name, rows, *, other=None):
    """Draw the error over the severity of each corruption.

    Args:
        path: PNG to write.
        name: of the model.
        rows: of `report.corruption_rows`.
        other: (name, rows) of a model to compare with; None: none.
    """
    tables = [(name, rows, BLUE, "o")] + ([(*other, ORANGE, "s")] if other else [])
    lines = -(-len(severities.ALL) // _COLUMNS)
    height = 1.75 * lines + 0.6
    place = {"left": 0.065, "right": 0.99, "bottom": 0.5 / height, "top": 1 - 0.65 / height, "hspace": 0.3}
    # placed by hand: matplotlib's layout engine takes a second for so many axes
    with png(path, width=10, height=height, layout=None) as figure:
        grid = figure.subplots(lines, _COLUMNS, sharex=True, sharey=True, gridspec_kw=place | {"wspace": 0.1})
        for axes, corruption in zip(grid.flat, severities.ALL, strict=False):
            for model, table, color, marker in tables:
                points = [(r["severity"], r["error"]) for r in table if r["corruption"] == corruption]
                axes.plot(*zip(*points, strict=True), color=color, marker=marker, markersize=4, label=model)
                axes.axhline(table[0]["error"], color=color, linestyle=":", linewidth=1)
            standard = corruption in severities.STANDARD
            axes.set_title(words(corruption) + ("" if standard else " (extra)"), loc="left", fontsize=9)
            axes.set(ylim=(0, 1), xticks=severities.SEVERITIES)
            axes.grid()
        for axes in grid.flat[len(severities.ALL) :]:
            axes.set_axis_off()
        figure.text(0.5, 0.12 / height, "severity", ha="center")
        figure.text(0.012, 0.5, "error (dotted: clean images)", rotation=90, va="center")
        figure.text(0.01, 1 - 0.22 / height, f"Error by corruption and severity, {name}", fontsize=12)
        figure.legend(*grid.flat[0].get_legend_handles_labels(), loc="upper right", ncols=2)


def heat_map(path, name, rows):
    """Draw the errors as a table of coloured cells, corruptions by severities.

    Args:
        path: PNG to write.
        name: of the model.
        rows: of `report.corruption_rows`.
    """
    levels = sorted({row["severity"] for row in rows} - {0})
    errors = np.array(
        [
            [row["error"] for level in levels for row in rows if (row["corruption"], row["severity"]) == (c, level)]
            for c in severities.ALL
        ]
    )
    with png(path, width=3.3 + 0.62 * len(levels), height=6.4) as figure:
        axes = figure.add_subplot()
        picture = axes.imshow(errors, cmap="cividis", vmin=0, vmax=1, aspect="auto")
        figure.colorbar(picture, ax=axes, label="error", fraction=0.06, pad=0.03)
        axes.set_xticks(range(len(levels)), levels)
        axes.set_yticks(range(len(severities.ALL)), [words(c) for c in severities.ALL])
        axes.axhline(len(severities.STANDARD) - 0.5, color="white", linewidth=2)  # the extra ones below
        axes.set(xlabel="severity")
        axes.set_title(f"Error, {name} (clean {rows[0]['error']:.3f})", loc="left")
        for (i, j), error in np.ndenumerate(errors):
            color = "black" if error > 0.5 else "white"
            axes.text(j, i, f"{error:.2f}", ha="center", va="center", color=color, fontsize=8)


def accuracy_over_epsilon(path, name, figures, *, other=None):
    """Draw the accuracy on attacked images.

    Args:
        path: PNG to write.
        name: of the model.
        figures: of `report.summary`.
        other: (name, figures) of a model to compare with; None: none.
    """
    models = [(name, figures, BLUE)] + ([(*other, ORANGE)] if other else [])
    with png(path, width=6, height=4.2) as figure:
        axes = figure.add_subplot()
        places = range(len(severities.EPSILONS))
        for model, found, color in models:
            for kind, marker, line in (("fgsm", "o", "-"), ("pgd", "s", "--")):
                values = list(found[f"{kind}_accuracy"].values())
                label = f"{model}, {'FGSM' if kind == 'fgsm' else f'PGD-{severities.PGD_STEPS}'}"
                axes.plot(places, values, color=color, marker=marker, linestyle=line, label=label)
        axes.set_xticks(places, severities.EPSILONS)
        axes.set(xlabel="largest change of a value, in grey levels of 255", ylabel="accuracy", ylim=(0, 1))
        axes.set_title("Accuracy on attacked images", loc="left")
        axes.grid()
        figure.legend(loc="outside lower center", ncols=2)


def contact_sheet(path, images, change):
    """Draw every corruption at severities 1, 3 and 5, beside the images as they are.

    Args:
        path: PNG to write.
        images: (N, S, S, 3) uint8, the clean ones.
        change: callable (name, severity) -> (N, S, S, 3) uint8.
    """
    side, gap, names, top = 0.82, 0.06, 1.55, 0.8
    group = (1 + len(_SHOWN)) * (side + gap) + 0.2
    width = 2 * _MARGIN + names + len(images) * group
    height = top + len(severities.ALL) * (side + gap) + _MARGIN
    with png(path, width=width, height=height, layout=None) as figure:
        axes = sheet(figure)
        axes.text(_MARGIN, 0.3, "Corruptions", fontsize=12, weight="bold")
        for i in range(len(images)):
            x = _MARGIN + names + i * group
            for c, text in enumerate(("clean", *(f"severity {s}" for s in _SHOWN))):
                axes.text(x + c * (side + gap) + side / 2, 0.68, text, ha="center", fontsize=8)
        for r, name in enumerate(severities.ALL):
            y = top + r * (side + gap)
            axes.text(_MARGIN, y + side / 2, words(name), va="center", weight="bold")
            columns = [images, *(change(name, severity) for severity in _SHOWN)]
            for i in range(len(images)):
                for c, column in enumerate(columns):
                    x = _MARGIN + names + i * group + c * (side + gap)
                    thumbnail(axes, column[i], x, y, side)


def sequence_sheet(path, images, *, seed, columns=6):
    """Draw some frames of every perturbation sequence of one image.

    Args:
        path: PNG to write.
        images: (1, S, S, 3) uint8.
        seed: of the sequences.
        columns: how many frames are shown, from the first to the last.
    """
    side, gap, names, top = 0.95, 0.06, 1.4, 0.75
    sequences = perturbations.names(images.shape[1])
    width = 2 * _MARGIN + names + columns * (side + gap)
    with png(path, width=width, height=top + len(sequences) * (side + gap) + _MARGIN, layout=None) as figure:
        axes = sheet(figure)
        axes.text(_MARGIN, 0.3, "Perturbation sequences", fontsize=12, weight="bold")
        axes.text(_MARGIN + names, 0.62, "from the first frame to the last", fontsize=8)
        for r, name in enumerate(sequences):
            y, frames = (
                top + r * (side + gap),
                list(perturbations.frames(images, name, rows=np.arange(1), seed=seed)),
            )
            axes.text(_MARGIN, y + side / 2, words(name), va="center", weight="bold")
            for c, place in enumerate(np.linspace(0, len(frames) - 1, columns).round().astype(int)):
                thumbnail(axes, frames[place][0], _MARGIN + names + c * (side + gap), y, side)


def gained_gallery(path, cells, *, first, second, class_names):
    """Draw changed images that the first model gets wrong and the second right.

    Args:
        path: PNG to write.
        cells: list of dicts: corruption, severity, clean and changed ((S, S, 3) uint8), label, first and
            second (the models' predictions, ints).
        first, second: the models' names.
        class_names: K names.
    """
    side, columns, top = 0.95, 4, 0.8
    pitch, wide = side + 0.75, 2 * side + 0.35
    lines = max(1, -(-len(cells) // columns))
    title = f"Corrupted test images that {first} gets wrong and {second} right"
    with png(path, width=2 * _MARGIN + columns * wide, height=top + lines * pitch + _MARGIN, layout=None) as figure:
        axes = sheet(figure)
        axes.text(_MARGIN, 0.3, title, fontsize=12, weight="bold")
        if not cells:
            axes.text(_MARGIN, 0.65, "There is none.", color=GREY)
        for index, cell in enumerate(cells):
            x, y = _MARGIN + index % columns * wide, top + index // columns * pitch
            for shift, image in ((0, cell["clean"]), (side + 0.05, cell["changed"])):
                if image is not None:
                    thumbnail(axes, image, x + shift, y, side)
            captions = (
                (f"{words(cell['corruption'])}, severity {cell['severity']}", BLACK),
                (f"true: {_named(class_names, cell['label'])}", BLACK),
                (f"{first}: {_named(class_names, cell['first'])}", VERMILLION),
                (f"{second}: {_named(class_names, cell['second'])}", BLUE),
            )
            for line, (text, color) in enumerate(captions):
                axes.text(x, y + side + 0.12 + 0.14 * line, text, fontsize=7, color=color)


def _named(class_names, label):
    return shorten(class_names[label], 24)

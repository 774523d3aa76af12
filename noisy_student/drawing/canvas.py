"""What all figures share: the look, writing equal bytes for equal input, and sheets of small images."""

import contextlib

from matplotlib import style
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from noisy_student.runtime.files import atomic_path

# Okabe and Ito's colours, which colour-blind readers can tell apart.
BLUE, ORANGE, GREEN, VERMILLION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
PURPLE, SKY, BLACK, GREY = "#CC79A7", "#56B4E9", "#222222", "#999999"
CYCLE = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY, BLACK)

DPI = 110

_LOOK = {
    "font.size": 9,
    "axes.titlesize": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": "#e4e4e4",
    "legend.frameon": False,
    "text.parse_math": False,  # a class may be called "$5-$10"
}


@contextlib.contextmanager
def png(path, *, width, height, layout="constrained"):
    """Yield an empty matplotlib Figure; it is written to `path` if the block succeeds.

    Neither the user's matplotlib settings nor the date or version enter the file.

    Args:
        path: the PNG's path.
        width: inches; a PNG has 110 pixels an inch.
        height: inches.
        layout: matplotlib's layout engine; None for `sheet`.
    """
    with style.context(["default", _LOOK], after_reset=True):
        figure = Figure(figsize=(width, height), dpi=DPI, layout=layout)
        FigureCanvasAgg(figure)
        yield figure
        with atomic_path(path) as temporary:
            figure.savefig(temporary, dpi=DPI, metadata={"Software": None})


def sheet(figure):
    """Add axes that fill the figure, without frame; coordinates are inches from the upper left corner."""
    width, height = figure.get_size_inches()
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    return axes


def thumbnail(axes, image, x, y, side):
    """Draw an image (H, W, 3) uint8 into the square with its upper left corner at (x, y) inches.

    Small images are enlarged with sharp pixels; the shape of an image that is not square is kept.
    """
    height, width = image.shape[:2]
    scale = side / max(height, width)
    # on whole pixels, or the border shows stray ones
    left = round((x + (side - width * scale) / 2) * DPI) / DPI
    top = round((y + (side - height * scale) / 2) * DPI) / DPI
    axes.imshow(
        image,
        extent=(left, left + width * scale, top + height * scale, top),
        interpolation="nearest" if max(height, width) <= 64 else "auto",
        aspect="auto",
    )


def shorten(text, most=16):
    """Cut a name to `most` characters so that captions do not overlap."""
    return text if len(text) <= most else text[: most - 1] + "…"

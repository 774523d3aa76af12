"""What all pictures share: colours, the font, PNGs of equal bytes for equal input, and sheets of small images."""

import io
import json
import re
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

import numpy as np
from PIL import Image

from noisy_student.drawing.fonts import FONT, converter, printable, shorten_all, text_width
from noisy_student.runtime.files import atomic_path

# Okabe and Ito's colours, which colour-blind readers can tell apart.
BLUE, ORANGE, GREEN, VERMILLION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
PURPLE, SKY, BLACK, GREY = "#CC79A7", "#56B4E9", "#222222", "#767676"
CYCLE = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY, BLACK)  # the teacher's, then the generations'
_FURTHER = ("#332288", "#999933", "#CC6677", "#7F4F24", "#44AA99")  # of generations above the sixth; mostly Tol's
# of what a model says; no model's colours
RIGHT, WRONG = "#117733", "#882255"
BEFORE, AFTER = "#B5B5B5", "#5A5A5A"

VEGA_LITE = "6.4"
LABELS = "labels"  # the parameter of a chart that says how the classes' names are shown: {name: text}
LABEL_PIXELS, LABEL_SIZE = 160, 12  # of a class's name on an axis
_SCALE = 1.5  # pixels of a PNG for one of a chart
_MARGIN, _GAP, _LINE = 16, 6, 13  # pixels of a sheet
CAPTION = 10.5  # font size of what stands below an image of a sheet


# an image (H, W, 3) uint8 with its caption, lines of (text, colour); None: an empty cell
Cell = tuple[np.ndarray, Sequence[tuple[str, str]]] | None


def colours(models: Iterable[str]) -> dict[str, str]:
    """A colour for each model, the same in all pictures: the teacher's, one by the generation's number, black without.

    Only where two models of a picture would be alike, without numbers or above eleven generations, does the later one
    take the next colour that is free.
    """
    chosen: dict[str, str] = {}
    others = (*CYCLE[1:], *_FURTHER)
    for name in models:
        number = re.search(r"\d+$", name)
        first = (int(number[0]) - 1 if number else others.index(BLACK)) % len(others)
        choices = (CYCLE[0],) if name == "teacher" else others[first:] + others[:first]
        chosen[name] = next((color for color in choices if color not in chosen.values()), choices[0])
    return chosen


def save_chart(path: Path, spec: dict) -> None:
    """Draw a Vega-Lite specification as PNG."""
    drawn = converter().vegalite_to_png(
        json.dumps(_printed(spec)),
        vl_version=VEGA_LITE,
        scale=_SCALE,
        config={"font": FONT},
        allowed_base_urls=[],
    )
    _save(path, Image.open(io.BytesIO(drawn)))


def _printed(part):
    """A specification with printable texts; the classes' names (`LABELS`) are shortened as they are printed."""
    if isinstance(part, dict) and part.get("name") == LABELS and "value" in part:
        shown = shorten_all(list(part["value"]), LABEL_PIXELS, size=LABEL_SIZE)
        return part | {"value": {printable(name): text for name, text in shown.items()}}
    if isinstance(part, dict):
        return {key: _printed(value) for key, value in part.items()}
    if isinstance(part, (list, tuple)):
        return [_printed(value) for value in part]
    return printable(part) if isinstance(part, str) else part


class _Sheet:
    """A white page of so many pixels, for images and texts."""

    def __init__(self, width: int, height: int):
        self._page = Image.new("RGBA", (width, height), "white")
        self._texts: list[str] = []

    def image(self, image, x, y, side):
        """Put an image (H, W, 3) uint8 into a square; small ones are enlarged with sharp pixels."""
        scale = side / max(image.shape[:2])
        height, width = (max(1, round(length * scale)) for length in image.shape[:2])
        how = Image.Resampling.NEAREST if scale >= 1 else Image.Resampling.LANCZOS
        shown = Image.fromarray(image).resize((width, height), how)
        self._page.paste(shown, (x + (side - width) // 2, y + (side - height) // 2))

    def text(self, text, x, y, *, color=BLACK, size=12, bold=False):
        """Write a text with its baseline at y."""
        weight = "bold" if bold else "normal"
        place = f'<text x="{x}" y="{y}" fill="{color}" font-size="{size}" font-weight="{weight}">'
        self._texts.append(f"{place}{escape(printable(text))}</text>")

    def save(self, path):
        width, height = self._page.size
        head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="{FONT}">'
        drawn = converter().svg_to_png(f"{head}{''.join(self._texts)}</svg>")
        self._page.alpha_composite(Image.open(io.BytesIO(drawn)).convert("RGBA"))
        _save(path, self._page)


def save_sheet(
    path: Path,
    title: str,
    rows: Sequence[tuple[Sequence[str], Sequence[Cell]]],
    *,
    side: int = 96,
    room: int = 0,
    names: int = 0,
    group: int = 1000,
    below: str = "",
    headers: Sequence[tuple[int, str, str]] = (),
) -> None:
    """Draw rows of images as PNG.

    Args:
        rows: a row's name, in lines, and its cells.
        side: pixels of an image.
        room: pixels for a cell and its caption, `side` at least.
        names: pixels left of the images for the rows' names.
        group: how many cells stand together.
        below: text below the title.
        headers: (place of a cell, text, colour) above the first row.
    """
    columns = max((len(cells) for _, cells in rows), default=0)
    lines = max((len(cell[1]) for _, cells in rows for cell in cells if cell), default=0)
    pitch = side + _GAP + (lines * _LINE + _GAP if lines else 0)
    top = _MARGIN + 20 + 20 * bool(below) + 20 * bool(headers)

    def left(column):
        return _MARGIN + names + column * (max(side, room) + _GAP) + column // group * 3 * _GAP

    ends = [left(columns), _MARGIN + _width(title, 16, bold=True), _MARGIN + _width(below, 12)]
    width = max(ends + [left(column) + _width(text, 12, bold=True) for column, text, _ in headers]) + _MARGIN
    sheet = _Sheet(width, top + len(rows) * pitch + _MARGIN)
    sheet.text(title, _MARGIN, _MARGIN + 12, size=16, bold=True)
    sheet.text(below, _MARGIN, _MARGIN + 32)
    for column, text, color in headers:
        sheet.text(text, left(column), top - 6, color=color, bold=True)
    for r, (name, cells) in enumerate(rows):
        y = top + r * pitch
        for i, line in enumerate(name):
            sheet.text(line, _MARGIN, y + side // 2 + 16 * i, bold=not i, size=12 - i)
        for c, cell in enumerate(cells):
            if cell:
                sheet.image(cell[0], left(c), y, side)
                for i, (line, color) in enumerate(cell[1], start=1):
                    sheet.text(line, left(c), y + side + i * _LINE, color=color, size=CAPTION)
    sheet.save(path)


def _width(text, size, bold=False):
    return round(text_width(printable(text), size, bold=bold)) + _GAP


def _save(path, image):
    with atomic_path(path) as temporary:
        image.convert("RGB").save(temporary, "PNG")

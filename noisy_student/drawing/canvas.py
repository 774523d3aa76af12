"""What all pictures share: colours, the font, PNGs of equal bytes for equal input, and sheets of small images."""

import functools
import io
import json
import os
import re
import unicodedata
import zlib
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

import numpy as np
import vl_convert
from PIL import Image

from noisy_student.runtime.files import atomic_path

# Okabe and Ito's colours, which colour-blind readers can tell apart.
BLUE, ORANGE, GREEN, VERMILLION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
PURPLE, SKY, BLACK, GREY = "#CC79A7", "#56B4E9", "#222222", "#767676"
CYCLE = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY, BLACK)

VEGA_LITE = "6.4"
_FONT = "Liberation Sans"  # comes with vl-convert
# of the characters that it has: Latin, Greek, Cyrillic, Hebrew, and some signs
_OTHERS = re.compile(
    "[^\x20-\x7e\xa0-\u034e\u0384-\u03ce\u03d0-\u0513\u0591-\u05ea\u1e00-\u1e9b\u1ea0-\u1ef9\u1f00-\u1ffe"
    "\u2012-\u2022\u2026\u20ac\u2190-\u2193\u2212\u221a\u2264\u2265]"
)
_SCALE = 1.5  # pixels of a PNG for one of a chart
_MARGIN, _GAP, _LINE = 16, 6, 13  # pixels of a sheet


# an image (H, W, 3) uint8 with its caption, lines of (text, colour); None: an empty cell
Cell = tuple[np.ndarray, Sequence[tuple[str, str]]] | None


def colours(models: Iterable[str]) -> dict[str, str]:
    """A colour for each model, the same in all charts: the teacher's, one by the generation's number or name."""
    chosen: dict[str, str] = {}
    others = len(CYCLE) - 1
    for name in models:
        number = re.search(r"\d+$", name)
        first = int(number[0]) - 1 if number else zlib.crc32(name.encode())
        places = [1 + (first + i) % others for i in range(others)] if name != "teacher" else [0]
        free = [CYCLE[place] for place in places if CYCLE[place] not in chosen.values()]
        chosen[name] = (free or [CYCLE[places[0]]])[0]
    return chosen


def printable(text: str) -> str:
    """The text with its code point, as U+732B, for a character that the font lacks."""
    return _OTHERS.sub(lambda match: f"U+{ord(match[0]):04X}", unicodedata.normalize("NFC", text))


def shorten(text: str, most: int = 16) -> str:
    """Cut a name to `most` characters so that captions do not overlap."""
    text = printable(text)
    return text if len(text) <= most else text[: most - 1] + "…"


@functools.cache
def _converter():
    """vl-convert with its own fonts only; it looks for fonts once, when it first draws."""
    before = os.environ.get("FONTCONFIG_FILE")
    os.environ["FONTCONFIG_FILE"] = str(Path(__file__).with_name("fonts.conf"))
    vl_convert.svg_to_png('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><text>a</text></svg>')
    del os.environ["FONTCONFIG_FILE"]
    if before is not None:
        os.environ["FONTCONFIG_FILE"] = before
    return vl_convert


def save_chart(path: Path, spec: dict) -> None:
    """Draw a Vega-Lite specification as PNG."""
    drawn = _converter().vegalite_to_png(
        printable(json.dumps(spec, ensure_ascii=False)),
        vl_version=VEGA_LITE,
        scale=_SCALE,
        config={"font": _FONT},
        allowed_base_urls=[],
    )
    _save(path, Image.open(io.BytesIO(drawn)))


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
        head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="{_FONT}">'
        drawn = _converter().svg_to_png(f"{head}{''.join(self._texts)}</svg>")
        self._page.alpha_composite(Image.open(io.BytesIO(drawn)).convert("RGBA"))
        _save(path, self._page)


def save_sheet(
    path: Path,
    title: str,
    rows: Sequence[tuple[Sequence[str], Sequence[Cell]]],
    *,
    side: int = 96,
    names: int = 0,
    group: int = 1000,
    below: str = "",
    headers: Sequence[tuple[int, str, str]] = (),
) -> None:
    """Draw rows of images as PNG.

    Args:
        rows: a row's name, in lines, and its cells.
        side: pixels of an image.
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
        return _MARGIN + names + column * (side + _GAP) + column // group * 3 * _GAP

    ends = [left(columns), _MARGIN + 10 * len(printable(title)), _MARGIN + 7 * len(printable(below))]
    width = max(ends + [left(column) + 8 * len(text) for column, text, _ in headers]) + _MARGIN
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
                    sheet.text(line, left(c), y + side + i * _LINE, color=color, size=10.5)
    sheet.save(path)


def _save(path, image):
    with atomic_path(path) as temporary:
        image.convert("RGB").save(temporary, "PNG")

"""Write the pages that follow from code and committed run, and pictures of the last run.

python -m commands.docs                # commands.md, parameters.md, troubleshooting.md, what is marked in others
python -m commands.docs --pictures     # docs/pictures too, from metrics/plots of the preset digits
python -m commands.docs --check        # writes nothing, says which pages are stale
"""

import argparse
import contextlib
import io
import sys
from pathlib import Path

from PIL import Image

from commands import docs_commands, docs_messages, docs_parameters, docs_result, new_parser
from noisy_student.drawing.canvas import save_chart
from noisy_student.runtime import console, layout
from noisy_student.runtime.errors import DataError, UserError
from noisy_student.runtime.files import read_json, write_bytes
from noisy_student.steps.results import table

README, DOCS = Path("README.md"), Path("docs")
PICTURE = DOCS / "pictures/default-run.png"
PAGES = {
    "commands.md": docs_commands.page,
    "parameters.md": docs_parameters.page,
    "troubleshooting.md": docs_messages.page,
}
PICTURES = {  # name: what the stages draw, below metrics/plots
    "noise": "eval/teacher/noise.png",
    "pseudo-labels": "eval/student-gen1/pseudo-labels.png",
    "mended": "eval/student-gen1/teacher-wrong-student-gen1-right.png",
    "curves": "eval/student-gen3/curves.png",
    "confusion": "eval/student-gen3/confusion.png",
}
LARGEST = 100_000  # bytes of a picture


def result() -> str:
    """The table of the committed run."""
    return table(read_json(layout.EVAL_METRICS))


def draw() -> str:
    """What the example of one draw prints: the page's own code, run."""
    page = (DOCS / "how-it-works.md").read_text(encoding="utf-8")
    code = page.partition("```python\n")[2].partition("```")[0]
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(compile(code, "how-it-works.md", "exec"), {})
    return printed.getvalue().rstrip()


MARKED = {  # (page, mark): what stands within
    (README, "result"): docs_result.tables,
    (DOCS / "tutorial.md", "result"): result,
    (DOCS / "how-it-works.md", "draw"): draw,
}


def pages() -> dict[Path, str]:
    """What the pages are to be, of those that follow from the code or have a part that does."""
    whole = {DOCS / name: page() for name, page in PAGES.items()}
    for (path, mark), told in MARKED.items():
        whole[path] = within(path, whole.get(path) or path.read_text(encoding="utf-8"), mark, told())
    return whole


def within(path: Path, text: str, mark: str, told: str) -> str:
    """A page with this block of code between `<!-- MARK -->` and `<!-- end -->`.

    Raises:
        DataError: a mark is missing.
    """
    before, begin, rest = text.partition(f"<!-- {mark} -->\n")
    _, end, after = rest.partition("<!-- end -->")
    if not end:
        raise DataError(f"{path}: expected <!-- {mark} --> and <!-- end --> around a block. See git's version of it.")
    return f"{before}{begin}```text\n{told}\n```\n{end}{after}"


def stale() -> list[Path]:
    """Pages that are not what the code says."""
    written = pages().items()
    return [path for path, text in written if not path.exists() or path.read_text(encoding="utf-8") != text]


def write_pages() -> None:
    """Write the pages and README's picture anew."""
    for path, text in pages().items():
        write_bytes(path, text.encode())
    save_chart(PICTURE, docs_result.picture(read_json(layout.EVAL_METRICS), read_json(layout.DATA_METRICS)["images"]))


def write_pictures() -> None:
    """Copy the pictures of the last run, with as few colours as make them small.

    Raises:
        DataError: there is none, or one is too large.
    """
    for name, drawn in PICTURES.items():
        path = Path("metrics/plots") / drawn
        if not path.exists():
            raise DataError(f"{path}: no such picture. Run `make repro` with the preset digits, or `dvc pull`.")
        image, out = Image.open(path).convert("RGB").quantize(128, dither=Image.Dither.NONE), io.BytesIO()
        image.save(out, "png", optimize=True)
        if len(out.getvalue()) > LARGEST:
            raise DataError(f"{path}: {len(out.getvalue()):,} bytes as a picture, at most {LARGEST:,} are committed.")
        write_bytes(DOCS / "pictures" / f"{name}.png", out.getvalue())


def parser() -> argparse.ArgumentParser:
    """That of this command."""
    own = new_parser("commands.docs", __doc__, failure="with --check, a page is stale")
    own.add_argument("--check", action="store_true", help="write nothing, say which pages are stale")
    own.add_argument("--pictures", action="store_true", help="write the pictures of the last run, too")
    return own


def main() -> None:
    """Write or check the pages, for the command line."""
    arguments = parser().parse_args()
    try:
        if arguments.check:
            sys.exit("".join(f"{path}: stale. Run `python -m commands.docs`.\n" for path in stale()) or None)
        write_pages()
        if arguments.pictures:
            write_pictures()
    except UserError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    console.use_utf8()
    main()

"""Write the page on which `dvc plots show` draws, so that it needs no network.

python -m commands.plots_template     # part of `make setup`
"""

import argparse
from pathlib import Path

from commands import new_parser
from noisy_student.runtime import console
from noisy_student.runtime.files import write_bytes

PATH = Path(".dvc/plots/offline.html")  # ignored by git, as is .dvc/config.local, which names it
VEGA_LITE = "5.21"  # what DVC's own templates are written for

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
{refresh_tag}
<title>DVC plots</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; margin: 1.5rem; }}
table {{ border-spacing: 15px; }}
img {{ max-width: 100%; height: auto; }}
</style>
<script>{script}</script>
</head>
<body>
<main>
<h1>DVC plots</h1>
{plot_divs}
</main>
</body>
</html>
"""


def write() -> None:
    """Write the page, and tell DVC of it in .dvc/config.local."""
    from dvc.repo import Repo  # here: the doctor, which needs PATH only, starts without them

    from experiments.report.scripts import vega

    page = _PAGE.format(script=vega(VEGA_LITE), plot_divs="{plot_divs}", refresh_tag="{refresh_tag}")
    write_bytes(PATH, page.encode())
    with Repo() as repo, repo.config.edit("local") as config:
        config.setdefault("plots", {})["html_template"] = PATH.relative_to(".dvc").as_posix()


def parser() -> argparse.ArgumentParser:
    """That of this command."""
    return new_parser("commands.plots_template", __doc__)


def main() -> None:
    """Write the page, for the command line."""
    parser().parse_args()
    write()


if __name__ == "__main__":
    console.use_utf8()
    main()

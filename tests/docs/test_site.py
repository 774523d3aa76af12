"""The site: built strictly, looked at in Chromium on a wide and on a small screen."""

import importlib.util
import subprocess
import sys

import pytest

from browser import needs_chromium, visit
from support import ROOT

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("furo") is None, reason="Sphinx is missing: requirements-docs.txt"),
]
PAGES = (*sorted(path.stem for path in (ROOT / "docs").glob("*.md")), "search")
# axe reads style sheets by requests that a page of files may not make
OWN = ("Access to XMLHttpRequest", "Failed to load resource")


def _build(source, folder):
    command = [sys.executable, "-m", "sphinx", "--quiet", "--fail-on-warning", "--builder", "html", source, folder]
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    done = _build(ROOT / "docs", folder)
    assert done.returncode == 0, done.stderr
    return folder


def test_a_broken_link_ends_the_build(tmp_path):
    for name in ("conf.py", "_static/site.css"):
        (tmp_path / "docs" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "docs" / name).write_bytes((ROOT / "docs" / name).read_bytes())
    (tmp_path / "docs/index.md").write_text("# A\n\n[nowhere](nowhere.md)\n")
    done = _build(tmp_path / "docs", tmp_path / "site")
    assert done.returncode != 0
    assert "nowhere" in done.stderr


@needs_chromium
@pytest.mark.parametrize(("width", "scheme"), [(1366, "light"), (390, "dark")])
@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_accessible_and_fits_the_screen(site, page, width, scheme):
    with visit(site / f"{page}.html", width=width, scheme=scheme) as seen:
        assert seen.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        assert [text for text in seen.complaints if not text.startswith(OWN)] == []
        assert [url for url in seen.requests if not url.startswith("file:")] == []  # all of it is in the folder
        assert seen.violations() == ""

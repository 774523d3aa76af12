"""How Sphinx builds the site from these pages: `make docs`; every warning, a broken link among them, is an error.

Sphinx with MyST (plain Markdown, so that the pages read on GitHub too) and the theme Furo: MkDocs 1 is no longer kept
(its last release is of August 2024), and MkDocs 2 takes neither its themes nor its plugins.
"""

import re
from pathlib import Path

project = "Noisy Student Training"
copyright = ""  # the licence stands in LICENSE
html_show_copyright = False
html_show_sphinx = False
html_title = project
html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
highlight_language = "text"  # of blocks that name none: listings, diagrams
smartquotes = False  # --csv stays what one types

extensions = ["myst_parser"]
myst_heading_anchors = 4  # `#on-a-gpu` leads to a heading, as on GitHub
exclude_patterns = ["_build"]
nitpicky = True

# What axe finds in Furo 2025.12.19: captions without a level, two landmarks of one name, boxes that scroll and that
# the keyboard does not reach, a page without a title; and in tables whose first column needs no heading, empty ones.
ACCESSIBLE = (
    ('<p class="caption" role="heading">', '<p class="caption" role="heading" aria-level="2">'),
    ('<aside class="sidebar-drawer">', '<aside class="sidebar-drawer" aria-label="Pages">'),
    ('<aside class="toc-drawer">', '<aside class="toc-drawer" aria-label="On this page">'),
    ("<pre>", '<pre tabindex="0">'),
    ('<div class="table-wrapper', '<div tabindex="0" class="table-wrapper'),
    ('<div id="search-results">', '<h1>Search</h1>\n<div id="search-results">'),
)


def setup(app):
    """Sphinx asks for it."""
    app.connect("source-read", _for_the_site)
    app.connect("build-finished", _make_accessible)


def _for_the_site(app, name, source):
    """CONTRIBUTING.md stands at the top for GitHub, and is a page here."""
    source[0] = source[0].replace("](../CONTRIBUTING.md", "](contributing.md")


def _make_accessible(app, failed):
    if failed or app.builder.format != "html":
        return
    for path in Path(app.outdir).rglob("*.html"):
        before = after = path.read_text(encoding="utf-8")
        for old, new in ACCESSIBLE:
            after = after.replace(old, new)
        after = re.sub(r'<th class="(head[^"]*)"><p></p></th>', r'<td class="\1"></td>', after)
        if after != before:
            path.write_text(after, encoding="utf-8")

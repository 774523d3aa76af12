"""How Sphinx builds the site from these pages: `make docs`; every warning, a broken link among them, is an error.

Sphinx with MyST (plain Markdown, so that the pages read on GitHub too) and the theme Furo: MkDocs 1 is no longer kept
(its last release is of August 2024), and MkDocs 2 takes neither its themes nor its plugins.
"""

project = "Noisy Student Training"
copyright = ""  # the licence stands in LICENSE
html_show_copyright = False
html_show_sphinx = False
html_title = project
html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False

extensions = ["myst_parser"]
myst_heading_anchors = 4  # `#on-a-gpu` leads to a heading, as on GitHub
exclude_patterns = ["_build"]
nitpicky = True
suppress_warnings = ["misc.highlighting_failure"]

"""The documentation site: `make docs` builds it, with warnings as errors. Nothing in here needs a network."""

from __future__ import annotations

import sys
from importlib.metadata import version as installed
from pathlib import Path

DOCS = Path(__file__).parent
sys.path[:0] = [str(DOCS / "ext"), str(DOCS.parent)]

project = "gnome-torch"
author = "the authors of gnome-torch"
release = version = installed("gnome-torch")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "gnome_reference"]
exclude_patterns = ["_build", "ext"]

# the pages are plain Markdown, which a code host shows as well: anchors are made from headings as it makes them
myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence"]

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_default_options = {"members": True}
napoleon_google_docstring = True
napoleon_numpy_docstring = False
nitpicky = True
# types of other packages, and our own that no page of this short reference shows, are names here and not links:
# where they are documented is on the network
nitpick_ignore_regex = [("py:.*", ".*")]
# likewise a word such as `device`, which two classes have as an attribute
suppress_warnings = ["ref.python"]
# docstrings are written as Markdown: single backticks are code
default_role = "code"

html_show_copyright = False
html_theme = "furo"
html_title = "gnome-torch"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False
pygments_style = "friendly"
pygments_dark_style = "monokai"

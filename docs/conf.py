"""Sphinx: these pages and the reference of the public API, from its docstrings: `sphinx-build -W docs site`."""

from importlib import metadata

project = "humesh"
author = "The humesh authors"
release = metadata.version("humesh")
extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["site"]
html_theme = "furo"
html_title = f"humesh {release}"
myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the signatures show them, with shapes
suppress_warnings = ["myst.xref_missing"]  # links to files of the repository, which are no pages

"""Sphinx reads this: ``sphinx-build -W docs site``."""

import fastsil

project = "fastsil"
author = "The fastsil developers"
copyright = f"2026, {author}"
version = release = fastsil.__version__

extensions = ["myst_parser", "numpydoc", "sphinx.ext.autodoc", "sphinx_copybutton"]
exclude_patterns = ["data"]
myst_enable_extensions = ["deflist", "attrs_block"]
myst_heading_anchors = 3

# Only what is fastsil's own can be linked: the site is built, and read, without a network.
nitpicky = True
nitpick_ignore_regex = [("py:.*", r"(sklearn|numpy|pandas|matplotlib|scipy|dask|collections)\..*")]
autodoc_typehints = "none"
autodoc_member_order = "bysource"
numpydoc_show_class_members = False
numpydoc_validation_checks = {"GL01", "GL06", "GL07", "PR02"}

html_theme = "furo"
html_title = f"fastsil {version}"
html_static_path = ["_static"]
html_css_files = ["pages.css"]
html_show_sourcelink = False
pygments_style = "friendly"
pygments_dark_style = "monokai"

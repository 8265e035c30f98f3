"""Settings of the documentation site; ``make docs`` builds it."""

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent / "_ext"), str(Path(__file__).parents[1] / "src")]

from tag2mask import __version__  # noqa: E402

project = "tag2mask"
author = "the authors of tag2mask"
version = release = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton", "pages"]
source_suffix = {".md": "markdown", ".ipynb": "markdown"}
exclude_patterns = ["_ext"]
suppress_warnings: list[str] = []
myst_heading_anchors = 4
myst_enable_extensions = ["deflist"]
highlight_language = "text"

nitpicky = True
nitpick_ignore_regex = [("py:.*", r"(?!tag2mask).*")]  # other packages' names
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented_params"
autodoc_member_order = "bysource"
python_maximum_signature_line_length = 100
napoleon_numpy_docstring = False

html_theme = "furo"
html_title = f"tag2mask {version}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False
copybutton_exclude = ".linenos, .gp, .go"

"""The site: `make site` builds docs/, the notebooks in tutorials/ and the API reference."""
import shutil
import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent
sys.path[:0] = [str(ROOT), str(HERE / "extensions")]

import minifcn  # noqa: E402

# Sphinx reads only what lies below its own folder.
shutil.rmtree(HERE / "tutorials", ignore_errors=True)
(HERE / "tutorials").mkdir()
for notebook in sorted((ROOT / "tutorials").glob("*.ipynb")):
    shutil.copy(notebook, HERE / "tutorials")

project = "minifcn"
author = "The minifcn developers"
copyright = author
version = release = minifcn.__version__

extensions = ["myst_nb", "sphinx_design", "sphinx.ext.autodoc", "numpydoc", "stepper", "mathml"]
exclude_patterns = ["extensions"]
source_suffix = {".md": "myst-nb", ".ipynb": "myst-nb"}
nb_execution_mode = "off"           # notebooks show the outputs that they were stored with
nb_render_markdown_format = "myst"
nb_code_prompt_show = "Show the answer"
nb_code_prompt_hide = "Hide the answer"
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
myst_links_external_new_tab = False
numpydoc_show_class_members = False
autodoc_member_order = "bysource"
autodoc_typehints = "none"          # numpydoc's sections say the types
html_math_renderer = "mathml"
nitpicky = False

html_theme = "pydata_sphinx_theme"
html_title = "minifcn"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "navbar_end": ["theme-switcher"],
    "header_links_before_dropdown": 6,
    "show_prev_next": True,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "navigation_with_keys": False,  # the arrow keys belong to the steppers
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
html_sidebars = {"index": []}
html_context = {"default_mode": "auto"}

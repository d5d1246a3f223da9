"""Sphinx settings: Markdown pages, numpydoc reference, and gallery examples that are run."""

from braindec import __version__

project = "braindec"
author = "The braindec developers"
copyright = "2026, the braindec developers"
version = release = __version__
extensions = ["myst_parser", "numpydoc", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx_gallery.gen_gallery"]
exclude_patterns = [
    "_build",
    "sg_execution_times.rst",
    "gallery/*.ipynb",
    "gallery/*.py",
    "gallery/*.json",
    "gallery/*.zip",
    "examples/*.rst",
]
html_theme = "pydata_sphinx_theme"
html_title = "braindec"
autosummary_generate = True
numpydoc_show_class_members = False
myst_enable_extensions = ["colon_fence", "dollarmath"]
sphinx_gallery_conf = {
    "examples_dirs": "examples",
    "gallery_dirs": "gallery",
    "filename_pattern": r"plot_",
    "abort_on_example_error": True,
    "show_memory": False,
}

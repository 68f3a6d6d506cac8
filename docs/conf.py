"""Settings of Sphinx for the documentation: `make docs` builds it, warnings are errors, nothing is fetched."""

from __future__ import annotations

import django
from django.conf import settings

from hexclave_integrations._version import __version__

# Django's modules can be imported, and so described, only with settings.
settings.configure(
    INSTALLED_APPS=[
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "hexclave_integrations.django",
        "hexclave_integrations.django.users",
    ],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
)
django.setup()

project = "hexclave-integrations"
author = "the authors of hexclave-integrations"
copyright = f"2026, {author}"  # noqa: A001 - Sphinx's name
release = version = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinx_design",
]
exclude_patterns = ["_build"]
nitpicky = True
# What signatures name and this site does not describe: the frameworks' and the standard library's own classes, and ours
# by the private module that holds them.
nitpick_ignore_regex = [("py:.*", r"(?!hexclave_integrations).*"), ("py:.*", r"hexclave_integrations(\.\w+)*\._.*")]

myst_enable_extensions = ["colon_fence", "deflist", "fieldlist"]
myst_heading_anchors = 3

# The docstrings are Markdown-like prose with backticks; signatures carry the types.
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_class_signature = "separated"
autodoc_default_options = {"no-value": True}  # values of ours are long, and their docstrings say what they are
napoleon_use_ivar = True  # an attribute that the docstring of its class describes is described once
default_role = "code"

html_theme = "furo"
html_title = f"hexclave-integrations {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
copybutton_prompt_text = r"\$ |>>> |\.\.\. "
copybutton_prompt_is_regexp = True

"""Settings of Sphinx for the documentation: `make docs` builds it, warnings are errors, nothing is fetched."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules
from typing import Any

import django
from django.conf import settings
from sphinx.application import Sphinx
from sphinx.ext.napoleon import Config
from sphinx.ext.napoleon.docstring import GoogleDocstring
from sphinx.pycode import ModuleAnalyzer

from hexclave_integrations._version import __version__
from hexclave_integrations.django._truth import NoAnswerClass

# Without settings the modules for Django cannot be imported, and so not be described.
settings.configure(
    INSTALLED_APPS=[
        "django.contrib.contenttypes",
        "django.contrib.auth",
        "hexclave_integrations.django",
        "hexclave_integrations.django.users",
    ],
    USE_TZ=True,
)
django.setup()

# Classes that guard refuse to be taken for true, which autodoc asks of everything that it describes.
NoAnswerClass.__bool__ = lambda self: True  # type: ignore[method-assign]

project = "hexclave-integrations"
author = "the authors of hexclave-integrations"
copyright = f"2026, {author}"  # noqa: A001 - Sphinx's name
release = version = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx_copybutton",
    "sphinx_design",
]
exclude_patterns = ["_build"]
nitpicky = True
# What docstrings name and this site does not describe: the frameworks' and the standard library's own classes.
# Nor is what annotations name of private modules, and type variables.
nitpick_ignore_regex = [("py:.*", r"(?!hexclave_integrations).*"), ("py:.*", r".*\._.*"), ("py:.*", r".*\.[A-Z]")]
# Webhook events carry the records of the server's own calls, and both modules have their names.
suppress_warnings = ["ref.python"]

myst_enable_extensions = ["colon_fence", "deflist", "fieldlist"]
myst_heading_anchors = 3

# The docstrings are Markdown-like prose with backticks; signatures carry the types.
autodoc_typehints = "signature"
add_module_names = False
autodoc_member_order = "bysource"
autodoc_class_signature = "separated"
default_role = "code"

html_theme = "furo"
html_title = f"hexclave-integrations {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
copybutton_prompt_text = r"\$ |>>> |\.\.\. "
copybutton_prompt_is_regexp = True

_SECTIONS = Config(napoleon_use_ivar=True, napoleon_use_rtype=False)


def _said_of(name: str) -> list[str]:
    """The text below the assignment of a variable, which a private module of its package may hold."""
    home, _, variable = name.rpartition(".")
    modules = [home]
    modules += [f"{home}.{one.name}" for one in iter_modules(getattr(import_module(home), "__path__", []))]
    for module in modules:
        said = ModuleAnalyzer.for_module(module).find_attr_docs().get(("", variable))
        if said:
            return said
    return []


def _read_sections(app: Sphinx, what: str, name: str, described: Any, options: Any, lines: list[str]) -> None:
    """Turn `Args:` and its kin into fields.

    The extension napoleon does the same, and asks the object for its truth on the way, which requirements refuse.
    """
    if what == "data":
        lines[:] = _said_of(name)
    lines[:] = GoogleDocstring(list(lines), _SECTIONS, None, what, name).lines()


def _as_called(
    app: Sphinx, what: str, name: str, described: Any, options: Any, arguments: str | None, result: str | None
) -> tuple[str | None, str | None]:
    """What a call of `client.server` returns, in place of the flow that the client runs for it."""
    for flow, returned in (("Flow[", ""), ("Listing[", "Pages[")):
        if result is not None and name.startswith("hexclave_integrations.server._sync.") and result.startswith(flow):
            result = returned + result.removeprefix(flow)
            result = result if returned else result.removesuffix("]")
    return arguments, result


def setup(app: Sphinx) -> None:
    app.connect("autodoc-process-signature", _as_called)
    app.connect("autodoc-process-docstring", _read_sections)

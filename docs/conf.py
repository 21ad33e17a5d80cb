"""Sphinx configuration. Build with `python -m sphinx -W -n docs docs/_build/html`."""

from __future__ import annotations

import os
import sys
from typing import Any

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import portrange
from portrange._frozen import Frozen

project = "portrange"
author = "the portrange contributors"
copyright = f"{author}. MIT licence"  # noqa: A001 - Sphinx asks for this name
release = version = portrange.__version__

extensions = ["myst_nb", "sphinx.ext.autodoc"]
# The notebook is stored without outputs and runs on each build. An error in a cell fails the build.
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 120
# The pages include or link the sample project.
exclude_patterns = ["_build", "howto/vendoring"]
nitpicky = True
myst_heading_anchors = 3

html_theme = "furo"
html_title = f"portrange {release}"
html_copy_source = False
html_show_sourcelink = False

autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "undoc-members": True}
python_use_unqualified_type_names = True
# Docstrings use single backticks for names, as Markdown does.
default_role = "py:obj"


#: Annotations without a link: standard library types, because the build has no network access, and private aliases:
#: the `avoid` type of `suggest_port`, tuples of `Span`, and sets of strings. Docstrings list the values.
WITHOUT_PAGE = (
    "collections.abc.",
    "os.PathLike",
    "Avoided",
    "FamilyName",
    "ObstacleKind",
    "ProtocolName",
    "RiskKind",
    "Scope",
    "SettingName",
    "Severity",
    "SocketState",
    "Spans",
)


def leave_plain(_app: Any, _env: Any, node: Any, shown: Any) -> Any:
    """Render a name in backticks as a link if it is public, and as code otherwise.

    Annotations and explicit roles do not have the "obj" type, so a wrong name in them is still an error.
    """
    if node.get("refdomain") == "py" and node.get("reftype") == "obj":
        return shown
    return shown if node.get("reftarget", "").startswith(WITHOUT_PAGE) else None


def without_constructor(_app: Any, _what: str, _name: str, thing: Any, *_rest: Any) -> tuple[str, None] | None:
    """Drop the constructor signature of result classes; their fields are documented below the class."""
    return ("", None) if isinstance(thing, type) and issubclass(thing, Frozen) else None


def setup(app: Any) -> None:
    """Connect the handlers to Sphinx events."""
    app.connect("autodoc-process-signature", without_constructor)
    app.connect("missing-reference", leave_plain)

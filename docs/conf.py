"""How Sphinx builds these pages: `python -m sphinx -W -n docs docs/_build/html`."""

from __future__ import annotations

import dataclasses
import os
import sys
from typing import Any

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import portrange

project = "portrange"
author = "the portrange contributors"
copyright = f"{author}. MIT licence"  # noqa: A001 - Sphinx asks for this name
release = version = portrange.__version__

extensions = ["myst_nb", "sphinx.ext.autodoc"]
# The notebook is kept without outputs, and run for each build. A mistake in it fails the build.
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 120
# Programs are shown or linked by the pages around them.
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
# Docstrings write `names` between single backticks, as Markdown does.
default_role = "py:obj"


#: In annotations: the standard library, whose pages are not asked for, because builds need no network; and what
#: `suggest_port` can avoid, which its docstring describes.
WITHOUT_PAGE = ("collections.abc.", "os.PathLike", "Avoided")


def leave_plain(_app: Any, _env: Any, node: Any, shown: Any) -> Any:
    """What is between backticks links to a public name where it is one, and is code everywhere else.

    Annotations and explicit roles do not come here as "obj": a wrong one among them is still an error.
    """
    if node.get("refdomain") == "py" and node.get("reftype") == "obj":
        return shown
    return shown if node.get("reftarget", "").startswith(WITHOUT_PAGE) else None


def without_constructor(_app: Any, _what: str, _name: str, thing: Any, *_rest: Any) -> tuple[str, None] | None:
    """Answers are made by questions, not by readers: their fields stand once, below the class."""
    return ("", None) if dataclasses.is_dataclass(thing) else None


def setup(app: Any) -> None:
    """Register what is above with Sphinx."""
    app.connect("autodoc-process-signature", without_constructor)
    app.connect("missing-reference", leave_plain)

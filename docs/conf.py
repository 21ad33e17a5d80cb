"""Sphinx configuration. Build with `python -m sphinx -W -n docs docs/_build/html`."""

from __future__ import annotations

import atexit
import os
import sys
import tempfile
import zlib
from typing import Any
from urllib.parse import urlsplit

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
# The files of the port explorer are added after the build.
sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "_explorer"))

from explorer_build import add_files

import portrange
from portrange._frozen import Frozen

project = "portrange"
author = "the portrange contributors"
copyright = f"{author}. MIT licence"  # noqa: A001 - Sphinx asks for this name
release = version = portrange.__version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.intersphinx", "sphinx_copybutton", "notfound.extension"]
# The notebook is stored without outputs and runs on each build. An error in a cell fails the build.
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 120
# The pages include or link the sample project.
exclude_patterns = ["_build", "howto/vendoring"]
nitpicky = True
# Copy the commands and statements, without prompts and output.
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
# The page "not found" is shown at any address, so its links begin with the folder of the site. Read the Docs sets this
# variable to the address of the documentation, such as https://portrange.readthedocs.io/en/latest/.
notfound_urls_prefix = urlsplit(os.environ.get("READTHEDOCS_CANONICAL_URL", "/")).path
notfound_context = {
    "title": "Page not found",
    "body": f"""<h1>Page not found</h1>
<p>This address has no page. Search the documentation, or use one of these pages:</p>
<ul><li><a href="{notfound_urls_prefix}index.html">All pages</a></li>
<li><a href="{notfound_urls_prefix}howto/busy.html">Find out why a port is busy</a></li>
<li><a href="{notfound_urls_prefix}errors.html">Errors, by message</a></li>
<li><a href="{notfound_urls_prefix}reference.html">Reference</a></li></ul>""",
}
myst_heading_anchors = 3

# Only dashes: the quotes of strings such as "tcp" can be copied.
smartquotes_action = "D"

html_theme = "furo"
html_title = f"portrange {release}"
html_static_path = ["_static"]
html_css_files = ["portrange.css"]
html_copy_source = False
html_show_sourcelink = False

autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "undoc-members": True}
python_use_unqualified_type_names = True
# Docstrings use single backticks for names, as Markdown does.
default_role = "py:obj"


#: Annotations without a link are private aliases: the `avoid` type of `suggest_port`, tuples of `Span`, and sets of
#: strings. Docstrings list the values.
WITHOUT_PAGE = (
    "AnyProcess",
    "Avoided",
    "FamilyName",
    "NotListeningReason",
    "ObstacleKind",
    "ProtocolName",
    "RiskKind",
    "Scope",
    "SettingName",
    "Severity",
    "SocketState",
    "Spans",
)


#: Names of the standard library that docstrings use, by page. The build writes an inventory of them, so that links need
#: no network access.
STANDARD_LIBRARY = {
    "library/exceptions.html": (
        "py:exception",
        ("AttributeError", "NotImplementedError", "OSError", "TimeoutError", "TypeError", "ValueError"),
    ),
    "library/collections.abc.html": (
        "py:class",
        tuple(f"collections.abc.{name}" for name in ("Callable", "Iterable", "Iterator", "Mapping", "Sequence")),
    ),
    "library/os.html": ("py:class", ("os.PathLike",)),
    "library/subprocess.html": ("py:class", ("subprocess.Popen",)),
    "library/functions.html": ("py:class", ("bool", "int", "float", "str", "tuple", "dict", "list", "bytes", "range")),
}


def inventory() -> str:
    """Write an inventory in the format of Sphinx, version 2, and return its path."""
    lines = [f"{name} {role} 1 {page}#{name} -\n" for page, (role, names) in STANDARD_LIBRARY.items() for name in names]
    header = "# Sphinx inventory version 2\n# Project: Python\n# Version: 3\n# The rest is compressed with zlib.\n"
    path = os.path.join(tempfile.gettempdir(), f"portrange-python-{os.getpid()}.inv")
    with open(path, "wb") as file:
        file.write(header.encode() + zlib.compress("".join(lines).encode()))
    atexit.register(os.unlink, path)
    return path


intersphinx_mapping = {"python": ("https://docs.python.org/3", inventory())}

#: The version that a public name first appeared in, if that is not the first version.
VERSIONS_ADDED: dict[str, str] = {}


def add_version(_app: Any, what: str, name: str, _thing: Any, _options: Any, lines: list[str]) -> None:
    """Append the version in which a public name appeared."""
    short = name.removeprefix("portrange.").removeprefix("testing.")
    if what in ("function", "class", "exception") and "." not in short and "versionadded" not in "".join(lines):
        lines += ["", f".. versionadded:: {VERSIONS_ADDED.get(short, '0.1.0')}", ""]


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
    app.connect("autodoc-process-docstring", add_version)
    app.connect("missing-reference", leave_plain)
    app.connect("build-finished", add_files)

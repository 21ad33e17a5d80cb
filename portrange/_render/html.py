"""HTML for notebooks: tables that are readable without a style sheet, with every value escaped."""

from __future__ import annotations

from .._lazy import import_lock
from .strings import visible

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import cast

#: Notebooks align cells to the right, which suits numbers only. All other properties are left to the notebook.
_LEFT = ' style="text-align:left;vertical-align:top;padding-right:1em"'
#: Untrusted names may be long and without a space: they must not push the other columns out of sight.
_LONG = ' style="text-align:left;vertical-align:top;padding-right:1em;overflow-wrap:anywhere"'
_NAME = ' style="text-align:left;vertical-align:top;padding-right:1em;white-space:nowrap"'
#: The longest text, in characters, that needs no breaks.
_SHORT = 40
#: The most values that a cell lists; settings may have thousands of spans.
_MOST = 50
#: The most characters shown of a value; a command line may have millions. `to_dict()` has all of them.
_LONGEST = 1000


def escaped(text: str) -> str:
    """Return *text* for an element or an attribute, with control characters made visible."""
    with import_lock:
        from html import escape

    return escape(visible(text))


def cell(value: object) -> str:
    """Return a value as escaped text; a sequence becomes a list of its values."""
    if value is None:
        return "<em>unknown</em>"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        if TYPE_CHECKING:
            value = cast("Sequence[object]", value)
        more = [f"and {len(value) - _MOST:,} more"] if len(value) > _MOST else []
        return _list([*value[:_MOST], *more])
    text = str(value)
    return escaped(text[:_LONGEST]) + ("…" if len(text) > _LONGEST else "")


def _list(values: Sequence[object]) -> str:
    if len(values) < 2:
        return "".join(map(cell, values))
    items = "".join(f"<li>{cell(value)}</li>" for value in values)
    return f'<ul style="margin:0;padding-left:1.2em">{items}</ul>'


def table(headers: Sequence[str], rows: Iterable[Sequence[str]], incomplete: Iterable[str] = ()) -> str:
    """Return a table with a row of headers, without empty columns; the reasons in *incomplete* are below it."""
    lines = [list(row) for row in rows]
    used = [index for index in range(len(headers)) if any(line[index] for line in lines)]
    head = "".join(f'<th scope="col"{_LEFT}>{escaped(headers[index])}</th>' for index in used)
    body = "".join(
        "<tr>" + "".join(f"<td{_style(line[index])}>{cell(line[index])}</td>" for index in used) + "</tr>"
        for line in lines
    )
    below = "".join(f"<p>incomplete: {cell(reason)}</p>" for reason in incomplete)
    return (f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>" if used else "") + below


def _style(text: str) -> str:
    return _LEFT if len(text) <= _SHORT else _LONG


def record(title: str, values: Iterable[tuple[str, object]]) -> str:
    """Return a table of names and values with a caption."""
    body = "".join(
        f'<tr><th scope="row"{_NAME}>{escaped(name)}</th><td{_LONG}>{cell(value)}</td></tr>' for name, value in values
    )
    return (
        f'<table><caption style="text-align:left"><strong>{cell(title)}</strong></caption><tbody>{body}</tbody></table>'
    )

"""HTML for notebooks: tables that read without any style sheet, every value escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import cast

from .text import visible

#: Notebooks align cells to the right, which suits numbers only; what they have no opinion on is left to them.
_LEFT = ' style="text-align:left;vertical-align:top;padding-right:1em"'
#: Strangers' names may be long and without a space: they must not push the other columns out of sight.
_LONG = ' style="text-align:left;vertical-align:top;padding-right:1em;overflow-wrap:anywhere"'
_SHORT = 40
_NAME = ' style="text-align:left;vertical-align:top;padding-right:1em;white-space:nowrap"'

#: A cell lists no more values than this; settings may have thousands of spans.
_MOST = 50
#: Nor more signs of one value: a command line may have millions. `to_dict()` has them all.
_LONGEST = 1000


def cell(value: object) -> str:
    """One value as escaped text, control characters made visible; a sequence is a list of its values."""
    if value is None:
        return "<em>unknown</em>"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        values = cast("Sequence[object]", value)
        more = [f"and {len(values) - _MOST:,} more"] if len(values) > _MOST else []
        return _list([*values[:_MOST], *more])
    text = str(value)
    return escape(visible(text[:_LONGEST]) + ("…" if len(text) > _LONGEST else ""))


def _list(values: Sequence[object]) -> str:
    if len(values) < 2:
        return "".join(map(cell, values))
    points = "".join(f"<li>{cell(value)}</li>" for value in values)
    return f'<ul style="margin:0;padding-left:1.2em">{points}</ul>'


def table(headers: Sequence[str], rows: Iterable[Sequence[str]], notes: Iterable[str] = ()) -> str:
    """A table with a row of headers, and what could not be looked at below it; empty columns are left out."""
    lines = [list(row) for row in rows]
    used = [index for index in range(len(headers)) if any(line[index] for line in lines)]
    head = "".join(f'<th scope="col"{_LEFT}>{escape(headers[index])}</th>' for index in used)
    body = "".join(
        "<tr>" + "".join(f"<td{_style(line[index])}>{cell(line[index])}</td>" for index in used) + "</tr>"
        for line in lines
    )
    below = "".join(f"<p>not looked at: {cell(note)}</p>" for note in notes)
    return (f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>" if used else "") + below


def _style(text: str) -> str:
    return _LEFT if len(text) <= _SHORT else _LONG


def record(title: str, values: Iterable[tuple[str, object]]) -> str:
    """One answer as a table of names and values."""
    body = "".join(
        f'<tr><th scope="row"{_NAME}>{escape(name)}</th><td{_LONG}>{cell(value)}</td></tr>' for name, value in values
    )
    return (
        f'<table><caption style="text-align:left"><strong>{cell(title)}</strong></caption><tbody>{body}</tbody></table>'
    )

"""HTML for notebooks: tables that read without any style sheet, every value escaped."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any, cast

from .text import visible


def cell(value: object) -> str:
    """One value as escaped text, control characters made visible."""
    if value is None:
        return "<em>unknown</em>"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        entries = cast("dict[str, object]", value)
        return escape(visible(", ".join(f"{key}: {item}" for key, item in entries.items())))
    if isinstance(value, list):
        return "<br>".join(map(cell, cast("list[object]", value)))
    return escape(visible(str(value)))


def table(headers: Sequence[str], rows: Iterable[Sequence[object]], notes: Iterable[str] = ()) -> str:
    """A table with a row of headers, and what could not be looked at below it."""
    head = "".join(f'<th scope="col">{escape(header)}</th>' for header in headers)
    body = "".join("<tr>" + "".join(f"<td>{cell(value)}</td>" for value in row) + "</tr>" for row in rows)
    below = "".join(f"<p>not looked at: {cell(note)}</p>" for note in notes)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{below}"


def record(title: str, values: Mapping[str, Any]) -> str:
    """One answer as a table of names and values."""
    body = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td>{cell(value)}</td></tr>' for name, value in values.items()
    )
    return f"<table><caption>{escape(title)}</caption><tbody>{body}</tbody></table>"

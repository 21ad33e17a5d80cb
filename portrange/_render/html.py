"""HTML for notebooks: tables that are readable without a style sheet, with every value escaped."""

from __future__ import annotations

from .._lazy import import_lock
from .strings import visible

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from typing import cast

#: Text is at the left and figures at the right, whatever the notebook prefers. Other properties are left to it.
_RIGHT = ' style="text-align:right;vertical-align:top;padding-right:1em;white-space:nowrap"'
_LEFT = ' style="text-align:left;vertical-align:top;padding-right:1em"'
_TABLE = '<table style="max-width:100%;table-layout:auto;margin-left:0">'
#: Untrusted names may be long and without a space: they must not push the other columns out of sight.
_LONG = ' style="text-align:left;vertical-align:top;padding-right:1em;overflow-wrap:anywhere"'
#: JupyterLab keeps "break-word" and removes "anywhere". In columns of fixed widths, both break long words.
_NAME = ' style="text-align:left;vertical-align:top;padding-right:1em;width:7em"'
_VALUE = ' style="text-align:left;vertical-align:top;overflow-wrap:break-word"'
_RECORD = '<table style="width:100%;max-width:800px;table-layout:fixed;margin-left:0">'
#: Headings that are not the name of a field or column with a capital letter.
_HEADINGS = {
    "pid": "PID",
    "uid": "User ID",
    "proto": "Protocol",
    "netns": "Network namespace",
    "time-wait": "TIME-WAIT",
    "of": "Limit",
    "cmdline": "Command line",
    "cgroup": "Control group",
}
#: White text on the background of each verdict has a contrast of at least 4.5 to 1; the background differs from white
#: and black by at least 3 to 1 (WCAG 2.2, 1.4.3 and 1.4.11).
_VERDICTS = {"good": "#1a7f37", "notice": "#9a6700", "bad": "#cf222e"}
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


def heading(name: str) -> str:
    """Return the name of a field or of a column as a heading.

    >>> heading("dual_stack"), heading("PROTO")
    ('Dual stack', 'Protocol')
    """
    words = name.replace("_", " ")
    return _HEADINGS.get(name.lower(), words.capitalize() if words.isupper() or words.islower() else words)


def title(text: str, verdict: tuple[str, str] | None = None) -> str:
    """Return a title, with a verdict and its role ("good", "notice", "bad") if there is one."""
    if verdict is None:
        return f'<p style="text-align:left"><strong>{cell(text)}</strong></p>'
    judgement, role = verdict
    colours = f"background-color:{_VERDICTS[role]};color:#ffffff;padding:1px 6px;border-radius:4px"
    return (
        f'<p style="text-align:left"><strong>{cell(text)}</strong>: '
        f'<span style="{colours}">{cell(judgement)}</span></p>'
    )


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


def table(
    headers: Sequence[str],
    rows: Iterable[Sequence[str]],
    incomplete: Iterable[str] = (),
    right: Collection[int] = (),
) -> str:
    """Return a table with a row of headings, without empty columns; the reasons in *incomplete* are below it.

    The columns in *right*, by index, are aligned at the right.
    """
    lines = [list(row) for row in rows]
    used = [index for index in range(len(headers)) if any(line[index] for line in lines)]
    head = "".join(
        f'<th scope="col"{_RIGHT if index in right else _LEFT}>{escaped(heading(headers[index]))}</th>'
        for index in used
    )
    body = "".join(
        "<tr>"
        + "".join(f"<td{_RIGHT if index in right else _style(line[index])}>{cell(line[index])}</td>" for index in used)
        + "</tr>"
        for line in lines
    )
    below = "".join(f"<p>incomplete: {cell(reason)}</p>" for reason in incomplete)
    return (f"{_TABLE}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>" if used else "") + below


def _style(text: str) -> str:
    return _LEFT if len(text) <= _SHORT else _LONG


def record(values: Iterable[tuple[str, object]]) -> str:
    """Return a table of names and values."""
    body = "".join(
        f'<tr><th scope="row"{_NAME}>{escaped(heading(name))}</th><td{_VALUE}>{cell(value)}</td></tr>'
        for name, value in values
    )
    return f"{_RECORD}<tbody>{body}</tbody></table>"

"""Small text helpers: make untrusted text (process names, command lines, paths) safe to print, and join names."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


def decode(content: bytes) -> str:
    r"""Decode bytes of the kernel as UTF-8; bytes that are not valid become escapes such as ``\xff``."""
    return content.decode("utf-8", "backslashreplace")


def printable(text: str) -> str:
    r"""Replace surrogate escapes in *text* so that it can be encoded as UTF-8.

    Python decodes undecodable bytes of the system to surrogates (PEP 383), which neither JSON nor a terminal takes.

    >>> printable("v\udcff")
    'v\\xff'
    """
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace").decode("utf-8")


def visible(text: str) -> str:
    r"""Show control characters, bidirectional overrides and the like in *text* as escapes.

    Process names are untrusted: a terminal must display them, not interpret them.

    >>> visible("evil\x1b[2J")
    'evil\\x1b[2J'
    """
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in text
    )


def joined(items: Iterable[str], last: str = "and") -> str:
    """Return a list as it is written in a sentence.

    >>> joined(["a", "b", "c"]), joined(["a", "b"], "or"), joined(["a"])
    ('a, b and c', 'a or b', 'a')
    """
    names = list(items)
    return f"{', '.join(names[:-1])} {last} {names[-1]}" if len(names) > 1 else "".join(names)

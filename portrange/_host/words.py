"""Words of the system that may hold bytes which are no UTF-8."""

from __future__ import annotations


def printable(text: str) -> str:
    r"""Text that strangers wrote, without surrogates: it must go into JSON and onto terminals.

    Python decodes bytes that are no text to surrogates (PEP 383): the name of an interface may have them.

    >>> printable("v\udcff")
    'v\\xff'
    """
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace").decode("utf-8")

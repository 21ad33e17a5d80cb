"""How much room text has, and whether it may be coloured."""

from __future__ import annotations

from typing import NamedTuple

#: Select Graphic Rendition (ECMA-48, 8.3.117) by what the words are. They say it too: colour only helps to find them.
_COLOURS = {"heading": "1", "good": "32", "notice": "33", "bad": "31"}


class Look(NamedTuple):
    """`columns` that a line may take (None: as many as it needs), and whether it is for a terminal with colours."""

    columns: int | None = None
    colour: bool = False

    def paint(self, role: str, words: str) -> str:
        """`words` coloured as a "heading", or as "good", "notice" or "bad"; another role has no colour."""
        code = _COLOURS.get(role) if self.colour else None
        return f"\x1b[{code}m{words}\x1b[0m" if code and words else words


#: What programs, pipes and files get.
PLAIN = Look()

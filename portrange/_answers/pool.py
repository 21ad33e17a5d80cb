"""The ports that an operating system hands out by itself, and what else it does with port numbers."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from .record import Record
from .span import Spans, contains, overlap

#: Where an answer says that the documented default stands in for a setting that could not be read.
DOCUMENTED_DEFAULT = "documented default"


@dataclass(frozen=True, slots=True)
class EphemeralRange(Record):
    """The pool from which the operating system picks a port when a program names none.

    `first` and `last` are included. `reserved` are the ports that the system never hands out although they may
    lie inside. `len()` counts the ports that can really be handed out, `in` and iteration know the same ones.
    `source` names where the bounds were read; `assumed` is true where a documented default stands in for a
    setting that could not be read.

    >>> from portrange import Span
    >>> pool = EphemeralRange(32768, 60999, reserved=(Span(33000, 33009),), source="an example")
    >>> len(pool), 33005 in pool, 33010 in pool
    (28222, False, True)
    """

    _derived = ("size",)

    first: int
    last: int
    protocol: str = "tcp"
    family: str = "ipv4"
    reserved: Spans = field(default=(), repr=False)
    source: str = DOCUMENTED_DEFAULT
    assumed: bool = False

    @property
    def size(self) -> int:
        """How many ports can be handed out; the same as `len()`."""
        return len(self)

    def __len__(self) -> int:
        return max(0, self.last - self.first + 1) - overlap(self.reserved, self.first, self.last)

    def __contains__(self, port: object) -> bool:
        try:
            number = operator.index(port)  # type: ignore[arg-type]  # the point is to find out
        except TypeError:
            return False
        return self.first <= number <= self.last and not contains(self.reserved, number)

    def __iter__(self) -> Iterator[int]:
        return (port for port in range(self.first, self.last + 1) if not contains(self.reserved, port))

    def __bool__(self) -> bool:
        """True even where nothing is left to hand out: the range itself is known."""
        return True

    def __str__(self) -> str:
        assumed = ", assumed" if self.assumed else ""
        return f"{self.first}-{self.last} ({len(self):,} ports; {self.source}{assumed})"

    def explain(self) -> str:
        """A short page in plain words: the bounds, what is set aside, and where that was read."""
        from .._render import text
        from .explain_pool import pool_page

        return text.page("Ephemeral range", pool_page(self))

    def _title(self) -> str:
        return "Ephemeral range"

    def _shown(self) -> Iterable[tuple[str, object]]:
        from .explain_pool import pool_page

        return pool_page(self).items()

    def _picture(self) -> str:
        from .picture import pool_picture

        return pool_picture(self)


@dataclass(frozen=True, slots=True)
class PortSettings(Record):
    """What an operating system does with port numbers, as far as it could be read.

    `None` means that a setting could not be read, and `incomplete` says why; it never means "no".

    - `pools`: the distinct ephemeral ranges (systems that keep them per protocol or family have several).
    - `reserved`: never handed out automatically, but free to be bound by name.
    - `excluded`: binding is refused to everybody.
    - `privileged`: binding needs a privilege.
    - `sources`: which fact was read where, as pairs.
    """

    platform: str
    pools: tuple[EphemeralRange, ...] | None = None
    reserved: Spans | None = None
    excluded: Spans | None = None
    privileged: Spans | None = None
    sources: tuple[tuple[str, str], ...] = ()
    incomplete: tuple[str, ...] = ()

    def source(self, fact: str) -> str | None:
        """Where `fact` ("pools", "reserved", "excluded", "privileged") was read: one place or several."""
        return ", ".join(source for name, source in self.sources if name == fact) or None

    def ephemeral(self, port: int) -> bool | None:
        """Whether the system may hand `port` out by itself; None where that could not be read."""
        if self.pools is None:
            return None
        if not any(pool.first <= port <= pool.last for pool in self.pools):
            return False
        if self.reserved is None:
            return None
        return any(port in pool for pool in self.pools)

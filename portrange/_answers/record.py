"""What every answer shares: a plain dictionary for JSON and data frames, and a table for notebooks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum
from types import MappingProxyType
from typing import Any, ClassVar, cast

from .span import Span


class Record:
    """The base of the frozen dataclasses that questions are answered with."""

    __slots__ = ()

    #: Properties that belong in the dictionary beside the fields.
    _derived: ClassVar[tuple[str, ...]] = ()
    #: Fields that do not: they repeat what other answers say.
    _inner: ClassVar[frozenset[str]] = frozenset()
    #: What None means where it does not mean "unknown", by field.
    _none: ClassVar[Mapping[str, str]] = MappingProxyType({})

    @classmethod
    def columns(cls) -> list[str]:
        """The keys of `to_dict()`, in their order: the columns of a table of such answers, also of an empty one."""
        fields: dict[str, Any] = getattr(cls, "__dataclass_fields__", {})
        return [name for name in (*fields, *cls._derived) if name not in cls._inner]

    def to_dict(self) -> dict[str, Any]:
        """The answer as JSON-safe values (dict, list, str, int, float, bool, None), in a stable order."""
        return {name: plain(getattr(self, name)) for name in self.columns()}

    def _title(self) -> str:
        """What a notebook writes above the answer."""
        return type(self).__name__

    def _shown(self) -> Iterable[tuple[str, object]]:
        """What a notebook shows of the answer, as names and values; those of another record are its `str`."""
        return [(name, self._value(name)) for name in self.columns()]

    def _value(self, name: str) -> object:
        value = getattr(self, name)
        return self._none.get(name) if value is None else _words(value)

    def _picture(self) -> str:
        """What a notebook draws above it, as SVG; most answers need no picture."""
        return ""

    def _repr_html_(self) -> str:
        from .._render import html

        return self._picture() + html.record(self._title(), self._shown())


def plain(value: object) -> Any:
    """`value` in JSON's types."""
    if isinstance(value, Record):
        return value.to_dict()
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, tuple):
        return [plain(item) for item in cast("tuple[object, ...]", value)]
    return value


def _words(value: object) -> object:
    """`value` for a cell of a table: what is no plain value itself becomes text."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, (Record, Span)):
        return str(value)
    if isinstance(value, tuple):
        return [_words(item) for item in cast("tuple[object, ...]", value)]
    return value

"""What every answer shares: a plain dictionary for JSON and data frames, and a table for notebooks."""

from __future__ import annotations

from enum import Enum
from typing import Any, ClassVar, cast


class Record:
    """The base of the frozen dataclasses that questions are answered with."""

    __slots__ = ()

    #: Properties that belong in the dictionary beside the fields.
    _derived: ClassVar[tuple[str, ...]] = ()
    #: Fields that do not: they repeat what other answers say.
    _inner: ClassVar[frozenset[str]] = frozenset()

    def to_dict(self) -> dict[str, Any]:
        """The answer as JSON-safe values (dict, list, str, int, float, bool, None), in a stable order."""
        fields: dict[str, Any] = getattr(self, "__dataclass_fields__", {})
        names = [name for name in (*fields, *self._derived) if name not in self._inner]
        return {name: plain(getattr(self, name)) for name in names}

    def _repr_html_(self) -> str:
        from .._render import html

        return html.record(type(self).__name__, self.to_dict())


def plain(value: object) -> Any:
    """`value` in JSON's types."""
    if isinstance(value, Record):
        return value.to_dict()
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, tuple):
        return [plain(item) for item in cast("tuple[object, ...]", value)]
    return value

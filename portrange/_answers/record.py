"""What every answer shares: a plain dictionary for JSON and data frames, and a table for notebooks."""

from __future__ import annotations

from enum import Enum
from typing import Any, ClassVar


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
        from .._render import html  # noqa: PLC0415 - notebooks only

        return html.record(type(self).__name__, self.to_dict())


def plain(value: object) -> Any:  # noqa: ANN401 - JSON has no narrower type
    """`value` in JSON's types."""
    if isinstance(value, Record):
        return value.to_dict()
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, (tuple, list)):
        return [plain(item) for item in value]
    return value

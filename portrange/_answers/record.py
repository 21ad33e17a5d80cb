"""Base class of results: a dictionary for JSON and data frames, and a table for notebooks."""

from __future__ import annotations

from .._frozen import Frozen
from .._lazy import import_lock
from .span import Span

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any, ClassVar


class Record(Frozen):
    """Base class of results: immutable, hashable, picklable, JSON-safe through `to_dict()`."""

    #: Properties that `to_dict()` has beside the fields.
    _derived: ClassVar[tuple[str, ...]] = ()
    #: Fields that `to_dict()` leaves out, because other results repeat them.
    _not_in_dict = frozenset[str]()
    #: What None means in a notebook where it does not mean "unknown", by field.
    _none: ClassVar[Mapping[str, str]] = {}

    @classmethod
    def columns(cls) -> list[str]:
        """Return the keys of `to_dict()` in their order: the columns of a table of such results, even an empty one."""
        return [name for name in (*cls.__match_args__, *cls._derived) if name not in cls._not_in_dict]

    def to_dict(self) -> dict[str, Any]:
        """Return the result as JSON-safe values (dict, list, str, int, float, bool, None), in a stable order."""
        return {name: plain(getattr(self, name)) for name in self.columns()}

    def _title(self) -> str:
        """Return the heading of the result in a notebook."""
        return type(self).__name__

    def _entries(self) -> Iterable[tuple[str, object]]:
        """Return the names and values that a notebook shows."""
        return [(name, self._value(name)) for name in self.columns()]

    def _value(self, name: str) -> object:
        value = getattr(self, name)
        return self._none.get(name) if value is None else _as_text(value)

    def _judgement(self) -> tuple[str, str] | None:
        """Return the verdict that a notebook shows beside the heading, and its role; most results have none."""
        return None

    def _picture(self) -> str:
        """Return the picture that a notebook shows above the table, as HTML; most results have none."""
        return ""

    def _repr_html_(self) -> str:
        with import_lock:
            from .._render import html

        return html.title(self._title(), self._judgement()) + self._picture() + html.record(self._entries())


def plain(value: object) -> Any:
    """Return *value* in the types of JSON."""
    if isinstance(value, Record):
        return value.to_dict()
    if isinstance(value, tuple):
        return [plain(item) for item in value]  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    # Members of the str enums become plain strings.
    return str(value) if isinstance(value, str) else value


def _as_text(value: object) -> object:
    """Return *value* for a cell of a table: results and spans as text, tuples as lists of their items."""
    if isinstance(value, (Record, Span, str)):
        return str(value)
    if isinstance(value, tuple):
        return [_as_text(item) for item in value]  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    return value

"""Base class of the sequences that queries return: slices, filters, tables, and the reasons why one is incomplete."""

from __future__ import annotations

from collections.abc import Sequence

from .._lazy import import_lock
from .._render.strings import joined, visible
from .record import Record
from .span import port_number

TYPE_CHECKING = False
if not TYPE_CHECKING:
    # At run time the type variable and overloads have no meaning.
    T = Record

    def overload(method):  # noqa: ANN001, ANN202 - type checkers see that of typing
        return method


if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Any, ClassVar, SupportsIndex, TypeAlias, TypeVar, overload

    from typing_extensions import Self

    from .._render.text import Cell
    from .address import ProtocolName

    T = TypeVar("T", bound=Record)
    #: The values that an item has, by the name of the fact, such as the names of its owners; a None among them stands
    #: for values that are unknown.
    Facts: TypeAlias = Mapping[str, tuple[object, ...]]

#: The most items that `repr` shows.
_SHOWN = 3


class Results(Record, Sequence[T]):
    """Base class of immutable sequences of results.

    A subclass has two fields: its items, then `incomplete`. It is false only if it is empty and complete: if
    `incomplete` is not empty, it is true even without an item.
    """

    #: The headings of the table.
    _headers: ClassVar[tuple[str, ...]] = ()
    #: The columns of the table that are never shortened, by index.
    _whole: ClassVar[tuple[int, ...]] = (0, 1)
    #: The columns that are shortened first on a narrow terminal, by index, each with its least width.
    _narrow: ClassVar[tuple[tuple[int, int], ...]] = ()
    #: The columns that are aligned at the right, by index.
    _right: ClassVar[tuple[int, ...]] = ()
    #: The text of a result that is empty and complete.
    _nothing: ClassVar[str] = "nothing found"

    if TYPE_CHECKING:
        # The metaclass adds that of each subclass.
        def __init__(self, items: tuple[T, ...] = (), incomplete: tuple[str, ...] = (), /) -> None: ...

    # --- for subclasses ----------------------------------------------------------------------------------------------

    def _facts(self, item: T, /) -> Iterable[Facts]:
        """Return what `where` compares: for an item with several sockets, the facts of each."""
        raise NotImplementedError

    def _contains(self, item: T, port: int, /) -> bool:
        """Return whether an item is on a port."""
        raise NotImplementedError

    def _flat(self, item: T, /) -> dict[str, Any]:
        """Return an item as a dictionary of scalars."""
        raise NotImplementedError

    def _rows(self) -> Iterable[tuple[Cell, ...]]:
        """Return the rows of the table."""
        raise NotImplementedError

    @property
    def _items(self) -> tuple[T, ...]:
        items: tuple[T, ...] = self._values[0]
        return items

    @property
    def _reasons(self) -> tuple[str, ...]:
        reasons: tuple[str, ...] = self._values[1]
        return reasons

    def _only(self, items: tuple[T, ...], *reasons: str) -> Self:
        """Return a sequence of some of the items, with further reasons why it is incomplete."""
        return type(self)(items, (*self._reasons, *reasons))

    # --- a sequence --------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._items)

    def __bool__(self) -> bool:
        return bool(self._items or self._reasons)

    def __iter__(self) -> Iterator[T]:
        return iter(self._items)

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> Self: ...
    def __getitem__(self, index: int | slice) -> T | Self:
        return self._only(self._items[index]) if isinstance(index, slice) else self._items[index]

    def __contains__(self, value: object) -> bool:
        """Return whether an item equals *value* or, if that is a number, whether an item is on that port.

        Raises `TypeError` if *value* is neither a result nor a whole number, `InvalidPortError` outside 0-65535.
        """
        if isinstance(value, Record):
            return value in self._items
        number = port_number(value)
        return any(self._contains(item, number) for item in self._items)

    def on(self, port: SupportsIndex) -> Self:
        """Return the items on *port*.

        Raises `TypeError` if it is not a whole number, `InvalidPortError` if it is not from 0 to 65535.
        """
        number = port_number(port)
        return self._only(tuple(item for item in self._items if self._contains(item, number)))

    def where(
        self,
        *,
        user: str | int | None = None,
        process: str | int | None = None,
        unit: str | None = None,
        protocol: ProtocolName | None = None,
    ) -> Self:
        """Return the items that match all arguments; None matches everything.

        `user` is the name or ID of a user, `process` the name or pid of an owner, `unit` a systemd unit. Items that may
        match, such as those with a hidden owner, are left out, and `incomplete` has their number.
        """
        given: dict[str, object] = {
            "uid" if isinstance(user, int) else "user": user,
            "pid" if isinstance(process, int) else "process": process,
            "unit": unit,
            "protocol": protocol,
        }
        wanted = {name: value for name, value in given.items() if value is not None}
        kept: list[T] = []
        unknown: dict[str, None] = {}
        left_out = 0
        for item in self._items:
            missing = [_missing(facts, wanted) for facts in self._facts(item)]
            if () in missing:
                kept.append(item)
            elif any(missing):
                left_out += 1
                unknown.update(dict.fromkeys(name for names in missing for name in names or ()))
        reasons = (f"{left_out:,} left out: {joined(unknown, 'or')} unknown",) if left_out else ()
        return self._only(tuple(kept), *reasons)

    # --- other forms -------------------------------------------------------------------------------------------------

    def to_dicts(self, *, flat: bool = False) -> list[dict[str, Any]]:
        """Return one JSON-safe dictionary an item, for ``pandas.DataFrame``; with *flat*, the values are scalars."""
        return [self._flat(item) if flat else item.to_dict() for item in self._items]

    def __repr__(self) -> str:
        items = [repr(item) for item in self._items[:_SHOWN]]
        others = [f"{len(self._items) - _SHOWN:,} more"] if len(self._items) > _SHOWN else []
        reasons = f", incomplete={list(self._reasons)!r}" if self._reasons else ""
        return f"<{type(self).__name__} [{', '.join([*items, *others])}]{reasons}>"

    def __str__(self) -> str:
        return self.to_text()

    def to_text(self, columns: int | None = None) -> str:
        """Return an aligned table; with *columns*, texts are shortened so that each line fits."""
        return self._with_reasons(self._table(self._rows(), columns) if self._items else "", columns)

    def _table(self, rows: Iterable[tuple[Cell, ...]], columns: int | None) -> str:
        """Return the table of some rows."""
        with import_lock:
            from .._render import text

        return text.table(self._headers, rows, columns, whole=self._whole, narrow=self._narrow, right=self._right)

    def _with_reasons(self, table: str, columns: int | None) -> str:
        """Return the table, or that there is none, and the reasons why it is incomplete."""
        with import_lock:
            from .._render.text import wrap

        reasons = [line for reason in self._reasons for line in wrap(visible(f"incomplete: {reason}"), columns)]
        return "\n".join(filter(None, (table, self._if_empty(), *reasons)))

    def _if_empty(self) -> str:
        return "" if self else self._nothing

    def _repr_html_(self) -> str:
        with import_lock:
            from .._render import html

        rows = [[str(cell) for cell in row] for row in self._rows()]
        return html.table(self._headers, rows, self._reasons, self._right) or f"<p>{self._if_empty()}</p>"


def _missing(facts: Facts, wanted: Mapping[str, object]) -> tuple[str, ...] | None:
    """Return the names of unknown facts on which it depends whether an item matches; None if it does not match."""
    missing: list[str] = []
    for name, value in wanted.items():
        known = facts.get(name, ())
        if value in known:
            continue
        if None not in known:
            return None
        missing.append(name)
    return tuple(missing)

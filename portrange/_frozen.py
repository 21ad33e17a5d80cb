"""Immutable classes with named fields: what a frozen, slotted dataclass is, without importing `dataclasses`.

Measured on CPython 3.11: importing `dataclasses` (which needs `inspect`, `ast` and `re`) and defining one class of 16
fields takes 11 ms; importing this module and defining the same class takes 2 ms. A cold query does not pay for the
definitions. Type checkers see the classes as frozen dataclasses (PEP 681).
"""

from __future__ import annotations

from abc import ABCMeta

from ._lazy import import_lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from inspect import Signature
    from typing import Any, ClassVar, TypeVar

    from typing_extensions import Self, dataclass_transform

    F = TypeVar("F", bound="Frozen")
else:

    def dataclass_transform(**_options):  # noqa: ANN003, ANN202 - type checkers see the real one
        return lambda decorated: decorated


@dataclass_transform(frozen_default=True)
class FrozenType(ABCMeta):
    """Metaclass of `Frozen`: turns the annotations of a class body into properties and an `__init__`.

    Names that begin with an underscore are class attributes, not fields. It is an `ABCMeta` so that results can be
    abstract collections as well.
    """

    def __new__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> FrozenType:
        annotations: dict[str, object] = namespace.get("__annotations__", {})
        own = [field for field in annotations if not field.startswith("_")]
        own_defaults = {field: namespace.pop(field) for field in own if field in namespace}
        created = super().__new__(cls, name, bases, {"__slots__": (), **namespace})
        inherited: tuple[str, ...] = getattr(created, "__match_args__", ())
        if own:
            fields = (*inherited, *own)
            defaults: dict[str, Any] = {**getattr(created, "_defaults", {}), **own_defaults}
            converters: Mapping[str, Callable[[Any], Any]] = namespace.get("_converters", {})
            for index, field in enumerate(own, len(inherited)):
                reader = _reader(index, annotations[field], converters.get(field))
                type.__setattr__(created, field, reader)
            type.__setattr__(created, "__match_args__", fields)
            type.__setattr__(created, "_defaults", defaults)
            type.__setattr__(created, "__init__", _initializer(name, fields, defaults))
        return created

    @property
    def __signature__(cls) -> Signature:
        """The fields as parameters, for `help()` and `inspect.signature()`."""
        with import_lock:
            from inspect import Parameter, Signature, get_annotations

        annotations: dict[str, Any] = {}
        for base in reversed(cls.__mro__):
            annotations.update(get_annotations(base))
        fields: tuple[str, ...] = getattr(cls, "__match_args__", ())
        defaults: dict[str, Any] = getattr(cls, "_defaults", {})
        parameters = [
            Parameter(
                field,
                Parameter.POSITIONAL_OR_KEYWORD,
                default=defaults.get(field, Parameter.empty),
                annotation=annotations[field],
            )
            for field in fields
        ]
        return Signature(parameters)


def _reader(index: int, annotation: object, convert: Callable[[Any], Any] | None) -> property:
    """Return a property that reads the field with this index; documentation tools show its annotation."""

    def read(self: Any) -> Any:
        return self._values[index] if convert is None else convert(self._values[index])

    read.__annotations__ = {"return": annotation}
    return property(read)


def _initializer(name: str, fields: tuple[str, ...], defaults: dict[str, Any]) -> Callable[..., None]:
    """Return an `__init__` with the fields as parameters.

    `dataclasses` compiles an `__init__` for each class, which takes five times as long as all the rest of the class.
    """
    number = len(fields)
    store: Callable[[Frozen, tuple[Any, ...]], None] = getattr(Frozen, "_values").__set__  # noqa: B009

    def initialize(self: Frozen, *args: Any, **kwargs: Any) -> None:
        if kwargs or len(args) != number:
            args = (*args, *_others(name, fields, len(args), kwargs, defaults))
        store(self, args)

    return initialize


def _others(
    name: str, fields: tuple[str, ...], given: int, kwargs: dict[str, Any], defaults: dict[str, Any]
) -> Iterator[Any]:
    """Yield the values of the fields after the first *given* ones: keyword arguments or defaults."""
    if given > len(fields):
        raise TypeError(f"{name}() takes {len(fields)} arguments, but {given} were given")
    for field in kwargs:
        if field not in fields[given:]:
            raise TypeError(f"{name}() got an unexpected or repeated argument {field!r}")
    for field in fields[given:]:
        if field in kwargs:
            yield kwargs[field]
        elif field in defaults:
            yield defaults[field]
        else:
            raise TypeError(f"{name}() is missing the argument {field!r}")


class Frozen(metaclass=FrozenType):
    """Base class of immutable values: compared and hashed by their fields, picklable, usable with `match`.

    >>> class Point(Frozen):
    ...     x: int
    ...     y: int = 0
    >>> Point(1), Point(1) == Point(1, y=0), replace(Point(1), y=2)
    (Point(x=1, y=0), True, Point(x=1, y=2))
    """

    # One store of all values takes a sixth of the time of a store for each field.
    __slots__ = ("_values",)

    #: What converts a field when it is read, by its name. The given value is compared and hashed, so it equals the
    #: converted one.
    _converters: ClassVar[Mapping[str, Callable[[Any], Any]]] = {}
    #: Fields that `repr` leaves out.
    _not_in_repr = frozenset[str]()

    # Type checkers would accept any attribute if they saw these.
    if not TYPE_CHECKING:

        def __setattr__(self, name: str, value: object) -> None:
            raise AttributeError(f"cannot assign to field {name!r}")

        def __delattr__(self, name: str) -> None:
            raise AttributeError(f"cannot delete field {name!r}")

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if type(other) is not type(self):
            return NotImplemented
        return bool(self._values == other._values)

    def __hash__(self) -> int:
        return hash(self._values)

    def __repr__(self) -> str:
        shown = (f"{field}={getattr(self, field)!r}" for field in self.__match_args__ if field not in self._not_in_repr)
        return f"{type(self).__qualname__}({', '.join(shown)})"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self._values

    def __replace__(self, /, **changes: Any) -> Self:
        """Return a copy with some fields changed; called by `copy.replace` of Python 3.13."""
        return type(self)(**{field: getattr(self, field) for field in self.__match_args__} | changes)

    if TYPE_CHECKING:
        # Set by the metaclass.
        __match_args__: ClassVar[tuple[str, ...]]
        #: The values of the fields in their order. As an instance variable, it would be a field.
        _values: ClassVar[tuple[Any, ...]]


def replace(value: F, /, **changes: Any) -> F:
    """Return a copy of *value* with some fields changed, as `copy.replace` of Python 3.13 does."""
    return value.__replace__(**changes)

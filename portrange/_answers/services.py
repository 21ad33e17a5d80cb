"""The sequence of services that `services` returns."""

from __future__ import annotations

from .port import Service
from .results import Results
from .span import Span

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from .results import Facts


class Services(Results[Service]):
    """An immutable sequence of services, in the order of their ports."""

    _headers = ("NAME", "PORT", "PROTO", "DESCRIPTION")
    _right = (1,)
    _nothing = "no services"

    services: tuple[Service, ...] = ()
    """The services as a tuple."""
    incomplete: tuple[str, ...] = ()
    """What could not be read, one sentence each; always empty, because the registry is part of the package."""

    def _facts(self, item: Service) -> Iterable[Facts]:
        return ({"protocol": item.protocols},)

    def _contains(self, item: Service, port: int) -> bool:
        return item.first <= port <= item.last

    def _flat(self, item: Service) -> dict[str, Any]:
        return {**item.to_dict(), "protocols": ", ".join(item.protocols)}

    def _rows(self) -> Iterator[tuple[str, ...]]:
        for service in self.services:
            ports = Span(service.first, service.last)
            yield service.name, str(ports), ", ".join(service.protocols), service.description

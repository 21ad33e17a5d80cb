"""Which ports are registered under this name?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._registry.lookup import registry

if TYPE_CHECKING:
    from .._answers.port import Service


def services(name: str) -> tuple[Service, ...]:
    """Every service that IANA registered under `name`, in whatever case, in the order of ports.

    Empty where the name is not registered, or without a port (names for DNS-SD only). A service on several ports is
    there several times. `REGISTRY_DATE` is the date of the registry; nothing is read from the machine, in particular
    not its /etc/services.

    Raises `TypeError` for what is not a string.

    >>> import portrange
    >>> [(service.name, service.first) for service in portrange.services("PostgreSQL")]
    [('postgresql', 5432)]
    """
    return registry().named(_text(name))


def _text(name: object) -> str:
    if isinstance(name, str):
        return name
    raise TypeError(f"a service name is a string, not {type(name).__name__}: {name!r}")

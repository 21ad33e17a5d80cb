"""Find the ports that are registered under a service name."""

from __future__ import annotations

from .._answers.services import Services
from .._registry.lookup import services_named


def services(name: str) -> Services:
    """Return the services that IANA registered under *name*, in any case, in the order of their ports.

    A service on several ports occurs several times. The result is empty if the name is not registered, or only without
    a port (DNS-SD). `REGISTRY_DATE` is the date of the registry. Nothing is read from the machine, and /etc/services
    is not used.

    :param name: The name of a service.

    Raises `TypeError` if *name* is not a string.

    >>> import portrange
    >>> [(service.name, service.first) for service in portrange.services("PostgreSQL")]
    [('postgresql', 5432)]
    """
    return Services(services_named(_string(name)))


def _string(name: object) -> str:
    if isinstance(name, str):
        return name
    raise TypeError(f"a service name is a string, not {type(name).__name__}: {name!r}")

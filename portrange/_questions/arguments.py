"""Checking what callers pass in: one clear sentence that names the input."""

from __future__ import annotations

from collections.abc import Sequence

from .._backends.base import FAMILIES, PROTOCOLS
from .._host import Host

#: The machine that Python runs on; asked wherever no other host is given.
THIS_HOST = Host()


def host_asked(host: object) -> Host:
    """The host to ask: this machine where none is given."""
    if host is None:
        return THIS_HOST
    if not isinstance(host, Host):
        raise TypeError(f"host is a portrange.Host, such as Host('/host/proc'), not {type(host).__name__}: {host!r}")
    return host


def protocol_name(protocol: object) -> str:
    """One of the transports, or `ValueError`."""
    return _one_of("protocol", protocol, PROTOCOLS)


def family_name(family: object) -> str:
    """One of the address families, or `ValueError`."""
    return _one_of("family", family, FAMILIES)


def protocols_asked(protocol: object) -> tuple[str, ...] | None:
    """The transports that a question is about; None for all."""
    return None if protocol is None else (protocol_name(protocol),)


def _one_of(what: str, given: object, allowed: Sequence[str]) -> str:
    if isinstance(given, str) and given in allowed:
        return given
    raise ValueError(f"unknown {what} {given!r}: use one of {', '.join(map(repr, allowed))}")

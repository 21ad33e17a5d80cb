"""Why is it risky to write this port into a configuration?"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from .._answers.port import Assignment, Band, Risk
from .._registry.pools import COMMON_SYSTEMS, DEFAULT_POOLS, DefaultPool
from .._registry.refused import BAD_PORTS, MACOS_RESTRICTED

if TYPE_CHECKING:
    from .._answers.pool import PortSettings
    from .._registry.lookup import PortRecord

_ADVICE = "choose a port from 1024 to 32767"

_ZERO = Risk(
    "reserved", "high", "port 0 asks the system for any free port and cannot be reached itself: choose another"
)
_RESERVED = Risk("reserved", "high", "IANA keeps it reserved and gives it to nobody: choose one that is unassigned")
_DYNAMIC = Risk(
    "dynamic-band",
    "high",
    f"IANA leaves {Band.DYNAMIC.first}-{Band.DYNAMIC.last} to everybody for temporary use (RFC 6335): {_ADVICE}",
)
_BROWSER = Risk(
    "browser",
    "low",
    "browsers refuse http and https URLs with it (bad ports of the Fetch standard): choose another for what they open",
)
_RESTRICTED = Risk(
    "restricted",
    "low",
    "macOS gives this TCP port only to programs that Apple entitled: choose another if it is to run there",
)

#: How a port inside the pool can be kept, where the system has a way.
_SET_ASIDE = {"linux": ", or set it aside in net.ipv4.ip_local_reserved_ports"}


class HostRisks(NamedTuple):
    """What this host has against a port."""

    high: tuple[Risk, ...]
    low: tuple[Risk, ...]


class Stretch(NamedTuple):
    """Neighbouring ports that lie in the same band and the same default pools, and what speaks against them."""

    first: int
    ephemeral_by_default_on: tuple[str, ...]
    high: tuple[Risk, ...]
    low: tuple[Risk, ...]


def stretch(port: int) -> Stretch:
    """The stretch in which a port lies."""
    return _STRETCHES[bisect_right(_FIRSTS, port) - 1]


def risks(port: int, record: PortRecord, around: Stretch, host: HostRisks) -> tuple[Risk, ...]:
    """All reasons against relying on a port, worst first: this host, then IANA, then other systems."""
    high = host.high
    low: tuple[Risk, ...] = ()
    if record.assignment is Assignment.RESERVED:
        high += (_RESERVED if port else _ZERO,)
    elif record.assignment is Assignment.ASSIGNED:
        low = (_registered(record),)
    if port in BAD_PORTS:
        low += (_BROWSER,)
    if port in MACOS_RESTRICTED:
        low += (_RESTRICTED,)
    return high + around.high + low + around.low + host.low


def host_risks(
    settings: PortSettings, *, ephemeral: bool | None, excluded: bool | None, privileged: bool | None
) -> HostRisks:
    """What follows from the settings of this host; the same for all ports that they treat alike."""
    high: list[Risk] = []
    low: list[Risk] = []
    if excluded:
        source = _source(settings, "excluded")
        high.append(
            Risk("excluded", "high", f"this host refuses to bind it{source}: choose a port outside its exclusions")
        )
    if ephemeral:
        pools = _listed(dict.fromkeys(f"{pool.first}-{pool.last}" for pool in settings.pools or ()))
        high.append(
            Risk(
                "host-range",
                "high",
                f"this host may give it to any outgoing connection at any time: choose a port outside its pool "
                f"({pools}){_SET_ASIDE.get(settings.platform, '')}",
            )
        )
    if privileged:
        source = _source(settings, "privileged")
        high.append(
            Risk(
                "privileged", "high", f"binding it needs a privilege on this host{source}: grant it, or choose another"
            )
        )
    if None in (ephemeral, excluded, privileged):
        open_questions = {
            "hands it out": ephemeral,
            "refuses to bind it": excluded,
            "asks a privilege for it": privileged,
        }
        unknown = _listed((question for question, answer in open_questions.items() if answer is None), "or")
        low.append(
            Risk("unknown", "low", f"this host did not tell whether it {unknown}: look there before relying on it")
        )
    return HostRisks(tuple(high), tuple(low))


def _registered(record: PortRecord) -> Risk:
    names = [service.name for service in record.services]
    if not names:
        holder = next(entry.description for entry in record.unnamed if entry.assignment is Assignment.ASSIGNED)
    elif len(names) == 1:
        holder = names[0]
    else:
        holder = f"{names[0]} (also {', '.join(names[1:])})"
    return Risk(
        "registered", "low", f"registered with IANA for {holder}: use it for that, or choose one that is unassigned"
    )


def _source(settings: PortSettings, fact: str) -> str:
    source = settings.source(fact)
    return f" ({source})" if source else ""


def _listed(words: Iterable[str], last: str = "and") -> str:
    *before, end = words
    return f"{', '.join(before)} {last} {end}" if before else end


def _stretches() -> Iterable[Stretch]:
    edges = {0, Band.DYNAMIC.first, *(edge for pool in DEFAULT_POOLS for edge in (pool.first, pool.last + 1))}
    for first in sorted(edges):
        pools = [pool for pool in DEFAULT_POOLS if pool.first <= first <= pool.last]
        common = [pool for pool in pools if pool.system in COMMON_SYSTEMS]
        others = [pool for pool in pools if pool.system not in COMMON_SYSTEMS]
        high: tuple[Risk, ...] = (_DYNAMIC,) if first >= Band.DYNAMIC.first else ()
        low: tuple[Risk, ...] = ()
        if common:
            detail = f"in the default pool of {_titles(common)}, which may hand it out at any time: {_ADVICE}"
            high += (Risk("default-range", "high", detail),)
        if others:
            detail = f"in the default pool of {_titles(others)}: if it is to run there, set it aside or choose another"
            low = (Risk("other-range", "low", detail),)
        yield Stretch(first, tuple(pool.system for pool in pools), high, low)


def _titles(pools: Iterable[DefaultPool]) -> str:
    return _listed(f"{pool.title} ({pool.first}-{pool.last})" for pool in pools)


_STRETCHES = tuple(_stretches())
_FIRSTS = [one.first for one in _STRETCHES]

"""The usage of the pool in plain words, for people who just met EADDRNOTAVAIL."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from .usage import may_overlook

if TYPE_CHECKING:
    from .usage import Destination, EphemeralUsage

#: From this share on, a limit is worth a warning.
_NEAR = 0.8
#: From this share on, a bar can be seen.
_BAR = 0.01
_EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 - nothing of ours ever listens there
_HEADERS = ("DESTINATION", "FROM", "PORTS", "OF", "TIME-WAIT", "SHARE")
#: What is not shortened: what the table is about, and its figures; where that leaves no room, the figures.
_WHOLE = ((0, 2, 3, 4, 5), (2, 3, 4, 5))


def sentences(usage: EphemeralUsage) -> str:
    """How near the limit is, towards whom, what holds the ports, which error follows, and what helps."""
    from .._render.text import visible

    return visible(" ".join([_pool(usage), *_PROTOCOLS[usage.protocol](usage), *_gaps(usage)]))


def page(usage: EphemeralUsage, columns: int) -> str:
    """The sentences, and the fullest destinations as aligned text, in lines of at most `columns`."""
    import textwrap

    parts = [textwrap.fill(sentences(usage), columns, break_long_words=False, break_on_hyphens=False)]
    if usage.destinations:
        parts.append("\n".join([_table(usage, columns), *_more(usage)]))
    return "\n\n".join(parts)


def _table(usage: EphemeralUsage, columns: int) -> str:
    from .._render import text

    table = ""
    for whole in _WHOLE:
        table = text.table(_HEADERS, map(_row, usage.destinations), columns, whole=whole)
        if all(line.endswith(("%", _HEADERS[-1])) for line in table.splitlines()):
            break  # no line was cut off
    return table


def html(usage: EphemeralUsage) -> str:
    """The same for a notebook, with a bar for each destination that has more than a little."""
    from .._render import html as markup
    from .._render import svg
    from .picture import usage_picture

    bars = [svg.Bar(f"{one.source} → {one.endpoint}", one.share) for one in usage.destinations if one.share >= _BAR]
    parts = [
        f"<p>{markup.cell(sentences(usage))}</p>",
        usage_picture(usage),
        svg.bars("Ports in use by destination", bars) if bars else "",
        markup.table(_HEADERS, map(_row, usage.destinations)),
        *(f"<p>{markup.cell(more)}</p>" for more in _more(usage)),
    ]
    return "".join(parts)


def _more(usage: EphemeralUsage) -> Iterator[str]:
    """How many destinations are not in the table."""
    more = usage.destination_count - len(usage.destinations)
    if more > 0:
        yield f"and {more:,} more {_destinations(more)}"


def _row(one: Destination) -> tuple[str, str, str, str, str, str]:
    return (
        one.endpoint,
        one.source,
        f"{one.sockets:,}",
        f"{one.limit:,}",
        f"{one.time_wait:,}",
        _percent(one.share),
    )


# --- sentences -----------------------------------------------------------------------------------------------------


def _pool(usage: EphemeralUsage) -> str:
    pool = usage.pool
    bounds = f"{pool.first}-{pool.last}"
    if usage.pool_ipv6 is not None:
        bounds += f", and {usage.pool_ipv6.first}-{usage.pool_ipv6.last} over IPv6"
    what = f"{usage.protocol.upper()} ports that this machine hands out by itself ({bounds}; {pool.source})"
    if not usage.size:
        return f"There are no {what}: all of them are set aside."
    if usage.used == usage.size:
        return f"All {usage.size:,} {what} are in use."
    return f"{usage.used:,} of the {usage.size:,} {what} {_are(usage.used)} in use ({_percent(usage.share)})."


def _tcp(usage: EphemeralUsage) -> Iterator[str]:
    # In a pool of a few ports, the last one is less than a share of 0.8 away.
    near = [one for one in usage.destinations if one.share >= _NEAR or one.free <= 1]
    overlooks = may_overlook(usage.platform, usage.protocol, usage.pool)
    last = [one.place for one in usage.addresses if overlooks and one.free == 1]
    if usage.size and usage.waiting == usage.size:
        yield (
            "They belong to sockets that listen or are bound, so no connection gets one: connect() "
            f"{_fails(usage, 'connect')}, whatever its destination."
        )
    elif usage.waiting:
        have = (
            "belongs to a socket that listens or is" if usage.waiting == 1 else "belong to sockets that listen or are"
        )
        yield f"{usage.waiting:,} of them {have} bound: connections cannot have {_those(usage.waiting)}."
    if near:
        yield from _near(usage, near)
    elif usage.destinations:
        one = usage.destinations[0]
        yield (
            f"The fullest destination is {one.endpoint}: connections from {one.source} have {one.sockets:,} of "
            f"{one.limit:,} ports ({_held_by(one)})."
        )
    yield from _binding(usage)
    if last:
        yield f"Binding port 0 on {_either(last)} may fail{_error(usage, 'bind')} although a port is free there."
    if overlooks and (near or last):
        calls = " and ".join(["connect()"] * bool(near) + ["bind()"] * bool(last))
        yield (
            f"The pool begins and ends with an {'even' if usage.pool.first % 2 == 0 else 'odd'} number, with which "
            f"{calls} may overlook the last free port: give its bounds different parity."
        )
    yield from _advice(usage, near, is_near=bool(near or last))


def _near(usage: EphemeralUsage, near: list[Destination]) -> Iterator[str]:
    worst = near[0]
    taken = f"all {worst.limit:,}" if not worst.free else f"{worst.sockets:,} of the {worst.limit:,}"
    yield (
        f"Connections from {worst.source} to {worst.endpoint} have {taken} ports that they can have ({_held_by(worst)})"
        + (f": another connect() there {_fails(usage, 'connect')}." if not worst.free else ".")
    )
    full = sum(not one.free for one in near[1:])
    others = len(near) - 1 - full
    if full:
        yield f"So it is with {full:,} more {_destinations(full)}."
    if others:
        yield f"{others:,} more {_destinations(others)} {_are(others)} near it."
    yield (
        "Every other destination address or port has the whole pool once more, but for ports that a program bound "
        "before it connected; the system does not show which those are."
    )


def _udp(usage: EphemeralUsage) -> Iterator[str]:
    if usage.size and usage.used == usage.size:
        full = {one.family for one in usage.addresses if one.address in _EVERYWHERE and not one.free}
        yield (
            f"A UDP socket{' of IPv6' if full == {'ipv6'} else ''} that is not bound needs a port that is free on all "
            f"addresses: its connect() or sendto() {_fails(usage, 'sendto')}."
        )
    if usage.destinations:
        one = usage.destinations[0]
        yield f"Most of the connected sockets lead from {one.source} to {one.endpoint}: {one.sockets:,}."
    yield from _binding(usage)
    if usage.share < _NEAR and not usage.exhausted:
        yield "Nothing is near its limit."
        return
    yield (
        "What helps: one socket for many destinations (sendto() needs no socket for each), closing sockets when the "
        f"answer has come, and {_wider(usage)}."
    )


def _binding(usage: EphemeralUsage) -> Iterator[str]:
    """Who cannot bind port 0 any more."""
    full = [one.place for one in usage.addresses if not one.free]
    if full:
        yield f"Binding port 0 on {_either(full)} {_fails(usage, 'bind')}."


def _advice(usage: EphemeralUsage, near: list[Destination], *, is_near: bool) -> Iterator[str]:
    if not is_near and not usage.exhausted and usage.share < _NEAR:
        yield "Nothing is near its limit."
        return
    helps: list[str] = []
    if any(2 * one.time_wait >= one.sockets for one in near):
        helps.append(
            "keeping connections open for the next request (keep-alive, a connection pool) instead of closing them, "
            "since whoever closes first keeps the port in TIME-WAIT for a while"
        )
        if usage.platform == "linux":
            helps.append("net.ipv4.tcp_tw_reuse=1, by which Linux gives such ports to new connections after a second")
    elif near:
        helps.append(
            "fewer connections at a time (keep-alive, a connection pool), or more source or destination addresses"
        )
    if usage.platform == "linux":
        helps.append("IP_BIND_ADDRESS_NO_PORT in programs that bind an address before they connect")
    helps.append(_wider(usage))
    yield f"What helps: {'; '.join(helps)}."


def _gaps(usage: EphemeralUsage) -> Iterator[str]:
    return (f"Not looked at: {gap}." for gap in usage.incomplete)


_PROTOCOLS = {"tcp": _tcp, "udp": _udp}


# --- words ---------------------------------------------------------------------------------------------------------


def _held_by(one: Destination) -> str:
    live = one.sockets - one.time_wait
    reusable = f", of which {one.reusable:,} may be used again" if one.reusable else ""
    if not one.time_wait:
        return "all live" if live > 1 else "live"
    if not live:
        return f"all in TIME-WAIT{reusable}"
    return f"{live:,} live, {one.time_wait:,} in TIME-WAIT{reusable}"


def _fails(usage: EphemeralUsage, call: str) -> str:
    return f"fails{_error(usage, call)}"


def _error(usage: EphemeralUsage, call: str) -> str:
    name = dict(usage.errors).get(call)
    return f" with {name}" if name else ""


def _either(names: list[str]) -> str:
    return " or ".join((", ".join(names[:-1]), names[-1])) if len(names) > 1 else names[0]


def _wider(usage: EphemeralUsage) -> str:
    return f"a wider range in {usage.pool.source}" if not usage.pool.assumed else "a wider range of ports"


def _those(number: int) -> str:
    return "that one" if number == 1 else "those"


def _are(number: int) -> str:
    return "is" if number == 1 else "are"


def _destinations(number: int) -> str:
    return "destination" if number == 1 else "destinations"


def _percent(share: float) -> str:
    """A share in percent; what is neither nothing nor everything is not rounded to it."""
    percent = 100 * share
    if 0 < percent < 0.1:
        return "<0.1 %"
    if 99.9 < percent < 100:
        return ">99.9 %"
    return f"{percent:.0f} %" if percent >= 10 else f"{percent:.1f} %"

"""Pictures of answers: where the ports they speak of lie between 0 and 65535."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from .._render.axis import Row, Stretch, axis
from .._render.drawing import BLUE, ORANGE, RED
from .port import Band
from .span import Span, size

if TYPE_CHECKING:
    from .pool import EphemeralRange
    from .port import PortInfo
    from .span import Spans
    from .usage import EphemeralUsage

_BANDS = [Stretch(band.value, band.first, band.last) for band in Band]


def port_picture(info: PortInfo) -> str:
    """A port among IANA's bands, this host's pools, and what is set aside and refused here."""
    settings = info.settings
    rows = [
        *_pools(settings.pools),
        *_spans("set aside", settings.reserved, ORANGE),
        *_spans("refused", settings.excluded, RED),
    ]
    return axis(f"Port {info.number} on this host", _BANDS, rows, info.number)


def pool_picture(pool: EphemeralRange) -> str:
    """A pool among IANA's bands, and what is set aside."""
    return axis("Ephemeral range", _BANDS, [*_pools([pool]), *_spans("set aside", pool.reserved, ORANGE)])


def usage_picture(usage: EphemeralUsage) -> str:
    """The pools whose usage was counted, and what is set aside."""
    pools = [usage.pool, usage.pool_ipv6] if usage.pool_ipv6 else [usage.pool]
    return axis("Ephemeral range", _BANDS, [*_pools(pools), *_spans("set aside", usage.pool.reserved, ORANGE)])


def _pools(pools: Iterable[EphemeralRange] | None) -> Iterator[Row]:
    """A row for each pair of bounds; systems that keep pools per protocol mostly have the same for all."""
    if pools is None:
        yield Row("handed out: unknown", (), BLUE)
        return
    alike: dict[Span, list[EphemeralRange]] = {}
    for pool in pools:
        alike.setdefault(Span(pool.first, pool.last), []).append(pool)
    for span, same in alike.items():
        whose = f" ({', '.join(f'{pool.protocol} {pool.family}' for pool in same)})" if len(alike) > 1 else ""
        yield Row(f"handed out: {span}{whose}", [span] if span.first <= span.last else [], BLUE)


def _spans(name: str, spans: Spans | None, colour: str) -> Iterator[Row]:
    """A row for spans, if there are any."""
    if spans is None:
        yield Row(f"{name}: unknown", (), colour)
    elif spans:
        ports = f"{size(spans):,} ports" if size(spans) > 1 else f"port {spans[0].first}"
        yield Row(f"{name}: {spans[0] if len(spans) == 1 else ports}", spans, colour)

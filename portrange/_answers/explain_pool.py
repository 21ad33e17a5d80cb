"""The pool of automatic ports as a page of labelled lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .span import listed

if TYPE_CHECKING:
    from .pool import EphemeralRange


def pool_page(pool: EphemeralRange) -> dict[str, list[str]]:
    """The page as labels, each with its lines."""
    assumed = " (assumed: a setting could not be read)" if pool.assumed else ""
    nothing = "unknown: a setting could not be read" if pool.assumed else "nothing"
    return {
        "Ports": [f"{pool.first}-{pool.last}, {len(pool):,} of them handed out by the system"],
        "Set aside": [listed(pool.reserved) or nothing],
        "Read from": [pool.source + assumed],
    }

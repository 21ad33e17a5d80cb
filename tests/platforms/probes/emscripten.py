"""Python without an operating system: queries about it raise a clear one-line error."""

from __future__ import annotations

from collections.abc import Callable

import probing

import portrange

QUERIES: dict[str, Callable[[], object]] = {
    "ephemeral_range": portrange.ephemeral_range,
    "who_listens": lambda: portrange.who_listens(8080),
    "listeners": portrange.listeners,
    "why_busy": lambda: portrange.why_busy(8080),
    "ephemeral_usage": portrange.ephemeral_usage,
}


def refusals() -> None:
    """UnsupportedPlatformError from every query about sockets and ephemeral ranges"""
    for name, ask in QUERIES.items():
        error = probing.refusal(portrange.UnsupportedPlatformError, ask)
        assert isinstance(error, NotImplementedError), name
        assert "emscripten" in str(error), f"{name}: {error}"


def nothing_claimed() -> None:
    """classify reports unknown facts of this system with reasons"""
    info = portrange.classify(60860)
    assert (info.ephemeral, info.reserved, info.excluded, info.privileged) == (None, None, None, None), info
    assert any("emscripten" in reason for reason in info.settings.incomplete), info.settings.incomplete


if __name__ == "__main__":
    probing.run(refusals, nothing_claimed)

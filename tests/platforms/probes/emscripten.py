"""A Python that has no machine of its own below it: what cannot be known is refused in one clear sentence."""

from __future__ import annotations

from collections.abc import Callable

import probing

import portrange

QUESTIONS: dict[str, Callable[[], object]] = {
    "ephemeral_range": portrange.ephemeral_range,
    "who_listens": lambda: portrange.who_listens(8080),
    "listeners": portrange.listeners,
    "why_busy": lambda: portrange.why_busy(8080),
    "ephemeral_usage": portrange.ephemeral_usage,
}


def refusals() -> None:
    """UnsupportedPlatformError from every question about sockets and pools"""
    for name, ask in QUESTIONS.items():
        error = probing.refusal(portrange.UnsupportedPlatformError, ask)
        assert isinstance(error, NotImplementedError), name
        assert "emscripten" in str(error), f"{name}: {error}"


def nothing_claimed() -> None:
    """classify claims nothing about this system and says why"""
    info = portrange.classify(60860)
    assert (info.ephemeral, info.reserved, info.excluded, info.privileged) == (None, None, None, None), info
    assert any("emscripten" in reason for reason in info.settings.incomplete), info.settings.incomplete


if __name__ == "__main__":
    probing.run(refusals, nothing_claimed)

"""Checks for every system: registry facts, clear errors, records that can be serialized and printed."""

from __future__ import annotations

import hashlib
import json
import pickle
from functools import partial

import probing

import portrange


def iana_facts() -> None:
    """classify: bands and registered services"""
    for port, band, assignment in (
        (0, "SYSTEM", "RESERVED"),
        (443, "SYSTEM", "ASSIGNED"),
        (1023, "SYSTEM", "RESERVED"),
        (1024, "USER", "RESERVED"),
        (5432, "USER", "ASSIGNED"),
        (49152, "DYNAMIC", "DYNAMIC"),
        (65535, "DYNAMIC", "DYNAMIC"),
    ):
        info = portrange.classify(port)
        assert (info.band.name, info.assignment.name) == (band, assignment), info
    assert portrange.classify(443).name == "https"
    assert any(service.first == 5432 for service in portrange.services("postgresql"))


def unknown_is_none() -> None:
    """facts of this system are True, False or None"""
    info = portrange.classify(60860)
    for fact in (info.ephemeral, info.reserved, info.excluded, info.privileged):
        assert fact in (True, False, None)
    settings = info.settings
    assert settings.pools is not None or settings.incomplete, "the ephemeral range is unknown without a reason"


def texts() -> None:
    """explain, pickle, JSON and HTML"""
    info = portrange.classify(60860)
    assert "60860" in info.explain().splitlines()[0]
    assert "60860" in str(info)
    assert pickle.loads(pickle.dumps(info)) == info
    assert json.loads(json.dumps(info.to_dict()))["number"] == 60860
    assert "<" in info._repr_html_()


def clear_errors() -> None:
    """invalid input raises a one-line error"""
    for wrong, kind in ((65536, portrange.InvalidPortError), (-1, portrange.InvalidPortError), ("80", TypeError)):
        probing.refusal(kind, partial(portrange.classify, wrong))


def same_everywhere() -> None:
    """suggest_port"""
    port = portrange.suggest_port("my-service")
    assert 1024 <= port <= 65535, port
    assert port == portrange.suggest_port("my-service")
    probing.value('suggest_port("my-service")', port)
    # Suggestions must not depend on the ephemeral range, which differs between systems.
    names = [f"service-{number}" for number in range(50)]
    probing.value("sum of the suggestions for 50 names", sum(map(portrange.suggest_port, names)))


def same_registry() -> None:
    """registry facts of all 65,536 ports"""
    everything = hashlib.sha256()
    host = portrange.Host().snapshot()
    for port in range(65536):
        info = portrange.classify(port, host=host)
        everything.update(f"{port} {info.assignment} {info.services} {info.ephemeral_by_default_on}\n".encode())
    probing.value("digest of the registry facts of all ports", everything.hexdigest()[:16])


CHECKS = [iana_facts, unknown_is_none, texts, clear_errors, same_registry]
if hasattr(portrange, "suggest_port"):
    CHECKS.append(same_everywhere)

if __name__ == "__main__":
    probing.run(*CHECKS)

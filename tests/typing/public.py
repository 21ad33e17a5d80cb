"""Public names as type checkers see them. Never run: mypy and pyright check it (see test_typing.py).

The second half is misuse that both checkers must report: an ignore comment is itself an error if its line has none.
"""

from __future__ import annotations

import subprocess
from typing import Any, Literal

import numpy as np
from typing_extensions import assert_type

import portrange

# --- queries and results -------------------------------------------------------------------------------------------

assert_type(portrange.classify(443), portrange.PortInfo)
assert_type(portrange.classify(np.uint16(443)), portrange.PortInfo)
assert_type(portrange.ephemeral_range(protocol="udp", family="ipv6"), portrange.EphemeralRange)
assert_type(portrange.who_listens(443, protocol="tcp", exhaustive=True), portrange.Listeners)
assert_type(portrange.listeners(namespaces="all"), portrange.Listeners)
assert_type(portrange.listeners(process=subprocess.Popen(["server"])), portrange.Listeners)
assert_type(portrange.who_uses(443, remote=("192.0.2.1", 443)), portrange.Sockets)
assert_type(portrange.who_uses(443)[0].state == "time-wait", bool)
assert_type(portrange.wait_for_listener(subprocess.Popen(["server"]), 443, timeout=5), portrange.Listeners)
assert_type(portrange.NotListeningError("", "ended").reason, Literal["timeout", "ended", "taken"])
assert_type(portrange.who_answers(443, "127.0.0.1", protocol="udp"), portrange.Answers)
assert_type(portrange.who_answers(443)[0].listeners, tuple[portrange.Listener, ...])
assert_type(portrange.who_answers(443).contested, bool)
assert_type(portrange.why_busy(443, address="127.0.0.1"), portrange.Obstacles)
assert_type(portrange.ephemeral_usage(protocol="udp"), portrange.EphemeralUsage)
assert_type(portrange.services("https"), portrange.Services)
assert_type(portrange.suggest_port("my-service", avoid=[8080, (9000, 9099), range(3000, 3010), "freebsd"]), int)
date: str = portrange.REGISTRY_DATE

# --- a host --------------------------------------------------------------------------------------------------------

host = portrange.Host("/host/proc", backend="portable")
assert_type(host.snapshot(), portrange.Host)
assert_type([portrange.classify(port, host=host).safe for port in range(10)], list[bool])

# --- fields of the results -----------------------------------------------------------------------------------------

info = portrange.classify(443)
assert_type(info.band, portrange.Band)
assert_type(info.assignment, portrange.Assignment)
assert_type(info.services, tuple[portrange.Service, ...])
assert_type(info.unnamed, tuple[portrange.RegistryEntry, ...])
assert_type(info.ephemeral, bool | None)
assert_type(info.name, str | None)
assert_type(info.risks, tuple[portrange.Risk, ...])
assert_type(info.common_uses, tuple[portrange.CommonUse, ...])
assert_type(portrange.classify(443, targets=["linux"], host=portrange.Host()), portrange.PortInfo)
assert_type(info.settings, portrange.PortSettings)
assert_type(info.settings.reserved, tuple[portrange.Span, ...] | None)
assert_type(info.safe, bool)
assert_type(info.explain(), str)
assert_type(info.to_dict(), dict[str, Any])

ephemeral = portrange.ephemeral_range()
assert_type(len(ephemeral), int)
assert_type(443 in ephemeral, bool)
assert_type(list(ephemeral), list[int])
first, last = portrange.Span(1, 2)
assert_type(first, int)

found = portrange.listeners()
assert_type(found[0], portrange.Listener)
assert_type(found[1:], portrange.Listeners)
assert_type(found.where(user="root", process=1, protocol="tcp"), portrange.Listeners)
assert_type(portrange.why_busy(443)[0], portrange.Obstacle)
assert_type(portrange.services("https")[:1], portrange.Services)
assert_type(found.on(443), portrange.Listeners)
assert_type(found.to_dicts(), list[dict[str, Any]])
assert_type([listener.process for listener in found], list[str | None])
for listener in found:
    assert_type(listener.owners, tuple[portrange.Process, ...])
    assert_type(listener.dual_stack, bool | None)
    assert_type(listener.pid, int | None)

for obstacle in portrange.why_busy(443):
    assert_type(obstacle.socket, portrange.BoundSocket | None)

usage = portrange.ephemeral_usage()
assert_type(usage.pool, portrange.EphemeralRange)
assert_type(usage.destinations, tuple[portrange.Destination, ...])
assert_type(usage.addresses, tuple[portrange.LocalAddress, ...])
assert_type(usage.by_owner, tuple[portrange.SocketOwner, ...] | None)
assert_type(usage.states, tuple[tuple[str, int], ...])
assert_type(usage.share, float)

# --- errors --------------------------------------------------------------------------------------------------------

try:
    portrange.classify(443)
except portrange.InvalidPortError as error:
    as_value_error: ValueError = error
except portrange.ParseError as error:
    assert_type((error.source, error.text), tuple[str, str])
except portrange.SourceError as error:
    as_os_error: OSError = error
    assert_type(error.source, str)
except portrange.PortrangeError:
    pass

# --- misuse --------------------------------------------------------------------------------------------------------

portrange.classify("443")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
portrange.classify(443.0)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
portrange.classify(None)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
portrange.classify()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
portrange.classify(443, host)  # type: ignore[arg-type, call-arg]  # pyright: ignore[reportCallIssue]
portrange.who_listens(443, host="/host/proc")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
portrange.listeners("tcp")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
portrange.services(443)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
portrange.suggest_port("my-service", avoid=8080)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
portrange.suggest_port("my-service", avoid=[80.0])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]

unknown: bool = info.ephemeral  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
info.number = 80  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
info.owner = "me"  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
found[0] = found[0]  # type: ignore[index]  # pyright: ignore[reportIndexIssue]
del found[0]  # type: ignore[attr-defined]  # pyright: ignore[reportIndexIssue]
found[0].pid.bit_length()  # type: ignore[union-attr]  # pyright: ignore[reportOptionalMemberAccess]
portrange.Risk("privileged", "high")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]

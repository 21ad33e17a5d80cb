"""Read the ports that Docker Compose and Kubernetes publish on a host, from JSON.

The formats: https://github.com/compose-spec/compose-spec/blob/main/05-services.md#ports (long syntax, as printed by
``docker compose config --format json``), and the Kubernetes API: ContainerPort (hostPort, hostIP), ServicePort
(nodePort), as printed by ``kubectl get -o json``.
"""

from __future__ import annotations

from .._answers.address import WILDCARDS
from .._answers.span import parse_decimal
from .._frozen import Frozen
from .._lazy import import_lock
from .._render.strings import joined
from .inputs import STDIN, read_stdin

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

#: The most bytes of a document: the pods of a large cluster take less, and a device such as /dev/zero has no end.
_MOST_BYTES = 1 << 28
_COMMANDS = "docker compose config --format json (services with published) or kubectl get -o json (hostPort, nodePort)"


class Published(Frozen):
    """A port that a service or workload publishes on the host."""

    port: int
    """The port on the host."""
    origin: str
    """The service or workload, such as "web" or "Pod default/web"."""
    protocol: str
    """The protocol in lower case."""
    address: str = ""
    """The host address, empty for all addresses."""
    scope: str | None = ""
    """Ports of different scopes are on different hosts, or of different kinds; None if conflicts are not expected."""


def read_published(path: str) -> list[Published]:
    """Return the ports that a file publishes, in its order; ``-`` is standard input.

    Raises `ValueError` if it cannot be read, or is not in one of the two formats.
    """
    if path == STDIN:
        return parse_published(read_stdin(_MOST_BYTES + 1), "standard input")
    try:
        with open(path, "rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}") from error
    return parse_published(content, path)


def parse_published(content: bytes, source: str) -> list[Published]:
    """Return the ports that a JSON document publishes; *source* is for error messages.

    >>> parse_published(b'{"services": {"web": {"ports": [{"target": 80, "published": "8080"}]}}}', "an example")
    [Published(port=8080, origin='web', protocol='tcp', address='', scope='')]
    """
    with import_lock:
        import json

    if len(content) > _MOST_BYTES:
        raise ValueError(f"{source} has more than {_MOST_BYTES:,} bytes: use the output of {_COMMANDS}")
    try:
        document: Any = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{source} is not JSON ({error}): use the output of {_COMMANDS}") from error
    try:
        if _is_object(document):
            if _is_object(document.get("services")):
                return list(_of_compose(document["services"]))
            if "kind" in document and "apiVersion" in document:
                return list(_of_kubernetes(document))
    except _FormatError as error:
        raise ValueError(f"{source}: {error}") from error
    raise ValueError(f"{source} has neither services nor a kind with apiVersion: use the output of {_COMMANDS}")


def conflicts(published: Iterable[Published]) -> dict[int, list[str]]:
    """Return which ports are published more than once on the same host address, each with descriptions."""
    groups: dict[object, list[Published]] = {}
    for port in published:
        if port.scope is not None:
            groups.setdefault((port.scope, port.protocol, port.port), []).append(port)
    found: dict[int, list[str]] = {}
    for group in groups.values():
        clashing = [port for port in group if any(other is not port and _overlap(port, other) for other in group)]
        if clashing:
            found.setdefault(clashing[0].port, []).append(_conflict(clashing))
    return found


def _conflict(clashing: list[Published]) -> str:
    times = "twice" if len(clashing) == 2 else f"{len(clashing)} times"
    addresses = joined(dict.fromkeys(port.address or "all addresses" for port in clashing))
    origins = joined(dict.fromkeys(port.origin for port in clashing))
    return f"{clashing[0].protocol} published {times} on {addresses} by {origins}: change all but one of them"


def _overlap(port: Published, other: Published) -> bool:
    """Return whether the host addresses of two published ports are the same, or one includes the other."""
    if "" in (port.address, other.address) or port.address == other.address:
        return True
    is_same_family = (":" in port.address) == (":" in other.address)
    return is_same_family and not {port.address, other.address}.isdisjoint(WILDCARDS.values())


# Not by isinstance() in place: type checkers then regard the items as unknown, and no longer as JSON.


def _is_object(value: object) -> bool:
    return isinstance(value, dict)


def _is_array(value: object) -> bool:
    return isinstance(value, list)


class _FormatError(Exception):
    """A part of the document is not in the documented format."""


# --- Docker Compose --------------------------------------------------------------------------------------------------


def _of_compose(services: dict[str, Any]) -> Iterator[Published]:
    for name, service in services.items():
        entries: Any = service.get("ports") if _is_object(service) else None
        for entry in entries if _is_array(entries) else ():
            if not _is_object(entry):
                raise _FormatError(f"ports of {name} are in the short syntax; use the output of docker compose config")
            yield from _of_entry(name, entry)


def _of_entry(name: str, entry: dict[str, Any]) -> Iterator[Published]:
    text = str(entry.get("published") or "")
    protocol, address = str(entry.get("protocol") or "tcp").lower(), str(entry.get("host_ip") or "")
    first, dash, last = text.partition("-")
    numbers = [_number(f"{name}: published", item) for item in ((first, last) if dash else (first,) if text else ())]
    # Port 0, like none, lets the engine choose. It takes one port of a range, whichever is free.
    for port in range(numbers[0], numbers[-1] + 1) if numbers and numbers[0] else ():
        yield Published(port, name, protocol, address, None if dash else "")


# --- Kubernetes ------------------------------------------------------------------------------------------------------


def _of_kubernetes(document: dict[str, Any]) -> Iterator[Published]:
    items: Any = document.get("items")
    for item in items if _is_array(items) else [document]:
        if _is_object(item):
            yield from _of_item(item)


def _of_item(item: dict[str, Any]) -> Iterator[Published]:
    metadata = _mapping(item, "metadata")
    name = "/".join(str(metadata[key]) for key in ("namespace", "name") if metadata.get(key))
    origin = " ".join(filter(None, [str(item.get("kind") or ""), name]))
    node = _mapping(item, "spec").get("nodeName")
    has_ended = _mapping(item, "status").get("phase") in ("Succeeded", "Failed")
    # What a controller made has the ports of its template, which may be in the list as well.
    is_copy = bool(metadata.get("ownerReferences")) and not node
    for entry in _mappings(item):
        protocol = str(entry.get("protocol") or "TCP").lower()
        for key in ("hostPort", "nodePort"):
            port = _number(f"{origin}: {key}", entry[key]) if entry.get(key) else 0
            if port:
                scope = None if has_ended or is_copy else f"{key} {node or ''}"
                address = str(entry.get("hostIP") or "") if key == "hostPort" else ""
                yield Published(port, origin, protocol, address, scope)


def _mapping(item: dict[str, Any], key: str) -> dict[str, Any]:
    value: Any = item.get(key)
    return value if _is_object(value) else {}


def _mappings(item: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield all objects in a JSON object, in its order."""
    left: list[Any] = [item]
    while left:
        value = left.pop()
        if _is_object(value):
            yield value
            left += reversed(list(value.values()))
        elif _is_array(value):
            left += reversed(value)


def _number(subject: str, value: object) -> int:
    number = None if isinstance(value, bool) else parse_decimal(str(value))
    if number is None:
        raise _FormatError(f"{subject} is {str(value)[:40]!r}, which is not a port")
    return number

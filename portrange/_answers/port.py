"""What a port number is: to IANA, to this machine, and to somebody who wants to write it down."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum

from .pool import PortSettings
from .record import Record


class Band(str, Enum):
    """The three parts of the port number space, by the names and bounds of RFC 6335, section 6."""

    SYSTEM = "system"
    USER = "user"
    DYNAMIC = "dynamic"

    # Python 3.10 and 3.12 format members of mixed-in enums differently.
    __str__ = str.__str__
    __format__ = str.__format__

    @property
    def first(self) -> int:
        """The lowest port of the band."""
        return _BOUNDS[self][0]

    @property
    def last(self) -> int:
        """The highest port of the band."""
        return _BOUNDS[self][1]


_BOUNDS = {Band.SYSTEM: (0, 1023), Band.USER: (1024, 49151), Band.DYNAMIC: (49152, 65535)}


class Assignment(str, Enum):
    """What IANA has done with a port number (the states of RFC 6335, section 6)."""

    ASSIGNED = "assigned"
    UNASSIGNED = "unassigned"
    RESERVED = "reserved"
    DYNAMIC = "dynamic"

    __str__ = str.__str__
    __format__ = str.__format__


@dataclass(frozen=True, slots=True)
class Service(Record):
    """One name in IANA's registry, with the ports and transports it is registered for.

    `protocols` stand in the order tcp, udp, sctp, dccp, and are empty where the registry names none. `first` and
    `last` differ only for ranges such as x11. `note` repeats what the registry says of unauthorized use.
    This is what somebody registered, not what is running.
    """

    name: str
    protocols: tuple[str, ...]
    description: str
    first: int
    last: int
    note: str = ""

    def __str__(self) -> str:
        return f"{self.name} ({', '.join(self.protocols)})" if self.protocols else self.name


@dataclass(frozen=True, slots=True)
class RegistryEntry(Record):
    """What IANA's registry says of a port or range without naming a service.

    Most are "Reserved" or "Unassigned", often for one transport while another is assigned. A few ports are assigned
    without a name ("any private mail system"), and a few were taken back ("De-registered"): `description` repeats the
    registry's own words, `note` its remarks. `protocols` are empty where it names no transport.
    """

    assignment: Assignment
    protocols: tuple[str, ...]
    description: str
    first: int
    last: int
    note: str = ""

    def __str__(self) -> str:
        return f"{self.description} ({', '.join(self.protocols)})" if self.protocols else self.description


#: The kinds of `Risk` by severity, each in the order of its docstring.
RISK_KINDS = {
    "high": ("excluded", "host-range", "privileged", "reserved", "dynamic-band", "default-range"),
    "low": ("registered", "browser", "restricted", "other-range", "unknown"),
}


@dataclass(frozen=True, slots=True)
class Risk(Record):
    """One reason why a program should not rely on a fixed port number.

    `severity` is "high" where it will fail some day, "low" where it is worth knowing. `detail` is one sentence
    that says what to do. `kind` is one of

    - high: "excluded" (this host refuses to bind it), "host-range" (this host hands it out), "privileged" (here),
      "reserved" (by IANA), "dynamic-band" (IANA's, for temporary use), "default-range" (of Linux, macOS or Windows);
    - low: "registered" (to a service), "browser" (browsers refuse it), "restricted" (macOS does), "other-range" (of
      another system), "unknown" (this host did not tell everything).
    """

    kind: str
    severity: str
    detail: str

    def __str__(self) -> str:
        return f"{self.severity}: {self.detail}"


@dataclass(frozen=True, slots=True)
class PortInfo(Record):
    """The answer of `classify`: everything that is known about a port number without looking at sockets.

    `ephemeral`, `reserved`, `excluded` and `privileged` speak of the host that was asked, and are None where it did
    not tell; `settings` holds what they were derived from, with the sources. `services` is IANA's registry, in its
    order. `risks` are the reasons against writing the number into a configuration, worst first.
    """

    _derived = ("name", "safe")
    _inner = frozenset({"settings"})

    number: int
    band: Band
    assignment: Assignment
    services: tuple[Service, ...]
    unnamed: tuple[RegistryEntry, ...]
    ephemeral: bool | None
    reserved: bool | None
    excluded: bool | None
    privileged: bool | None
    ephemeral_by_default_on: tuple[str, ...]
    risks: tuple[Risk, ...]
    settings: PortSettings = field(repr=False)

    @property
    def name(self) -> str | None:
        """The primary service name in IANA's registry, or None."""
        return self.services[0].name if self.services else None

    @property
    def safe(self) -> bool:
        """Whether nothing speaks strongly against a fixed use: no risk is "high"."""
        return not any(risk.severity == "high" for risk in self.risks)

    def explain(self) -> str:
        """A short page in plain words: what IANA says, what this host does with the port, whether to rely on it."""
        from .._render import text
        from .explain import port_page

        return text.page(self._title(), port_page(self))

    def __str__(self) -> str:
        from .explain import port_line

        return port_line(self)

    def _title(self) -> str:
        return f"Port {self.number}"

    def _shown(self) -> Iterable[tuple[str, object]]:
        from .explain import port_page

        return port_page(self).items()

    def _picture(self) -> str:
        from .picture import port_picture

        return port_picture(self)

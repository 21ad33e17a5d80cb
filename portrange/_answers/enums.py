"""The enumerations of results: parts of the port number space, and states in IANA's registry (RFC 6335, section 6).

They are loaded when a field is read: `enum` and its imports would take a fifth of the time of a cold `classify`.
"""

from __future__ import annotations

from enum import Enum

from .ephemeral import BAND_BOUNDS


class Band(str, Enum):
    """A part of the port number space, with the name and bounds of RFC 6335, section 6."""

    SYSTEM = "system"
    """Ports 0 to 1023, also called well-known ports."""
    USER = "user"
    """Ports 1024 to 49151, also called registered ports."""
    DYNAMIC = "dynamic"
    """Ports 49152 to 65535, for temporary use."""

    # Python 3.10 and 3.12 format members of mixed-in enums differently.
    __str__ = str.__str__
    __format__ = str.__format__  # type: ignore[assignment]  # Enum's parameter has another name

    @property
    def first(self) -> int:
        """The lowest port of the band."""
        return BAND_BOUNDS[self.value][0]

    @property
    def last(self) -> int:
        """The highest port of the band."""
        return BAND_BOUNDS[self.value][1]


class Assignment(str, Enum):
    """The state of a port number in IANA's registry (RFC 6335, section 6)."""

    ASSIGNED = "assigned"
    """Assigned, nearly always to a service."""
    UNASSIGNED = "unassigned"
    """Available for assignment."""
    RESERVED = "reserved"
    """Reserved by IANA and not available for assignment."""
    DYNAMIC = "dynamic"
    """In the dynamic band, which is never assigned."""

    __str__ = str.__str__
    __format__ = str.__format__  # type: ignore[assignment]  # Enum's parameter has another name

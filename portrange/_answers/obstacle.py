"""Why a port cannot be bound."""

from __future__ import annotations

from dataclasses import dataclass

from .listener import BoundSocket
from .record import Record


@dataclass(frozen=True, slots=True)
class Obstacle(Record):
    """One reason why binding a port fails, or one fact to know before doing it.

    - `kind`: "listener", "bound" (a socket has the address and does not listen), "connection" (a client's or an
      accepted connection's own port), "time-wait", "privileged", "excluded" (by the system, from everybody), "refused"
      (by a security policy), "address" (not one of this machine's), "exhausted" (asked for any port, there is none
      left), "hidden" (in use, and the system shows nobody); "reserved" is only worth knowing.
    - `detail`: one sentence that says what it is and what to do.
    - `blocks`: whether binding fails because of it; false for what is only worth knowing.
    - `socket`: the socket behind it, the first of `count` alike.
    """

    kind: str
    detail: str
    blocks: bool = True
    socket: BoundSocket | None = None
    count: int = 0

    def __str__(self) -> str:
        return f"{self.kind}: {self.detail}"

"""Errors: one base class; each also subclasses the built-in error that callers expect."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Literal, TypeAlias

    NotListeningReason: TypeAlias = Literal["timeout", "ended", "taken"]


class PortrangeError(Exception):
    """Base class of all portrange errors."""


class InvalidPortError(PortrangeError, ValueError):
    """The number is not a port: ports are 16-bit numbers, 0 to 65535 (RFC 9293, RFC 768)."""


class UnsupportedPlatformError(PortrangeError, NotImplementedError):
    """The query is not supported on this operating system."""


class SourceError(PortrangeError, OSError):
    """A source of the operating system could not be read."""

    source: str
    """The file, command or system call that failed."""
    reason: str
    """Why it failed, and what to do about it."""
    errno: int | None
    """The system's error number, None if there is none."""

    def __init__(self, source: str, reason: str, errno: int | None = None) -> None:
        super().__init__(f"{source}: {reason}")
        self.source = source
        self.reason = reason
        self.errno = errno

    def __str__(self) -> str:
        return f"{self.source}: {self.reason}"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.source, self.reason, self.errno)

    @classmethod
    def from_os_error(cls, source: str, error: OSError) -> SourceError:
        """Return the same failure as a `SourceError` that names *source*."""
        return cls(source, error.strerror or str(error) or type(error).__name__, error.errno)


class ParseError(PortrangeError, ValueError):
    """The contents of a source are not in the documented format."""

    source: str
    """The file, command or system call."""
    expected: str
    """The documented format."""
    text: str
    """The first 120 characters of the contents."""

    _SHOWN = 120

    def __init__(self, source: str, expected: str, text: str) -> None:
        self.source = source
        self.expected = expected
        self.text = text[: self._SHOWN]
        super().__init__(f"{source}: expected {expected}, found {self.text!r}")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.source, self.expected, self.text)


class NotListeningError(PortrangeError, TimeoutError):
    """A process does not listen, see `wait_for_listener`."""

    reason: NotListeningReason
    """Why: "timeout" (it does not listen yet), "ended" (the process has ended) or "taken" (another program has the
    port)."""

    def __init__(self, message: str, reason: NotListeningReason) -> None:
        super().__init__(message)
        self.reason = reason

    def __str__(self) -> str:
        return str(self.args[0])

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.args[0], self.reason)

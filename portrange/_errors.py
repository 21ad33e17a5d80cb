"""What can go wrong: one base class, each error also the builtin that callers would expect."""

from __future__ import annotations

from typing import Any


class PortrangeError(Exception):
    """The base of every error that this library raises on purpose."""


class InvalidPortError(PortrangeError, ValueError):
    """The number is not a port: ports are 16-bit numbers, 0 to 65535 (RFC 9293, RFC 768)."""


class UnsupportedPlatformError(PortrangeError, NotImplementedError):
    """This operating system offers no known way to answer the question."""


class SourceError(PortrangeError, OSError):
    """A source of the operating system could not be read.

    `source` names it: a file, a command, a system call. `errno` is the system's error number where there is one.
    """

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
        """The same failure, with the source named."""
        return cls(source, error.strerror or str(error) or type(error).__name__, error.errno)


class ParseError(PortrangeError, ValueError):
    """A source was read, but what stands there is not what is documented.

    `source` names it, `text` is what was found (shortened to its beginning).
    """

    _SHOWN = 120

    def __init__(self, source: str, expected: str, text: str) -> None:
        self.source = source
        self.expected = expected
        self.text: str = text[: self._SHOWN]
        super().__init__(f"{source}: expected {expected}, found {self.text!r}")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.source, self.expected, self.text)

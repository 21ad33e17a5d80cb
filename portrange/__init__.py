"""The truth about a port number on this machine.

What it is (`classify`), which ports the operating system hands out by itself (`ephemeral_range`), and who listens
(`who_listens`, `listeners`). Importing this package reads nothing of the system.
"""

from ._answers.listener import Listener, Listeners, Process
from ._answers.pool import EphemeralRange, PortSettings
from ._answers.port import Assignment, Band, PortInfo, Risk, Service
from ._answers.span import Span
from ._errors import InvalidPortError, ParseError, PortrangeError, SourceError, UnsupportedPlatformError
from ._host import Host
from ._questions.classify import classify
from ._questions.ephemeral import ephemeral_range
from ._questions.listen import listeners, who_listens

__version__ = "0.1.0"

__all__ = [
    "Assignment",
    "Band",
    "EphemeralRange",
    "Host",
    "InvalidPortError",
    "Listener",
    "Listeners",
    "ParseError",
    "PortInfo",
    "PortSettings",
    "PortrangeError",
    "Process",
    "Risk",
    "Service",
    "SourceError",
    "Span",
    "UnsupportedPlatformError",
    "__version__",
    "classify",
    "ephemeral_range",
    "listeners",
    "who_listens",
]


def __dir__() -> list[str]:
    return __all__

"""The truth about a port number on this machine.

What it is (`classify`), which ports the operating system hands out by itself (`ephemeral_range`), and who listens
(`who_listens`, `listeners`). Then: why a port cannot be bound (`why_busy`), whether the pool is running out
(`ephemeral_usage`), which port to write down (`suggest_port`), and what is registered under a name (`services`).
Importing this package reads nothing of the system.
"""

from ._answers.listener import BoundSocket, Listener, Listeners, Process, Socket
from ._answers.obstacle import Obstacle
from ._answers.pool import EphemeralRange, PortSettings
from ._answers.port import Assignment, Band, PortInfo, RegistryEntry, Risk, Service
from ._answers.span import Span
from ._answers.usage import Destination, EphemeralUsage, LocalAddress
from ._errors import InvalidPortError, ParseError, PortrangeError, SourceError, UnsupportedPlatformError
from ._host import Host
from ._questions.busy import why_busy
from ._questions.classify import classify
from ._questions.ephemeral import ephemeral_range
from ._questions.listen import listeners, who_listens
from ._questions.services import services
from ._questions.suggest import suggest_port
from ._questions.usage import ephemeral_usage
from ._registry.date import REGISTRY_DATE

__version__ = "0.1.0"

__all__ = [  # noqa: RUF022 - plainly sorted, so that a test can tell
    "Assignment",
    "Band",
    "BoundSocket",
    "Destination",
    "EphemeralRange",
    "EphemeralUsage",
    "Host",
    "InvalidPortError",
    "Listener",
    "Listeners",
    "LocalAddress",
    "Obstacle",
    "ParseError",
    "PortInfo",
    "PortSettings",
    "PortrangeError",
    "Process",
    "REGISTRY_DATE",
    "RegistryEntry",
    "Risk",
    "Service",
    "Socket",
    "SourceError",
    "Span",
    "UnsupportedPlatformError",
    "__version__",
    "classify",
    "ephemeral_range",
    "ephemeral_usage",
    "listeners",
    "services",
    "suggest_port",
    "who_listens",
    "why_busy",
]


def __dir__() -> list[str]:
    return __all__

"""Inspect port numbers on this machine: registration, ephemeral range, listeners.

`classify` returns what a port number is, `ephemeral_range` the ports that the operating system allocates automatically,
`who_listens` and `listeners` the sockets that listen and their owners. `why_busy` finds out why a port cannot be bound,
`ephemeral_usage` whether the ephemeral ports are running out, `suggest_port` a number for a configuration file, and
`services` the registrations of a name. `who_answers` returns the server that a connection reaches, and `who_uses` all
sockets at a port; `wait_for_listener` waits until a process listens. Names are loaded when they are first used
(PEP 562).
"""

from __future__ import annotations

from ._lazy import import_lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._answers.answer import Answer, Answers
    from ._answers.enums import Assignment, Band
    from ._answers.ephemeral import EphemeralRange, PortSettings
    from ._answers.listener import BoundSocket, Listener, Listeners, Obstacle, Obstacles, Process, Socket, Sockets
    from ._answers.port import CommonUse, PortInfo, RegistryEntry, Risk, Service
    from ._answers.services import Services
    from ._answers.span import Span
    from ._answers.usage import Destination, EphemeralUsage, LocalAddress, SocketOwner
    from ._errors import (
        InvalidPortError,
        NotListeningError,
        ParseError,
        PortrangeError,
        SourceError,
        UnsupportedPlatformError,
    )
    from ._host.host import Host
    from ._questions.busy import why_busy
    from ._questions.classify import classify
    from ._questions.ephemeral import ephemeral_range, ephemeral_usage
    from ._questions.listen import listeners, who_listens
    from ._questions.reach import who_answers
    from ._questions.services import services
    from ._questions.suggest import suggest_port
    from ._questions.uses import who_uses
    from ._questions.wait import wait_for_listener
    from ._registry import REGISTRY_DATE
else:
    _MODULES = {
        "_answers.answer": ("Answer", "Answers"),
        "_answers.enums": ("Assignment", "Band"),
        "_answers.ephemeral": ("EphemeralRange", "PortSettings"),
        "_answers.listener": (
            "BoundSocket",
            "Listener",
            "Listeners",
            "Obstacle",
            "Obstacles",
            "Process",
            "Socket",
            "Sockets",
        ),
        "_answers.port": ("CommonUse", "PortInfo", "RegistryEntry", "Risk", "Service"),
        "_answers.services": ("Services",),
        "_answers.span": ("Span",),
        "_answers.usage": ("Destination", "EphemeralUsage", "LocalAddress", "SocketOwner"),
        "_errors": (
            "InvalidPortError",
            "NotListeningError",
            "ParseError",
            "PortrangeError",
            "SourceError",
            "UnsupportedPlatformError",
        ),
        "_host.host": ("Host",),
        "_questions.busy": ("why_busy",),
        "_questions.classify": ("classify",),
        "_questions.ephemeral": ("ephemeral_range", "ephemeral_usage"),
        "_questions.listen": ("listeners", "who_listens"),
        "_questions.reach": ("who_answers",),
        "_questions.services": ("services",),
        "_questions.suggest": ("suggest_port",),
        "_questions.uses": ("who_uses",),
        "_questions.wait": ("wait_for_listener",),
        "_registry": ("REGISTRY_DATE",),
    }

    def __getattr__(name):  # noqa: ANN001, ANN202 - hidden from type checkers, which reject unknown names then
        module = next((module for module, names in _MODULES.items() if name in names), None)
        if module is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        with import_lock:
            # What importlib.import_module() calls, without importing importlib.
            value = getattr(__import__(f"{__name__}.{module}", fromlist=(name,)), name)
        globals()[name] = value  # from now on an ordinary attribute
        return value


__version__ = "0.1.0"

__all__ = [  # noqa: RUF022 - plainly sorted, so that a test can check it
    "Answer",
    "Answers",
    "Assignment",
    "Band",
    "BoundSocket",
    "CommonUse",
    "Destination",
    "EphemeralRange",
    "EphemeralUsage",
    "Host",
    "InvalidPortError",
    "Listener",
    "Listeners",
    "LocalAddress",
    "NotListeningError",
    "Obstacle",
    "Obstacles",
    "ParseError",
    "PortInfo",
    "PortSettings",
    "PortrangeError",
    "Process",
    "REGISTRY_DATE",
    "RegistryEntry",
    "Risk",
    "Service",
    "Services",
    "Socket",
    "SocketOwner",
    "Sockets",
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
    "wait_for_listener",
    "who_answers",
    "who_listens",
    "who_uses",
    "why_busy",
]


def __dir__() -> list[str]:
    return __all__

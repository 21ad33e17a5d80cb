"""The page of a port: what it is, how this machine treats it, and who listens."""

from __future__ import annotations

from .._answers.explain import port_page
from .._answers.listener import Listener, Listeners
from .._answers.port import PortInfo
from .._render import text
from .._render.look import Look

#: How much of a command line is shown; --json has all of it.
_COMMAND_LINE = 200
_LAST = "Fixed use"


def full_page(info: PortInfo, found: Listeners, look: Look) -> str:
    """The page; whether to rely on the port comes last."""
    entries = port_page(info)
    verdict = entries.pop(_LAST)
    return text.page(f"Port {info.number}", {**entries, "Listening": _listening(found), _LAST: verdict}, look)


def _listening(found: Listeners) -> list[str]:
    """Who listens, a line a socket, with the command line of each owner below it."""
    lines = [line for one in found for line in _socket(one)]
    lines += [f"not looked at: {gap}" for gap in found.gaps]
    return lines or ["nobody"]


def _socket(one: Listener) -> list[str]:
    context = [one.unit or one.container or "", f"user {one.user or one.uid}" if one.user or one.uid else ""]
    lines = [", ".join(filter(None, [f"{one.protocol} {one.endpoint}   {one.holder}", *context]))]
    commands = [(owner.pid, " ".join(owner.cmdline)) for owner in one.owners if owner.cmdline]
    return lines + [f"  {pid}: {text.shorten(command, _COMMAND_LINE)}" for pid, command in commands]

"""The page of a port: what it is, how this machine treats it, and who listens."""

from __future__ import annotations

from itertools import groupby

from .._answers.explain import port_page
from .._answers.listener import Listener, Listeners, Process
from .._answers.port import PortInfo
from .._errors import PortrangeError
from .._host import Host
from .._questions.listen import who_listens
from .._render import text
from .._render.look import Look

#: How much of a command line is shown; --json has all of it.
_COMMAND_LINE = 200
_LAST = "Fixed use"


def listening(
    number: int, host: Host, *, protocol: str | None = None, exhaustive: bool = False
) -> tuple[Listeners | None, PortrangeError | None]:
    """Who listens on a port, or why nobody can tell: what an answer says besides holds in any case."""
    try:
        return who_listens(number, protocol=protocol, exhaustive=exhaustive, host=host), None
    except PortrangeError as error:
        return None, error


def full_page(info: PortInfo, found: Listeners | None, look: Look) -> str:
    """The page; whether to rely on the port comes last."""
    entries = port_page(info)
    verdict = entries.pop(_LAST)
    listeners = ["unknown"] if found is None else described_listeners(found) or ["nobody"]
    return text.page(f"Port {info.number}", {**entries, "Listening": listeners, _LAST: verdict}, look)


def described_listeners(found: Listeners) -> list[str]:
    """A line a socket, with the command lines of its owners below it; once where sockets share them."""
    lines: list[str] = []
    for owners, sockets in groupby(found, key=lambda one: one.owners):
        lines += [*map(_socket, sockets), *_commands(owners)]
    lines += [f"not looked at: {gap}" for gap in found.incomplete]
    return lines


def _socket(one: Listener) -> str:
    place = f"{one.protocol} {one.endpoint}{' and IPv4' if one.dual_stack else ''}"
    user = one.user or one.uid
    context = [one.unit or one.container or "", "" if user is None else f"user {user}"]
    return ", ".join(filter(None, [f"{place}   {one.holder}", *context]))


def _commands(owners: tuple[Process, ...]) -> list[str]:
    """The workers of a server mostly have the same command line: it is shown once, with all of their pids."""
    pids: dict[str, list[int]] = {}
    for owner in owners:
        if owner.cmdline:
            pids.setdefault(" ".join(owner.cmdline), []).append(owner.pid)
    return [
        f"  {', '.join(map(str, same))}: {text.shorten(text.visible(command[: _COMMAND_LINE + 1]), _COMMAND_LINE)}"
        for command, same in pids.items()
    ]

"""Programs that hold a port for somebody else: ending them does not help, or ends far more than was meant."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .._answers.listener import Process

_CONTAINER = "it publishes a port of a container: stop that container ({command} names it) or take another port"

#: By the name of the process, without .exe. A name is what a process says of itself: it only chooses the advice.
_ADVICE = {
    "docker-proxy": _CONTAINER.format(command="docker ps"),
    "com.docker.backend": _CONTAINER.format(command="docker ps"),
    "rootlesskit": _CONTAINER.format(command="docker ps"),
    "rootlessport": _CONTAINER.format(command="podman ps"),
    "wslrelay": "it stands for a program inside of WSL: end that one or take another port",
    "ControlCenter": "it is the AirPlay receiver of macOS: switch that off (AirDrop & Handoff) or take another port",
}
#: By number and name.
_ADVICE_BY_PID = {
    # See systemd.socket(5) and launchd.plist(5).
    (1, "systemd"): "it waits to start a service: stop its socket unit (systemctl list-sockets) or take another port",
    (1, "launchd"): "it waits to start a service: unload its job (launchctl list) or take another port",
    # The kernel of Windows: http.sys listens for IIS, WinRM and others, srv2.sys and netbt.sys for shared files.
    (4, "System"): (
        "Windows itself listens: its file server (ports 139 and 445), or http.sys for another program, which "
        "netsh http show servicestate names"
    ),
}


def advice(holder: Process) -> str | None:
    """What to do about a port that this process holds for somebody else; None where nothing of the kind is known."""
    name = (holder.name or "").removesuffix(".exe")
    return _ADVICE_BY_PID.get((holder.pid, name)) or _ADVICE.get(name)

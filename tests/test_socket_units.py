"""Advice about ports that systemd or launchd keeps for services, and the text of units of users."""

from __future__ import annotations

from typing import Any

import pytest

from portrange import BoundSocket, PortSettings, Process
from portrange._questions import obstacles

PID_1 = Process(1, "systemd")
OF_USER = Process(170, "systemd")
SERVER = Process(77, "sshd")
SOCKET = "/system.slice/ssh.socket"
USER = "/user.slice/user-7.slice/user@7.service"


def detail(**fields: Any) -> str:
    """The message about a listener with these fields."""
    unit = str(fields.get("cgroup", "")).rpartition("/")[2].replace(r"\x2d", "-") or None
    fields = {"unit": unit, **fields}
    listener = BoundSocket("tcp", "ipv6", "::", 22, state="listen", **fields)
    [obstacle] = obstacles.of_sockets([listener], PortSettings("linux"))
    return obstacle.detail


ADVICE: dict[str, tuple[dict[str, Any], str]] = {
    "waiting": ({"owners": (PID_1,), "scope": "service", "cgroup": SOCKET}, "systemctl stop ssh.socket"),
    "started": (
        {"owners": (PID_1, SERVER), "scope": "service", "cgroup": SOCKET},
        "systemctl stop ssh.socket ssh.service",
    ),
    "service of another name": (
        {"owners": (PID_1, SERVER), "scope": "host", "cgroup": SOCKET},
        "systemctl stop ssh.socket and the service that it starts (systemctl list-sockets)",
    ),
    "hidden, started": (
        {"hidden": True, "possible_owners": (PID_1, SERVER), "cgroup": SOCKET},
        "systemctl stop ssh.socket ssh.service",
    ),
    "hidden, waiting or a service of another name": (
        {"hidden": True, "possible_owners": (PID_1,), "cgroup": SOCKET},
        "systemctl stop ssh.socket and the service that it starts (systemctl list-sockets)",
    ),
    "escaped": (
        {"owners": (PID_1, SERVER), "scope": "service", "cgroup": r"/system.slice/a\x2db.socket"},
        r"systemctl stop 'a\x2db.socket' 'a\x2db.service'",
    ),
    "name that a shell interprets": (
        {"owners": (PID_1,), "scope": "service", "cgroup": f"{USER}/a;reboot.socket"},
        "stop its socket unit and the service (as 7, systemctl --user list-sockets)",
    ),
    "name that is an option": (
        {"owners": (PID_1,), "scope": "service", "cgroup": "/system.slice/--all.socket"},
        "stop its socket unit and the service (systemctl list-sockets)",
    ),
    "name that begins like that of a controller": (
        {"owners": (PID_1,), "scope": "service", "cgroup": "/system.slice/_cpu.socket", "unit": "cpu.socket"},
        "systemctl stop cpu.socket",
    ),
    "unknown cgroup": (
        {"owners": (PID_1,), "unit": "ssh.socket"},
        "stop its socket unit and the service (systemctl list-sockets)",
    ),
    "unknown unit": ({"owners": (PID_1,)}, "stop its socket unit and the service (systemctl list-sockets)"),
    "unit of the owner": (
        {"owners": (PID_1, SERVER), "cgroup": "/system.slice/ssh.service"},
        "stop its socket unit and the service (systemctl list-sockets)",
    ),
    "user": (
        {"owners": (OF_USER, SERVER), "cgroup": f"{USER}/a.service", "user_unit": True, "uid": 7, "user": "alice"},
        "stop its socket unit and the service (as alice, systemctl --user list-sockets)",
    ),
    "user, waiting": (
        {"owners": (OF_USER,), "cgroup": f"{USER}/init.scope", "unit": None},
        "stop its socket unit and the service (as 7, systemctl --user list-sockets)",
    ),
    "user, unknown unit": (
        {"owners": (Process(170, "systemd", ("/lib/systemd/systemd", "--user"), user="alice"),)},
        "stop its socket unit and the service (as alice, systemctl --user list-sockets)",
    ),
}


@pytest.mark.parametrize(("fields", "remedy"), ADVICE.values(), ids=ADVICE.keys())
def test_advice_for_a_socket_unit_names_the_units_to_stop(fields: dict[str, Any], remedy: str):
    assert detail(**fields).partition(": ")[2] == f"systemd keeps it for a service; {remedy}, or use another port"


LAUNCHD = Process(1, "launchd")


@pytest.mark.parametrize(
    "fields",
    [
        {"owners": (LAUNCHD,)},
        {"owners": (Process(410, "cupsd"), LAUNCHD)},
        {"hidden": True, "possible_owners": (LAUNCHD,)},
    ],
    ids=["waiting", "started", "hidden"],
)
def test_advice_for_a_socket_of_launchd_is_to_unload_the_job(fields: dict[str, Any]):
    text = detail(**fields).partition(": ")[2]
    assert text == "launchd keeps it for a service; unload its job (launchctl list) or use another port"


@pytest.mark.parametrize("manager", [PID_1, LAUNCHD])
def test_advice_for_a_connection_to_a_socket_of_a_service_manager_does_not_stop_the_manager(manager: Process):
    listener = BoundSocket("tcp", "ipv6", "::", 22, state="listen", owners=(manager, SERVER))
    connection = BoundSocket("tcp", "ipv6", "::1", 22, state="established", remote_port=9, owners=(SERVER,))
    text = [found.detail for found in obstacles.of_sockets([listener, connection], PortSettings("linux"))][1]
    assert f"made to the listener; {manager.name} keeps it for a service; " in text
    assert "stop them" not in text


def test_advice_for_another_owner_is_to_stop_the_program():
    text = detail(owners=(SERVER,), cgroup="/system.slice/ssh.service")
    assert text.endswith(": stop it or use another port")


def test_advice_for_owners_of_different_names_is_to_stop_them_all():
    text = detail(owners=(SERVER, Process(78, "helper")), cgroup="/system.slice/ssh.service")
    assert text.endswith("sshd (pid 77), helper (pid 78), ssh.service: stop them or use another port")


def test_advice_for_a_hidden_owner_is_to_find_it_first():
    text = detail(hidden=True, uid=0, user="root")
    assert text.endswith(
        " in use, owner hidden, user root: run as root or administrator to see the owner, or use another port"
    )
    assert ": stop it or" in detail(hidden=True, possible_owners=(SERVER,))


def test_unit_of_a_user_is_marked_in_the_message():
    text = detail(owners=(SERVER,), cgroup=f"{USER}/web.service", user_unit=True, uid=7, user="alice")
    assert "sshd (pid 77, web.service (user alice))" in text

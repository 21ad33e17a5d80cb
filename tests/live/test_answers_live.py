from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import portrange

#: A server on an address that its network namespace alone has, with its own procfs. Its parent is unshare.
SERVER = """
import os, socket, subprocess, sys
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
subprocess.run(["ip", "address", "add", "10.200.0.1/24", "dev", "lo"], check=True)
server = socket.create_server(("10.200.0.1", 0))
print(server.getsockname()[1], flush=True)
sys.stdin.read()
"""


@pytest.mark.usefixtures("namespaces", "sock_diag")
def test_who_answers_runs_the_lookup_in_the_network_of_another_procfs():
    command = ["unshare", "--net", "--pid", "--fork", "--mount-proc", sys.executable, "-c", SERVER]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        port = int(parent.stdout.readline())
        [child] = Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text("ascii").split()
        host = portrange.Host(f"/proc/{child}/root/proc")
        [reached] = portrange.who_answers(port, "10.200.0.1", host=host)
        [refused] = portrange.who_answers(port, "127.0.0.1", host=host)
        with pytest.raises(ValueError, match=r"10\.200\.0\.1 is not an address of this machine"):
            portrange.who_answers(port, "10.200.0.1")
    assert ([item.pid for item in reached.listeners], reached.assumed) == ([1], False)
    assert (refused.listeners, refused.assumed) == ((), False)


#: Queries in a new network namespace, whose loopback interface is down, and after the advice of the first error.
ADVICE = """
import subprocess, portrange
def complaint(address):
    try:
        portrange.who_answers(9, address)
    except ValueError as error:
        return str(error)
for address in ("127.0.0.1", "localhost", "::1"):
    print(complaint(address))
subprocess.run(complaint("127.0.0.1").partition("on Linux: ")[2].removesuffix(")").split(), check=True)
print(complaint("127.0.0.1"))
"""


@pytest.mark.usefixtures("namespaces", "sock_diag")
def test_loopback_address_of_an_interface_that_is_down_gets_a_remedy_that_works():
    command = ["unshare", "--net", sys.executable, "-c", ADVICE]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    ipv4, name, ipv6, after = done.stdout.splitlines()
    remedy = "is not an address of this machine: set the loopback interface up (on Linux: ip link set lo up)"
    assert ipv4 == f"127.0.0.1 {remedy}"
    assert name.endswith(remedy)
    assert ipv6.startswith("::1 is not an address of this machine: use 127.0.0.1, or enable IPv6")
    assert after == "None"

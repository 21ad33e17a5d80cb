"""Verdicts in real namespaces: the right to bind privileged ports, and reserved ports."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

import portrange

#: Prints whether a low port was bound, and the remedy of its risk.
PROGRAM = """
import socket, portrange
bound = False
for port in range(1, 1024):
    try:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
        bound = True
        break
    except PermissionError:
        break
    except OSError:
        continue
[risk] = [risk for risk in portrange.classify(port).risks if risk.kind == "privileged"]
print(bound, ": this process has it" in risk.detail)
"""

#: Reserves a port of the ephemeral range, and prints the exit statuses of checks before and afterwards.
RESERVE = """
import portrange, subprocess, sys
def check(*arguments):
    command = [sys.executable, "-m", portrange.__name__, "check", *arguments]
    return subprocess.run(command, check=False, capture_output=True).returncode
with open("/proc/sys/net/ipv4/ip_local_port_range", "w") as file:
    file.write("32768 60999")
before = check("40000")
with open("/proc/sys/net/ipv4/ip_local_reserved_ports", "w") as file:
    file.write("40000,50000")
print(before, check("40000"), check("40000", "--strict"), check("40001"), check("50000"))
print([risk.detail for risk in portrange.classify(40000).risks][0])
"""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="namespaces are a feature of Linux")
NEEDS_PRIVILEGED_PORTS = pytest.mark.skipif(
    not portrange.classify(1).privileged, reason="no port is privileged on this machine"
)


ENVIRONMENT = {**os.environ, "PYTHONPATH": os.path.dirname(os.path.dirname(portrange.__file__))}


def run(*prefix: str, code: str = PROGRAM) -> subprocess.CompletedProcess[str]:
    command = [*prefix, sys.executable, "-c", code]
    return subprocess.run(command, check=False, capture_output=True, text=True, env=ENVIRONMENT)


def in_namespaces(*options: str, code: str = PROGRAM) -> subprocess.CompletedProcess[str]:
    """Run the program as root of a new user namespace, or skip the test."""
    try:
        probe = subprocess.run(["unshare", *options, "true"], check=False, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("unshare is not installed")
    if probe.returncode != 0:
        pytest.skip(f"user namespaces are not permitted: {probe.stderr.strip()}")
    if "--net" in options:
        options = (*options, "sh", "-c", 'ip link set lo up 2>/dev/null; exec "$@"', "sh")
    return run("unshare", *options, code=code)


@NEEDS_PRIVILEGED_PORTS
def test_right_to_bind_agrees_with_a_bind():
    bound, has_right = run().stdout.split()
    assert bound == has_right


@NEEDS_PRIVILEGED_PORTS
def test_root_of_a_user_namespace_lacks_the_right_in_the_network_of_the_host():
    assert in_namespaces("--user", "--map-root-user").stdout == "False False\n"


@NEEDS_PRIVILEGED_PORTS
def test_root_of_a_user_namespace_has_the_right_in_its_own_network():
    assert in_namespaces("--user", "--map-root-user", "--net").stdout == "True True\n"


def test_socket_module_is_not_needed_for_the_right():
    # Coverage.py imports socket into the programs that it measures.
    code = "import sys; before = set(sys.modules); import portrange; portrange.classify(80); "
    code += "print('socket' in set(sys.modules) - before)"
    assert run(code=code).stdout == "False\n"


def test_port_that_was_reserved_as_advised_is_safe():
    done = in_namespaces("--user", "--map-root-user", "--net", code=RESERVE)
    statuses, risk = done.stdout.splitlines()
    assert statuses == "1 0 1 1 1", done.stderr
    assert risk.endswith("reserved on this host: other Linux machines need the same sysctl")


#: Prints the page of a port, and what suggest does, where the host allocates all ports from 1024 on.
WIDEST = """
import portrange, subprocess, sys
with open("/proc/sys/net/ipv4/ip_local_port_range", "w") as file:
    file.write("1024 65535")
for arguments in (["8080"], ["suggest", "my-service"]):
    command = [sys.executable, "-m", portrange.__name__, *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    print(done.stdout + done.stderr)
"""


def test_page_does_not_refer_to_suggest_where_the_host_allocates_all_ports():
    done = in_namespaces("--user", "--map-root-user", "--net", code=WIDEST)
    assert done.returncode == 0, done.stderr
    page, _, suggested = done.stdout.partition("\nportrange suggest: ")
    assert "Instead      no port from 1024 to 19999 is outside; bind port 0" in page
    assert "portrange suggest NAME" not in page
    assert suggested.startswith("no port is left for 'my-service'")

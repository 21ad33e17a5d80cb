"""The programs of the how-to pages do what the pages describe; each runs as a separate program."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from live.world import World

import portrange

HOWTO = Path(__file__).parents[2] / "docs" / "howto"
#: Without the pytest options of this test run: readers run pytest with its defaults.
ENVIRONMENT = dict(os.environ, PYTHONPATH=str(HOWTO.parents[1]), PYTEST_ADDOPTS="")


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], check=False, capture_output=True, text=True, timeout=300, env=ENVIRONMENT
    )


@pytest.fixture
def server():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


# --- a check of fixed ports ----------------------------------------------------------------------------------------


def check_ports(directory: Path, text: str) -> subprocess.CompletedProcess[str]:
    path = directory / "test_fixed_ports.py"
    path.write_text(text, encoding="utf-8")
    return run("-m", "pytest", "-q", "-p", "no:cacheprovider", f"--rootdir={directory}", path)


def test_check_passes_for_safe_ports(tmp_path):
    done = check_ports(tmp_path, (HOWTO / "test_fixed_ports.py").read_text(encoding="utf-8"))
    assert (done.returncode, "3 passed" in done.stdout) == (0, True), done.stdout


def test_check_fails_for_an_ephemeral_port_with_the_reason(tmp_path):
    text = (HOWTO / "test_fixed_ports.py").read_text(encoding="utf-8")
    done = check_ports(tmp_path, text.replace('"metrics": 9464', '"metrics": 60860'))
    assert done.returncode == 1
    assert "1 failed, 2 passed" in done.stdout
    assert "metrics: port 60860\n" in done.stdout
    assert "high: in IANA's dynamic band (49152-65535): " in done.stdout
    assert "high: in the default ephemeral range of Linux (32768-60999), macOS" in done.stdout


# --- a health check ------------------------------------------------------------------------------------------------


def test_health_check_passes_for_the_expected_program(server):
    name = portrange.who_listens(server)[0].process
    done = run(HOWTO / "health_check.py", str(server), str(name))
    assert (done.returncode, done.stderr) == (0, "")
    assert f"({os.getpid()})" in done.stdout


def test_health_check_fails_for_another_program(server):
    done = run(HOWTO / "health_check.py", str(server), "gunicorn")
    assert done.returncode == 1
    assert done.stdout.startswith("another program listens: ")


def test_health_check_fails_without_a_listener():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    done = run(HOWTO / "health_check.py", str(port), "gunicorn")
    assert (done.returncode, done.stdout) == (1, f"nothing listens on port {port}\n")


def test_health_check_is_inconclusive_when_the_owner_is_hidden(root, sock_diag, world: World):
    """The listener belongs to root; the health check runs unprivileged."""
    result = world.ask(
        """
        server = tcp()
        sys.path.insert(0, sys.argv[1])
        import health_check  # first: others cannot read a source tree in a private folder
        become_nobody()
        say(health_check.check(int(sys.argv[2]), "gunicorn"))
        """,
        HOWTO,
        world.start("server = tcp(); say(port(server)); wait()").hear(),
    )
    status, message = result
    assert status == 2
    assert "owner hidden" in message


# --- the host of a container ---------------------------------------------------------------------------------------

#: A host with its own processes, network and procfs. It has a server of root and one of an ordinary user, and reports
#: their ports. Then it starts a container that has this host's procfs at {mounted}/proc, Docker's default capabilities
#: (moby, oci/caps/defaults.go), those in argument 3, and its own server.
MACHINE = """
mounted, example, extra = sys.argv[1:4]
new_network()
new_processes()
server = tcp()

def serve():
    server.close()
    user_server = tcp()
    os.write(ready, str(port(user_server)).encode())
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)
    os.write(ready, b"\\n")
    wait()

heard, ready = os.pipe()
other = fork(serve)
line = b""
while not line.endswith(b"\\n"):
    line += os.read(heard, 100)

def container():
    server.close()
    new_mounts()
    bind_mount("/proc", mounted)
    new_network()
    unshare(CLONE_NEWPID)
    inside = fork(run_inside)
    os.waitpid(inside, 0)

def run_inside():
    mount_proc()
    own = tcp("127.0.0.1", 7)
    os.dup2(output, 1)
    os.dup2(output, 2)
    rights = "chown,dac_override,fsetid,fowner,mknod,net_raw,setgid,setuid,setfcap,setpcap,net_bind_service"
    rights += ",sys_chroot,kill,audit_write" + extra
    kept = ",".join(["-all", *("+" + right for right in rights.split(","))])
    os.execvp("setpriv", ["setpriv", "--bounding-set", kept, sys.executable, example, mounted])

shown, output = os.pipe()
child = fork(container)
os.close(output)
text = b""
while block := os.read(shown, 4096):
    text += block
say([port(server), int(line), other, text.decode()])
wait()
"""


def owner_pids(text: str) -> dict[str, list[str]]:
    """Return the pids of the owners by TCP port of a printed table."""
    rows = [line for line in text.splitlines() if line.startswith("tcp ")]
    return {int(row.split()[1]): re.findall(r"127\.0\.0\.1  \S+ (\d+) ", row) for row in rows}


def run_in_container(world: World, directory: Path, rights: str) -> tuple[int, int, int, str]:
    if shutil.which("setpriv") is None:
        pytest.skip("the program 'setpriv' is not on the PATH")
    mounted = directory / "host" / "proc"
    mounted.mkdir(parents=True)
    return tuple(world.ask(MACHINE, mounted, HOWTO / "host_of_a_container.py", rights))


def test_container_with_capabilities_sees_the_host(namespaces, several_users, sock_diag, world: World, tmp_path):
    first, second, pid, text = run_in_container(world, tmp_path, ",sys_admin,sys_ptrace")
    assert f"{tmp_path}/host/proc/sys/net/ipv4/ip_local_port_range" in text
    assert owner_pids(text) == {first: ["1"], second: [str(pid)]}


@pytest.mark.usefixtures("namespaces", "several_users", "sock_diag")
@pytest.mark.parametrize(("rights", "sees_owners"), [(",sys_ptrace", True), (",sys_admin", False), ("", False)])
def test_container_with_fewer_capabilities_reports_unknowns(world: World, tmp_path, rights, sees_owners):
    first, second, pid, text = run_in_container(world, tmp_path, rights)
    assert text.startswith("32768-60999 (28,232 ports; documented default, assumed)\n")
    owners = owner_pids(text)
    assert set(owners) == {first, second}
    assert sorted(owners.values()) == ([["1"], [str(pid)]] if sees_owners else [[], []])
    assert text.count(" ? ") == (0 if sees_owners else 2)


# --- a fake host ---------------------------------------------------------------------------------------------------


def test_example_with_a_fake_host_passes(tmp_path):
    path = shutil.copy(HOWTO / "test_with_a_fake_host.py", tmp_path)
    done = run("-m", "pytest", "-q", "-p", "no:cacheprovider", f"--rootdir={tmp_path}", path)
    assert (done.returncode, "1 passed" in done.stdout) == (0, True), done.stdout


def test_example_with_a_server_on_port_0_passes(tmp_path):
    path = shutil.copy(HOWTO / "test_server_on_port_0.py", tmp_path)
    done = run("-m", "pytest", "-q", "-p", "no:cacheprovider", f"--rootdir={tmp_path}", path)
    assert (done.returncode, "1 passed" in done.stdout) == (0, True), done.stdout

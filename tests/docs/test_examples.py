"""The examples of the how-to pages do what the pages say, each as the program that it is."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import urllib.request
from importlib.util import find_spec
from pathlib import Path

import pytest
from live.world import World

import portrange

HOWTO = Path(__file__).parents[2] / "docs" / "howto"
#: Without what this run of pytest may have been told: a reader's pytest is a plain one.
ENVIRONMENT = dict(os.environ, PYTHONPATH=str(HOWTO.parents[1]), PYTEST_ADDOPTS="")


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], check=False, capture_output=True, text=True, timeout=60, env=ENVIRONMENT
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


def test_safe_ports_pass(tmp_path):
    done = check_ports(tmp_path, (HOWTO / "test_fixed_ports.py").read_text(encoding="utf-8"))
    assert (done.returncode, "6 passed" in done.stdout) == (0, True), done.stdout


def test_a_port_that_systems_hand_out_fails_with_the_reason(tmp_path):
    text = (HOWTO / "test_fixed_ports.py").read_text(encoding="utf-8")
    done = check_ports(tmp_path, text.replace('"metrics": 9464', '"metrics": 60860'))
    assert done.returncode == 1
    assert "2 failed, 4 passed" in done.stdout
    assert "metrics: port 60860\n" in done.stdout
    assert "high: IANA leaves 49152-65535 to everybody for temporary use" in done.stdout
    assert "in the default pool of linux, macos, windows" in done.stdout


# --- a health check ------------------------------------------------------------------------------------------------


def test_the_right_program_is_healthy(server):
    name = portrange.who_listens(server)[0].process
    done = run(HOWTO / "health_check.py", str(server), str(name))
    assert (done.returncode, done.stderr) == (0, "")
    assert f"({os.getpid()})" in done.stdout


def test_another_program_is_not(server):
    done = run(HOWTO / "health_check.py", str(server), "gunicorn")
    assert done.returncode == 1
    assert done.stdout.startswith("another program listens: ")


def test_nobody_is_not():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    done = run(HOWTO / "health_check.py", str(port), "gunicorn")
    assert (done.returncode, done.stdout) == (1, f"nobody listens on port {port}\n")


def test_a_hidden_owner_is_neither(root, sock_diag, world: World):
    """The listener is root's, and who asks is not."""
    answer = world.ask(
        """
        made = tcp()
        become_nobody()
        sys.path.insert(0, sys.argv[1])
        import health_check
        say(health_check.check(int(sys.argv[2]), "gunicorn"))
        """,
        HOWTO,
        world.start("made = tcp(); say(port(made)); wait()").hear(),
    )
    status, words = answer
    assert status == 2
    assert "hidden from you" in words


# --- an exporter for Prometheus ------------------------------------------------------------------------------------


@pytest.fixture
def exporter():
    """The address of a running exporter."""
    if find_spec("prometheus_client") is None:
        pytest.skip("prometheus-client is not installed: pip install '.[docs]'")
    program = subprocess.Popen(
        [sys.executable, HOWTO / "exporter.py", "0"], stdout=subprocess.PIPE, text=True, env=ENVIRONMENT
    )
    assert program.stdout is not None
    yield program.stdout.readline().strip()
    program.kill()
    program.communicate(timeout=20)


def scrape(url: str) -> dict[str, float]:
    with urllib.request.urlopen(url, timeout=20) as reply:
        text = reply.read().decode()
    return {name: float(value) for name, value in re.findall(r"^(\w+(?:\{.*\})?) (\S+)$", text, re.MULTILINE)}


def test_each_scrape_shows_the_pool_of_that_moment(exporter):
    size = len(portrange.ephemeral_range())
    before = scrape(exporter)
    assert before['portrange_pool_ports{protocol="tcp"}'] == size
    assert before['portrange_pool_ports{protocol="udp"}'] == size
    with socket.create_server(("127.0.0.1", 0)) as server:
        address, port = server.getsockname()
        held = [socket.create_connection((address, port)) for _ in range(20)]
        after = scrape(exporter)
        for one in held:
            one.close()
    assert after['portrange_pool_ports_used{protocol="tcp"}'] >= 20
    [full] = [
        value
        for name, value in after.items()
        if name.startswith("portrange_destination_share") and f'destination="127.0.0.1:{port}"' in name
    ]
    assert full == pytest.approx(20 / size, rel=0.01)  # ports of listeners are taken off the limit
    assert not any(f'destination="127.0.0.1:{port}"' in name for name in before)


# --- the machine below a container ---------------------------------------------------------------------------------

#: A machine of its own: processes, network, procfs. It has a server of root and one of an ordinary user, and says its
#: ports. Then it starts a container that has this machine's procfs at {mounted}/proc, with the rights that Docker gives
#: by default (moby, oci/caps/defaults.go) and those in argument 3, and a server of its own.
MACHINE = """
mounted, example, extra = sys.argv[1:4]
new_network()
new_processes()
server = tcp()

def serve():
    server.close()
    made = tcp()
    os.write(ready, str(port(made)).encode())
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


def holders(text: str) -> dict[str, list[str]]:
    """The pids behind each TCP address of a printed table."""
    rows = [line for line in text.splitlines() if line.startswith("tcp ")]
    return {row.split()[1]: re.findall(r"\((\d+)\)", row) for row in rows}


def look_from_a_container(world: World, directory: Path, rights: str) -> tuple[int, int, int, str]:
    if shutil.which("setpriv") is None:
        pytest.skip("the program 'setpriv' is not on the PATH")
    mounted = directory / "host" / "proc"
    mounted.mkdir(parents=True)
    return tuple(world.ask(MACHINE, mounted, HOWTO / "host_of_a_container.py", rights))


def test_a_container_with_the_rights_sees_the_machine_and_not_itself(namespaces, sock_diag, world: World, tmp_path):
    first, second, pid, text = look_from_a_container(world, tmp_path, ",sys_admin,sys_ptrace")
    assert f"{tmp_path}/host/proc/sys/net/ipv4/ip_local_port_range" in text
    assert holders(text) == {f"127.0.0.1:{first}": ["1"], f"127.0.0.1:{second}": [str(pid)]}


@pytest.mark.usefixtures("namespaces", "sock_diag")
@pytest.mark.parametrize(("rights", "sees_owners"), [(",sys_ptrace", True), (",sys_admin", False), ("", False)])
def test_with_less_it_sees_sockets_and_says_what_it_does_not_know(world: World, tmp_path, rights, sees_owners):
    first, second, pid, text = look_from_a_container(world, tmp_path, rights)
    assert text.startswith("32768-60999 (28,232 ports; documented default, assumed)\n")
    seen = holders(text)
    assert set(seen) == {f"127.0.0.1:{first}", f"127.0.0.1:{second}"}
    assert sorted(seen.values()) == ([["1"], [str(pid)]] if sees_owners else [[], []])
    assert text.count("hidden from you") == (0 if sees_owners else 2)

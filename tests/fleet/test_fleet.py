"""The fleet example of the documentation: a scheduler and three hosts, each in its own network namespace.

The hosts are joined by a bridge without an uplink, with documentation addresses (RFC 5737).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from live.world import Child, World

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "docs" / "howto" / "fleet.py"
ENVIRONMENT = dict(os.environ, PYTHONPATH=str(ROOT))
SCHEDULER = "192.0.2.1"
HOSTS = ["192.0.2.11", "192.0.2.12", "192.0.2.13"]
PORT = 60860

#: A host: its own network until the test ends, and a listener for each address and port that it receives.
HOST = """
new_network()
say(None)
held = []
while True:
    address = hear()
    if not address:
        break
    held.append(tcp(address, int(hear())))
    say(None)
"""


class Fleet:
    """Hosts on one bridge, and the programs that run on them."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._programs: list[subprocess.Popen[str]] = []
        self._hub = self._host()
        self._ip(self._hub, "link add wire type bridge")
        self._ip(self._hub, f"address add {SCHEDULER}/24 dev wire")
        self._ip(self._hub, "link set wire up")
        self.hosts = {address: self._joined(address, number) for number, address in enumerate(HOSTS)}

    def _host(self) -> Child:
        child = self._world.start(HOST)
        child.hear()
        return child

    def _joined(self, address: str, number: int) -> Child:
        """Start a host that is connected to the bridge by a veth pair."""
        child = self._host()
        self._ip(self._hub, f"link add cable{number} type veth peer name eth0 netns {child.pid}")
        self._ip(self._hub, f"link set cable{number} master wire up")
        self._ip(child, f"address add {address}/24 dev eth0")
        self._ip(child, "link set eth0 up")
        return child

    @staticmethod
    def _command(host: Child, *command: str) -> list[str]:
        return ["nsenter", f"--net=/proc/{host.pid}/ns/net", *command]

    def _ip(self, host: Child, arguments: str) -> None:
        command = self._command(host, "ip", *arguments.split())
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=300)
        if done.returncode != 0:
            pytest.skip(f"cannot configure the network namespaces: ip {arguments}: {done.stderr.strip()}")

    def listen(self, address: str, bind_address: str) -> int:
        """Start a listener on one of the hosts and return its pid."""
        child = self.hosts[address]
        child.send(bind_address)
        child.send(str(PORT))
        child.hear()
        return child.pid

    def start(self, host: Child, *arguments: str) -> None:
        """Run a program of distributed on one host until the test ends."""
        command = self._command(host, sys.executable, "-m", *arguments)
        pipe = subprocess.PIPE
        program = subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=pipe, text=True, cwd="/")
        self._programs.append(program)

    def start_engine(self) -> None:
        scheduler = ("distributed.cli.dask_scheduler", "--host", SCHEDULER, "--port", "8786", "--no-dashboard")
        self.start(self._hub, *scheduler)
        for address, host in self.hosts.items():
            worker = ("distributed.cli.dask_worker", f"tcp://{SCHEDULER}:8786", "--host", address, "--no-nanny")
            self.start(host, *worker, "--nthreads", "1", "--no-dashboard", "--memory-limit", "0")
        self._wait_for_workers()

    def _wait_for_workers(self) -> None:
        """Wait until the scheduler knows all hosts; a program that ends earlier has failed."""
        count = (
            "import sys; from distributed import Client; "
            f"client = Client('tcp://{SCHEDULER}:8786', timeout=300); "
            f"client.wait_for_workers({len(HOSTS)}, timeout=300)"
        )
        done = self.run("-c", count)
        assert done.returncode == 0, done.stderr + self.errors()

    def errors(self) -> str:
        ended = [program for program in self._programs if program.poll() is not None]
        return "".join(program.stderr.read() for program in ended if program.stderr)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a Python program on the hub."""
        return subprocess.run(
            self._command(self._hub, sys.executable, *arguments),
            check=False,
            capture_output=True,
            text=True,
            timeout=300,
            env=ENVIRONMENT,
            cwd="/",
        )

    def end(self) -> None:
        for program in self._programs:
            program.kill()
        for program in self._programs:
            program.communicate(timeout=300)


@pytest.fixture
def fleet(namespaces: None, world: World):
    if find_spec("distributed") is None:
        pytest.skip("distributed is not installed: pip install --group fleet")
    for program in ("ip", "nsenter"):
        if shutil.which(program) is None:
            pytest.skip(f"the program {program!r} is not on the PATH")
    running = Fleet(world)
    yield running
    running.end()


def table(done: subprocess.CompletedProcess[str]) -> list[list[str]]:
    assert (done.returncode, done.stderr) == (0, "")
    return [line.split() for line in done.stdout.splitlines()]


def test_table_lists_the_listeners_of_each_host(fleet: Fleet):
    first = fleet.listen(HOSTS[0], "0.0.0.0")
    third = fleet.listen(HOSTS[2], "127.0.0.1")
    fleet.start_engine()
    name = Path(f"/proc/{first}/comm").read_text(encoding="utf-8").strip()
    example = [str(EXAMPLE), f"tcp://{SCHEDULER}:8786"]
    assert table(fleet.run(*example, str(PORT))) == [
        ["HOST", "PROTOCOL", "ADDRESS", "PORT", "PID", "PROCESS"],
        [HOSTS[0], "tcp", "0.0.0.0", str(PORT), str(first), name],
        [HOSTS[2], "tcp", "127.0.0.1", str(PORT), str(third), name],
    ]

    # Results are not cached between queries.
    second = fleet.listen(HOSTS[1], HOSTS[1])
    assert [HOSTS[1], "tcp", HOSTS[1], str(PORT), str(second), name] in table(fleet.run(*example, str(PORT)))

    # An error on a host is reported, not an empty result.
    failed = fleet.run(*example, "65536")
    assert failed.returncode == 1
    assert [line.partition(": not known: ")[0] for line in failed.stderr.splitlines()] == HOSTS
    assert "ports are whole numbers from 0 to 65535" in failed.stderr

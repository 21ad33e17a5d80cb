"""Build a busy host: processes with open descriptors, in cgroups, with listeners and loopback connections.

Run a program (a profiler, strace) on such a host, in a new network namespace:

    python tests/benchmarks/busy_host.py --processes 500 --cgroups 200 -- ss -tulnp

Cleanup is guaranteed: a builder process creates everything and waits for the end of its standard input, which occurs
when the caller closes it or exits for any reason. The builder then kills and reaps each worker by its PID and removes
the cgroups. If the builder is killed, the workers end as well: each waits on a pipe that only the builder can write to.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass
from typing import Any

from host_plan import Shape
from own_network import enter_own_network

_BUILDER = os.path.join(os.path.dirname(__file__), "host_builder.py")
_SECONDS = 120.0


@dataclass(frozen=True)
class Service:
    """A listener and the process that owns it."""

    protocol: str
    address: str
    port: int
    pid: int
    inode: int


class BusyHost:
    """Context manager of a busy host, which is removed at exit.

    - `services`: the listeners, sorted by port; `pids`: the workers.
    - `cgroups`: the number of cgroups; 0 if none are wanted or possible. `why_no_cgroups` is the reason in that case.
    """

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.services: tuple[Service, ...] = ()
        self.pids: tuple[int, ...] = ()
        self.cgroups = 0
        self.why_no_cgroups = ""
        self._builder: subprocess.Popen[str] | None = None

    def __enter__(self) -> BusyHost:  # noqa: PYI034 - the class has no subclasses
        # A new session, so that Ctrl-C reaches only the caller. Without site, forks stay small.
        self._builder = subprocess.Popen(
            [sys.executable, "-E", "-S", _BUILDER, json.dumps(asdict(self.shape))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            built = self._wait_until_built(self._builder)
        except BaseException:
            self._take_down()
            raise
        self.services = tuple(Service(*service) for service in built["services"])
        self.pids = tuple(built["pids"])
        self.cgroups = built["cgroups"]
        self.why_no_cgroups = built["why_no_cgroups"]
        return self

    def __exit__(self, *_: object) -> None:
        if self._take_down() != 0:
            raise RuntimeError("the busy host was not removed completely; see the messages above")

    @staticmethod
    def _wait_until_built(builder: subprocess.Popen[str]) -> dict[str, Any]:
        assert builder.stdout is not None
        line = builder.stdout.readline()
        if not line:
            raise RuntimeError("the busy host could not be built; see the messages above")
        built: dict[str, Any] = json.loads(line)
        return built

    def _take_down(self) -> int:
        assert self._builder is not None
        assert self._builder.stdin is not None
        assert self._builder.stdout is not None
        self._builder.stdin.close()
        self._builder.stdout.close()
        return self._builder.wait(_SECONDS)


def main() -> int:
    parser = argparse.ArgumentParser(description="Build a busy host, run a command there (or wait), and remove it.")
    for name, default in asdict(Shape()).items():
        parser.add_argument(f"--{name}", type=int, default=default, metavar="N", help=f"default: {default}")
    parser.add_argument(
        "command", nargs="*", help="command to run; without it, the host lasts until standard input ends"
    )
    arguments = parser.parse_args()
    enter_own_network()
    shape = Shape(**{name: getattr(arguments, name) for name in asdict(Shape())})
    with BusyHost(shape) as host:
        built = {
            "pids": host.pids,
            "services": [asdict(service) for service in host.services],
            "cgroups": host.cgroups,
            "why_no_cgroups": host.why_no_cgroups,
        }
        print(json.dumps(built), flush=True)
        if arguments.command:
            return subprocess.run(arguments.command, check=False).returncode
        sys.stdin.read()
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)

"""Screens of every command in a terminal, on a host with long addresses and container IDs.

python tests/screens/screens.py          # write the files in tests/screens/golden/ again
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
GOLDEN = HERE / "golden"
sys.path.insert(0, str(HERE.parent))

COMMANDS = (
    "",
    "--all",
    "5000-6000",
    "8000 8080",
    "5432 40003",
    "--process 120",
    "wait 8000 --process 200",
    "wait 9 --process 240 --timeout 0",
    "answers 8080",
    "answers 8000 ::1",
    "answers 8080 192.0.2.1",
    "dnsmasq",
    "domain/udp",
    "busy 8000 8080 53/udp 9000",
    "busy 15432",
    "check 8000 8080 60860",
    "check 60860 --verbose",
    "suggest my-service",
    # The port of docker-proxy.
    "suggest web-1853",
    "range",
    "usage",
    "usage -p udp",
    "usage --protocol tcp",
    "-h",
    "--help",
    "check -h",
    "check --help",
    "rnage",
    "--protcol tcp",
    "busy localhost:80",
)
#: Each golden file: the user who types, and the columns of the terminal.
FILES = [(user, columns) for user in ("root", "nobody") for columns in (80, 160)]
#: Settings for one command, below /proc/sys: the range of the connections to port 5432, which use all of it.
SETTINGS = {"usage --protocol tcp": {"net/ipv4/ip_local_port_range": "40000 40029"}}
#: More lines than any screen has.
LINES = 200
_CONTAINER = "614743f188db0123456789abcdef0123456789abcdef0123456789abcdef01234567"[:64]
CGROUPS = {
    "sshd": "ssh.service",
    "nginx": "nginx.service",
    "dnsmasq": "a-service-with-a-rather-long-name-for-the-local-network.service",
    "postgres": f"docker-{_CONTAINER}.scope",
    "docker-proxy": "docker.service",
}
NAMESPACES = ["unshare", "--net", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child"]


def screens(user: str, columns: int) -> str:
    """Return the screens of all commands, each below its command line."""
    from live.cgroups import Cgroups

    cgroups = Cgroups.here()
    try:
        with tempfile.TemporaryDirectory() as directory:
            os.chmod(directory, 0o755)
            request = {
                "columns": columns,
                "lines": LINES,
                "user": user,
                "commands": COMMANDS,
                "settings": SETTINGS,
                "directory": directory,
                "source": str(HERE.parents[1]),
                "cgroups": {name: cgroups.make(path) for name, path in CGROUPS.items()},
            }
            environment = {
                name: value
                for name, value in os.environ.items()
                if name not in ("NO_COLOR", "COLUMNS", "LINES", "FORCE_COLOR", "TMUX")
            }
            done = subprocess.run(
                [*NAMESPACES, sys.executable, str(HERE / "host.py"), json.dumps(request)],
                check=True,
                stdout=subprocess.PIPE,
                text=True,
                timeout=300,
                env={**environment, "LC_ALL": "C.UTF-8", "TERM": "xterm"},
            )
    finally:
        cgroups.close()
    return "".join(
        f"$ portrange {command}".rstrip() + f"\n{screen}\n" for command, screen in json.loads(done.stdout).items()
    )


if __name__ == "__main__":
    GOLDEN.mkdir(exist_ok=True)
    for user, columns in FILES:
        (GOLDEN / f"{user}-{columns}.txt").write_text(screens(user, columns), encoding="utf-8")

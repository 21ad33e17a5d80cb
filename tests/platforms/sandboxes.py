"""Restricted Linux: without /proc, other processes, AF_NETLINK, or the default ephemeral range.

Each sandbox consists of namespaces and ends with its last process. probes/sandboxes.py contains its checks.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import machine

_OWN_PROC = ("--mount", "--pid", "--fork", "--kill-child")
#: Options of unshare(1), and a script that runs in the namespaces before the probe.
SANDBOXES = {
    "no-proc": (_OWN_PROC, "mount -t tmpfs tmpfs /proc"),
    "read-only-proc": (_OWN_PROC, "mount -t proc -o ro proc /proc"),
    "hidepid": (_OWN_PROC, "mount -t proc -o hidepid=2 proc /proc"),
    "no-netlink": (_OWN_PROC, "mount -t proc proc /proc"),
    "neither": (_OWN_PROC, "mount -t tmpfs tmpfs /proc"),
    "changed-range": ((*_OWN_PROC, "--net"), 'mount -t proc proc /proc; "$0" -c "$LOOPBACK_UP"'),
}
_SECCOMP = ("no-netlink", "neither")
_SECCOMP_MACHINES = ("x86_64", "aarch64")


def check(workspace: Path) -> None:
    machine.need_linux()
    machine.need_namespaces(*_OWN_PROC, "--net")
    project = machine.copy_project(workspace / "project", tests=False)
    environment = {"PYTHONPATH": f"{project}:{project}/probes", "LOOPBACK_UP": machine.LOOPBACK_UP}
    for name, (flags, before) in SANDBOXES.items():
        if name in _SECCOMP and os.uname().machine not in _SECCOMP_MACHINES:
            machine.say("SKIP", f"{name}: the system call numbers are unknown for {os.uname().machine}")
            continue
        script = f'set -e; {before}; exec "$0" "$@"'
        command = ("unshare", *flags, "sh", "-c", script, sys.executable, project / "probes/sandboxes.py", name)
        machine.report_probe(f"sandbox {name}", machine.run(*command, env=environment))


if __name__ == "__main__":
    sys.exit(machine.main(check))

"""systemd as PID 1, with real units: socket activation, a user's manager, and three layouts of cgroups.

Each layout is a machine of its own (systemd_machine.py). What must hold in it: probes/systemd_units.py.
For development, `--root DIR` keeps the installed Debian in a directory, `--layout` boots one machine only, and
`--wanted` runs the scenarios of open issues instead and prints which of them fail.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path

import machine
import systemd_machine


def check(workspace: Path, arguments: argparse.Namespace) -> None:
    machine.need_linux()
    machine.need_namespaces("--mount", "--net", "--uts", "--ipc", "--pid", "--cgroup", "--fork")
    machine.need_commands("nsenter", "pivot_root", "setpriv")
    layouts = arguments.layout or systemd_machine.LAYOUTS
    refusals = {layout: systemd_machine.refusal(layout, workspace) for layout in layouts}
    if all(refusals.values()):
        raise machine.SkippedError("; ".join(filter(None, refusals.values())))
    root = arguments.root.resolve() if arguments.root else workspace / "root"
    if not root.exists():
        machine.need_programs(debootstrap="debootstrap")
        systemd_machine.install(root)
    project = machine.copy_project(workspace / "project", tests=False)
    for layout, refusal in refusals.items():
        if refusal:
            machine.say("SKIP", refusal)
            continue
        with systemd_machine.booted(root, layout, project) as guest:
            _report(guest, layout, arguments)


def _report(guest: systemd_machine.SystemdMachine, layout: str, arguments: argparse.Namespace) -> None:
    wanted = ("--wanted",) if arguments.wanted else ()
    command = ("env", "PYTHONPATH=/project:/project/probes", "python3", "/project/probes/systemd_units.py")
    output = guest.run(*command, layout, *arguments.scenarios, *wanted)
    if arguments.wanted:
        machine.say("", f"layout {layout}\n{output}")
        return
    version = guest.run("systemctl", "--version").split("\n")[0]
    machine.report_probe(f"{version} of Debian as PID 1, layout {layout}", output)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help="functions of probes/systemd_units.py (all)")
    parser.add_argument("--root", type=Path, metavar="DIR", help="installed Debian; made if missing, and kept")
    parser.add_argument("--layout", action="append", choices=systemd_machine.LAYOUTS, help="of cgroups (all)")
    parser.add_argument("--wanted", action="store_true", help="run the scenarios of open issues, print what fails")
    return parser


if __name__ == "__main__":
    sys.exit(machine.main(partial(check, arguments=_parser().parse_args())))

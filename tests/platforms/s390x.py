"""Big-endian Linux: a Debian kernel for s390x in an emulated machine, with the probes as its init program.

User-mode emulation is not sufficient: /proc/net and netlink messages must come from a big-endian kernel. The machine
has no disk and no network; its files are in an initramfs.
"""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import debian
import machine

#: Kernel modules for NETLINK_SOCK_DIAG, SCTP and DCCP, in the order of their dependencies.
_MODULES = (
    *("inet_diag", "tcp_diag", "udp_diag"),
    *("crc32c_generic", "libcrc32c", "udp_tunnel", "ip6_udp_tunnel", "sctp", "sctp_diag"),
    *("dccp", "dccp_ipv4", "dccp_ipv6", "dccp_diag"),
)
_MEMORY_MIB = 1536


def check(workspace: Path) -> None:
    machine.need_linux()
    machine.install_debian("qemu-system-misc", "cpio", "gzip")
    release = debian.Release(workspace, "s390x")
    root = release.unpack(workspace / "root", "python3-minimal", "libpython3-stdlib")
    kernel_package = release.dependency("linux-image-s390x", r"linux-image-\d\S+")
    kernel = release.unpack_alone(workspace / "kernel", kernel_package)
    machine.copy_project(root / "project", tests=False)
    (root / "project/modules").mkdir()
    for number, name in enumerate(_MODULES):
        [module] = kernel.glob(f"lib/modules/*/kernel/**/{name}.ko*")
        shutil.copy(module, root / f"project/modules/{number:02}-{module.name}")
    init = root / "init"
    init.write_text("#!/usr/bin/python3 /project/probes/first_program.py\n", encoding="ascii")
    init.chmod(0o755)
    output = boot(next(kernel.glob("boot/vmlinu*")), pack(root, workspace / "initrd.gz"))
    report(kernel_package.removeprefix("linux-image-"), output)


def pack(root: Path, archive: Path) -> Path:
    """Pack an initramfs (Documentation/driver-api/early-userspace)."""
    for unneeded in ("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/zoneinfo", "var"):
        shutil.rmtree(root / unneeded, ignore_errors=True)
    script = 'cd "$0" && find . -print0 | cpio --null --create --format=newc --quiet | gzip -1 > "$1"'
    machine.run("sh", "-c", script, root, archive)
    return archive


def boot(kernel: Path, initrd: Path) -> str:
    """Return the output of the machine until it powers off."""
    return machine.run(
        *("qemu-system-s390x", "-M", "s390-ccw-virtio", "-cpu", "max", "-m", _MEMORY_MIB, "-nographic", "-no-reboot"),
        *("-net", "none", "-kernel", kernel, "-initrd", initrd),
        *("-append", "console=ttysclp0 rdinit=/init panic=-1 quiet"),
    )


def report(kernel: str, output: str) -> None:
    """Report the probes of the machine, each of which has its own section of the output."""
    parts = re.split(r"^=== (.*)\n", output, flags=re.MULTILINE)[1:]
    named = dict(zip(parts[::2], parts[1::2], strict=True))
    if "end" not in named:
        raise machine.FailedError(f"the emulated machine did not complete its probes:\n{output}")
    del named["end"]
    for name, part in named.items():
        if "big-endian" not in part:
            raise machine.FailedError(f"{name}: not big-endian:\n{part}")
        machine.report_probe(f"Linux {kernel} in QEMU, {name}", part)


if __name__ == "__main__":
    sys.exit(machine.main(check))

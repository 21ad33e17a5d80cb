"""A Debian that boots with systemd as PID 1, in namespaces of its own.

`install` makes the file system with debootstrap. `SystemdMachine` boots it: the installed files are the lower layer of
an overlay, so every boot starts from the same state, and the machine ends with its PID 1. Its mounts, processes,
sockets and network devices belong to its namespaces; the cgroups below its own are removed at the end.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import debian
import machine

#: How cgroups are mounted: cgroup2 alone, cgroup2 beside version 1, version 1 alone (CGROUP_DELEGATION of systemd).
LAYOUTS = ("cgroup2", "hybrid", "v1")
USER = "alice"

_PACKAGES = (
    *("systemd", "systemd-sysv", "dbus", "libpam-systemd"),
    *("openssh-server", "rpcbind", "iproute2", "python3"),
)
#: They download package lists as soon as the machine has booted.
_MASKED = ("apt-daily.timer", "apt-daily-upgrade.timer")
_NAMESPACES = ("--mount", "--net", "--uts", "--ipc", "--pid")
_FLAGS = (*_NAMESPACES, "--fork", "--kill-child")
_ENVIRONMENT = ("PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8")
#: What systemd reads as its kernel command line in a container: the arguments of PID 1.
_COMMAND_LINE = {
    "cgroup2": ("systemd.unified_cgroup_hierarchy=1",),
    "hybrid": ("systemd.unified_cgroup_hierarchy=0", "systemd.legacy_systemd_cgroup_controller=0"),
    "v1": ("systemd.unified_cgroup_hierarchy=0", "systemd.legacy_systemd_cgroup_controller=1"),
}
_UNSETTLED = ("", "initializing", "starting", "offline", "unknown")
_SECONDS_TO_BOOT = 600
_SECONDS_TO_END = 300
_SECONDS_BETWEEN_LOOKS = 0.1

#: Define `each_hierarchy FUNCTION`: call it with the mount point of each hierarchy, and the caller's cgroup in it.
#: The kernel creates hierarchies in the initial cgroup namespace only (cgroup1_root_to_use, kernel/cgroup/cgroup-v1.c).
_HIERARCHIES = """
each_hierarchy() {
  { cat /proc/self/cgroup; grep -q :name=systemd: /proc/self/cgroup || echo 0:name=systemd:/; } > "$area/hierarchies"
  while IFS=: read -r number names path; do
    case $layout:$names in
      v1: | cgroup2:?*) continue;;  # with v1 all sockets are in the root of cgroup2, as where nothing uses it
      *:) kind=cgroup2 options=rw;;
      *:name=*) kind=cgroup options=none,$names;;
      *) kind=cgroup options=$names;;
    esac
    mount -t $kind -o "$options" cgroup "$area/cgroup"
    "$1" "$area/cgroup" "$path"
    umount "$area/cgroup"
  done < "$area/hierarchies"
}
"""

#: Enter a new cgroup in every hierarchy that the machine will see, then a cgroup namespace that begins there.
_ENTER_CGROUPS = f"""
set -e
root=$1 area=$2 name=$3 layout=$4 project=$5 boot=$6
shift 6
mount -t tmpfs -o mode=755 tmpfs "$area"
mkdir "$area/cgroup"
{_HIERARCHIES}
enter() {{
  mkdir "$1$2/$name"
  if [ -e "$1$2/cpuset.mems" ] && [ -e "$1$2/cgroup.clone_children" ]; then
    cat "$1$2/cpuset.cpus" > "$1$2/$name/cpuset.cpus"  # cpuset of version 1: empty in a new group
    cat "$1$2/cpuset.mems" > "$1$2/$name/cpuset.mems"
  fi
  echo 0 > "$1$2/$name/cgroup.procs"
}}
each_hierarchy enter
exec unshare --cgroup sh -c "$boot" "$root" "$area" "$layout" "$project" "$@"
"""

#: Mount what a container manager mounts (systemd's CONTAINER_INTERFACE), change the root directory, start PID 1.
_BOOT = """
set -e
installed=$0 area=$1 layout=$2 project=$3
shift 3
cd "$area"
mkdir upper work root
mount -t overlay -o "lowerdir=$installed,upperdir=upper,workdir=work" overlay root
cp -r "$project" root/project
cd root
mount -t proc proc proc
mount --bind proc/sys proc/sys  # settings outside of the network namespace belong to the whole kernel
mount --bind proc/sys/net proc/sys/net
mount -o remount,bind,ro proc/sys
mount -t sysfs -o ro sysfs sys
mount -t tmpfs -o mode=755 tmpfs dev
for name in null zero full random urandom tty; do
  touch dev/$name
  mount --bind /dev/$name dev/$name
done
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=666,mode=620,gid=5 devpts dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
mount -t tmpfs -o mode=1777 tmpfs dev/shm
mount -t tmpfs -o mode=755 tmpfs run
if [ $layout = cgroup2 ]; then
  mount -t cgroup2 cgroup2 sys/fs/cgroup
else
  mount -t tmpfs -o mode=755 tmpfs sys/fs/cgroup
  mkdir sys/fs/cgroup/systemd
  mount -t cgroup -o none,name=systemd,xattr cgroup sys/fs/cgroup/systemd
fi
if [ $layout = hybrid ]; then
  mkdir sys/fs/cgroup/unified
  mount -t cgroup2 cgroup2 sys/fs/cgroup/unified
fi
mkdir mnt/outside
pivot_root . mnt/outside
umount -l /mnt/outside
exec env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin /sbin/init "$@"
"""

_REMOVE_CGROUPS = f"""
set -e
area=$1 name=$2 layout=$3
mount -t tmpfs tmpfs "$area"
mkdir "$area/cgroup"
{_HIERARCHIES}
remove() {{
  if [ -d "$1$2/$name" ]; then find "$1$2/$name" -depth -type d -exec rmdir {{}} +; fi
}}
each_hierarchy remove
"""

_HIERARCHY = "name=systemd"
_MOUNT_CGROUP2 = 'mount -t cgroup2 cgroup2 "$0" && umount "$0"'
_MOUNT_VERSION_1 = f'mount -t cgroup -o none,{_HIERARCHY} cgroup "$0" && umount "$0"'
_MOUNTS = {
    "cgroup2": _MOUNT_CGROUP2,
    "hybrid": f"{_MOUNT_CGROUP2} && {_MOUNT_VERSION_1}",
    "v1": _MOUNT_VERSION_1,
}


def refusal(layout: str, directory: Path) -> str | None:
    """The reason why this kernel or container does not allow this layout of cgroups, or None."""
    command = ["unshare", "--mount", "sh", "-c", _MOUNTS[layout], str(directory)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    return f"layout {layout}: {' '.join(done.stderr.split())}" if done.returncode else None


def install(root: Path) -> Path:
    """Install Debian with systemd into a directory, with the mirror and the release of this machine."""
    started = time.monotonic()
    partial = root.with_name(f"{root.name}.partial")
    # Mounts and processes of debootstrap end with it, also if it is killed.
    machine.run(
        *("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"),
        *("debootstrap", "--variant=minbase", "--force-check-gpg", f"--include={','.join(_PACKAGES)}"),
        *(debian.own_suite(), partial, debian.own_mirror()),
    )
    machine.run("chroot", partial, "useradd", "--create-home", "--shell", "/bin/bash", USER)
    for unit in _MASKED:
        (partial / "etc/systemd/system" / unit).symlink_to("/dev/null")
    partial.rename(root)
    machine.say("TIME", f"debootstrap: {time.monotonic() - started:.0f} s")
    return root


class SystemdMachine:
    """A booted machine; `pid` is its PID 1, as seen from here."""

    def __init__(self, process: subprocess.Popen[bytes], pid: int) -> None:
        self.pid = pid
        self._process = process

    def run(self, *command: str | Path, seconds: float = 300, ok: bool = True) -> str:
        """The output of a program that runs inside as root; see `machine.run`."""
        return machine.run(*self.inside(*command), seconds=seconds, ok=ok)

    def inside(self, *command: str | Path) -> list[str]:
        """The arguments that run a program in the namespaces of the machine."""
        enter = ("nsenter", f"--target={self.pid}", *_NAMESPACES, "--cgroup", "--", "/usr/bin/env", "-i")
        return [*enter, *_ENVIRONMENT, *map(str, command)]

    def wait_until_booted(self) -> str:
        """The state that systemd settles in: "running", or "degraded" where a unit failed."""
        deadline = time.monotonic() + _SECONDS_TO_BOOT
        state = ""
        while state in _UNSETTLED:
            if self._process.poll() is not None:
                raise machine.FailedError(f"PID 1 ended with status {self._process.returncode}")
            if time.monotonic() > deadline:
                jobs = self.run("systemctl", "list-jobs", "--no-pager", ok=False)
                raise machine.FailedError(f"not booted within {_SECONDS_TO_BOOT} s, state {state!r}\n{jobs}")
            time.sleep(_SECONDS_BETWEEN_LOOKS)
            command = self.inside("systemctl", "is-system-running")
            state = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300).stdout.strip()
        return state


@contextlib.contextmanager
def booted(root: Path, layout: str, project: Path) -> Iterator[SystemdMachine]:
    """Boot the Debian installed in `root`, with a copy of `project` in /project, and end it afterwards."""
    with tempfile.TemporaryDirectory(prefix="portrange-machine-") as directory:
        name = Path(directory).name  # unique as long as the directory exists
        existed = _has_hierarchy()
        try:
            started = time.monotonic()
            with _started(root, Path(directory), name, layout, project) as guest:
                state = guest.wait_until_booted()
                machine.say("TIME", f"boot with layout {layout}: {time.monotonic() - started:.0f} s, {state}")
                if state != "running":
                    machine.say("", guest.run("systemctl", "--failed", "--no-legend", "--plain", "--no-pager"))
                yield guest
        finally:
            removal = ("unshare", "--mount", "sh", "-c", _REMOVE_CGROUPS, "sh", directory, name, layout)
            machine.run(*removal, seconds=_SECONDS_TO_END)
            if not existed:
                _end_hierarchy(directory)


def _has_hierarchy() -> bool:
    """True where systemd's hierarchy of version 1 exists, mounted or not."""
    return f":{_HIERARCHY}:" in Path("/proc/self/cgroup").read_text("utf-8")


def _end_hierarchy(directory: str) -> None:
    """End systemd's hierarchy of version 1, with the first unmount after its cgroups are released.

    The kernel releases removed cgroups asynchronously (cgroup_kill_sb, kernel/cgroup/cgroup.c).
    """
    deadline = time.monotonic() + _SECONDS_TO_END
    while _has_hierarchy():
        if time.monotonic() > deadline:
            raise machine.FailedError(f"the cgroup hierarchy {_HIERARCHY} is still there")
        machine.run("unshare", "--mount", "sh", "-c", _MOUNT_VERSION_1, directory, seconds=_SECONDS_TO_END)
        time.sleep(_SECONDS_BETWEEN_LOOKS)


@contextlib.contextmanager
def _started(root: Path, area: Path, name: str, layout: str, project: Path) -> Iterator[SystemdMachine]:
    arguments = (root, area, name, layout, project, _BOOT, *_COMMAND_LINE[layout])
    command = [
        "setpriv",
        "--pdeathsig=KILL",
        "unshare",
        *_FLAGS,
        "sh",
        "-c",
        _ENTER_CGROUPS,
        "sh",
        *map(str, arguments),
    ]
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
        pid = None
        try:
            pid = _wait_for_init(process)
            if pid is None:
                output.seek(0)
                text = output.read().decode("utf-8", "replace")
                raise machine.FailedError(f"layout {layout}: systemd was not started\n{text}")
            yield SystemdMachine(process, pid)
        finally:
            # With the first process of a PID namespace the kernel ends all the others (pid_namespaces(7)).
            if process.poll() is None:
                os.kill(pid or process.pid, signal.SIGKILL)
            process.wait(_SECONDS_TO_END)


def _wait_for_init(process: subprocess.Popen[bytes]) -> int | None:
    """The PID of the machine's PID 1 as soon as it is systemd; None where it does not become that."""
    deadline = time.monotonic() + _SECONDS_TO_BOOT
    while process.poll() is None and time.monotonic() < deadline:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text("ascii").split()
        for child in children:
            with contextlib.suppress(OSError):
                if os.readlink(f"/proc/{child}/exe").endswith("/systemd"):
                    return int(child)
        time.sleep(_SECONDS_BETWEEN_LOOKS)
    return None

"""Processes of a machine that is written down here: what is refused, gone, cut off or of another user."""

from __future__ import annotations

import errno

import pytest
from stand_in import StandIn

from portrange import ParseError, Process, SourceError
from portrange._backends.linux import cgroup, processes, users
from portrange._backends.linux.cgroup import Cgroup
from portrange._backends.linux.mounts import read_mounts
from portrange._backends.linux.processes import ProcessReader, Stat, parse_boot_time, parse_stat, parse_uid

STAT = b"7 (%s) %s 1 7 7 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 4711 0 0\n"
DENIED = PermissionError(errno.EACCES, "Permission denied")
GONE = ProcessLookupError(errno.ESRCH, "No such process")
SEVEN = {
    "/proc/7/stat": STAT % (b"nginx", b"S"),
    "/proc/7/cmdline": b"nginx: master\0",
    "/proc/7/status": b"Name:\tnginx\nUid:\t0\t33\t0\t0\n",
    "/proc/stat": b"cpu 1 2\nbtime 1000\n",
}


def described(files, **options):
    return ProcessReader(StandIn(files, **options)).describe(7)


def test_a_process():
    found = described(SEVEN, links={"/proc/7/exe": "/usr/sbin/nginx"}, users={33: "www"})
    assert found == (Process(7, "nginx", ("nginx: master",), "/usr/sbin/nginx", "www", 1047.11), 4711)


def test_a_user_without_a_name_is_a_number():
    assert described(SEVEN)[0].user == "33"


WHOLE = b"         0          0 4294967295\n"
#: Two ranges that together are everything, in another order.
TURNED = b"0 100000 65536\n65536 0 4294901759\n"
PART = b"         0     100000      65536\n"


@pytest.mark.parametrize(
    ("uid", "map_", "overflow", "user"),
    [
        (65534, WHOLE, b"65534\n", "nobody"),
        (65534, TURNED, b"65534\n", "nobody"),
        (65534, PART, b"65534\n", None),
        (65534, PART, None, None),
        (65534, b"", b"65534\n", None),
        (65534, DENIED, b"65534\n", None),
        (65534, None, b"65534\n", "nobody"),
        (65534, PART, b"99\n", "nobody"),
        (99, PART, b"99\n", None),
        (99, PART, b"65534\n", "99"),
    ],
)
def test_a_number_that_stands_for_all_unknown_users_is_nobody_in_particular(uid, map_, overflow, user):
    files = {
        **SEVEN,
        "/proc/7/status": b"Uid:\t0\t%d\t0\t0\n" % uid,
        "/proc/self/uid_map": map_,
        "/proc/sys/kernel/overflowuid": overflow,
    }
    files = {path: content for path, content in files.items() if content is not None}
    assert described(files, users={65534: "nobody"})[0].user == user


@pytest.mark.parametrize("text", ["0 0\n", "0 0 1 1\n", "0 0 x\n", "0 0 -1\n", "0 0 4294967296\n"])
def test_what_is_no_map_of_users(text):
    with pytest.raises(ParseError, match=r"^file"):
        users.parse_uid_map(text, "file")


@pytest.mark.parametrize("text", ["", "CapPrm:\t00\n", "CapEff:\n", "CapEff:\t0x1\n", "CapEff:\t-1\n", " CapEff: 1\n"])
def test_what_tells_no_capabilities(text):
    with pytest.raises(ParseError, match=r"^file: expected a line with CapEff: and a hexadecimal number, found "):
        processes.parse_capabilities(text, "file")


@pytest.mark.parametrize("refused", ["cmdline", "status"])
def test_what_may_not_be_read_is_left_out(refused):
    found = described({**SEVEN, f"/proc/7/{refused}": DENIED})
    assert found == (Process(7, "nginx", started=1047.11), 4711)


def test_of_a_process_that_may_not_be_looked_at_the_number_remains():
    assert described({**SEVEN, "/proc/7/stat": DENIED}) == (Process(7), 0)


@pytest.mark.parametrize("part", ["stat", "cmdline", "status"])
@pytest.mark.parametrize("error", [GONE, FileNotFoundError(errno.ENOENT, "No such file or directory")])
def test_a_process_that_goes_while_it_is_read_is_none(part, error):
    assert described({**SEVEN, f"/proc/7/{part}": error}) is None


def test_without_the_time_of_boot_nothing_is_said_of_when_it_started():
    assert described({**SEVEN, "/proc/stat": DENIED})[0].started is None


@pytest.mark.parametrize("source", ["/proc/7/stat", "/proc/7/status", "/proc/stat"])
def test_what_cannot_be_understood_names_its_source(source):
    with pytest.raises(ParseError) as caught:
        described({**SEVEN, source: b"nothing of the kind"})
    assert caught.value.source == source


def test_a_program_file_may_be_called_anything():
    found = described(SEVEN, links={"/proc/7/exe": "/opt/\udcff\n"})
    assert found[0].exe == "/opt/\\xff\n"


@pytest.mark.parametrize(
    ("name", "arguments", "whole"),
    [
        (b"fourteen-signs", b"/bin/fourteen-signs-and-more\0", "fourteen-signs"),
        (b"fifteen-signs-a", b"fifteen-signs-and-more\0x/y\0", "fifteen-signs-and-more"),
        (b"fifteen-signs-a", b"/usr/bin/fifteen-signs-and-more\0", "fifteen-signs-and-more"),
        (b"fifteen-signs-a", b"another\0fifteen-signs-and-more\0", "fifteen-signs-a"),
        (b"fifteen-signs-a", b"", "fifteen-signs-a"),
        (b"fifteen-signs-a", b"fifteen-signs-a" + b"x" * 240, "fifteen-signs-a" + "x" * 240),
        (b"fifteen-signs-a", b"fifteen-signs-a" + b"x" * 241, "fifteen-signs-a"),
    ],
)
def test_a_name_that_the_kernel_cut_is_completed_from_the_program_file(name, arguments, whole):
    files = {**SEVEN, "/proc/7/stat": STAT % (name, b"S"), "/proc/7/cmdline": arguments}
    assert described(files)[0].name == whole


def test_the_start_is_the_last_field_that_is_needed():
    fields = (STAT % (b"a", b"S")).split()
    assert parse_stat(b" ".join(fields[:22]), "stat") == Stat(b"a", "S", 4711)
    with pytest.raises(ParseError):
        parse_stat(b" ".join(fields[:21]), "stat")


def test_the_second_number_is_the_effective_user():
    assert parse_uid("Uid:\t0\t33\n", "status") == 33
    assert parse_uid("Uid:\t0\t33\t7\n", "status") == 33
    with pytest.raises(ParseError):
        parse_uid("Uid:\t0\n", "status")
    with pytest.raises(ParseError):
        parse_uid("Uid:\t0\tx\t7\n", "status")


def test_the_time_of_boot_is_a_line_of_its_own():
    assert parse_boot_time("intr 1 2\nctxt 9\nbtime 5\nprocesses 7\n", "stat") == 5
    with pytest.raises(ParseError):
        parse_boot_time("btime 5 6\n", "stat")


def test_start_ticks():
    assert processes.start_ticks(StandIn(SEVEN), 7) == 4711
    assert processes.start_ticks(StandIn(SEVEN), 8) is None
    assert processes.start_ticks(StandIn({"/proc/7/stat": GONE}), 7) is None
    assert processes.start_ticks(StandIn({"/proc/7/stat": DENIED}), 7) is None
    with pytest.raises(ParseError, match="/proc/7/stat"):
        processes.start_ticks(StandIn({"/proc/7/stat": b"?"}), 7)


def test_processes_are_the_numbers_in_procfs():
    assert processes.pids(StandIn(folders={"/proc": ["10", "net", "9", "self", "1x"]})) == [9, 10]


def hides(
    *options: str, uid: int = 1000, shown: tuple[int, ...] = (1, 7), files: dict[str, bytes] | None = None
) -> bool:
    lines = [f"22 1 0:21 / /proc rw - proc proc {option}\n" for option in options]
    other = "23 1 0:22 / /other rw - proc proc rw,hidepid=2\n24 1 0:23 / /proc rw - tmpfs x hidepid=2\n"
    mountinfo = (other + "".join(lines)).encode()
    host = StandIn({"/proc/self/mountinfo": mountinfo, **(files or {})}, uid=uid)
    return processes.hides_others(host, list(shown))


@pytest.mark.parametrize("option", ["hidepid=2", "hidepid=4", "hidepid=invisible", "hidepid=ptraceable"])
def test_a_procfs_that_hides_others(option):
    assert hides(f"rw,{option}")
    assert hides("rw", f"rw,{option}"), "the one on top counts"
    assert not hides(f"rw,{option}", "rw")
    assert not hides(f"rw,{option}", uid=0), "but not from root"


WITH, WITHOUT = b"CapEff:\t000001ffffffffff\n", b"CapEff:\t000001fffff7ffff\n"


@pytest.mark.parametrize("uid", [0, 1000])
def test_what_is_hidden_from_root_is_told_by_its_rights(uid):
    hidden = [
        hides("hidepid=4", uid=uid, files={"/proc/self/status": status, "/proc/self/uid_map": map_})
        for status, map_ in ((WITH, WHOLE), (WITHOUT, WHOLE), (WITH, PART))
    ]
    assert hidden == [False, True, True], "in a user namespace of its own a right is one over its own processes"
    assert not hides("rw", uid=uid, files={"/proc/self/status": WITHOUT, "/proc/self/uid_map": WHOLE})


def test_a_procfs_that_hides_nobody():
    assert not hides("rw")
    assert not hides("rw,hidepid=1")
    assert not hides()
    assert not processes.hides_others(StandIn(), [1])


def test_where_process_1_is_not_shown_others_may_be_missing_too():
    assert hides("rw", shown=(7,))
    assert hides("rw", shown=(), uid=0)


def test_mounts_that_cannot_be_read_are_none():
    assert read_mounts(StandIn({"/proc/self/mountinfo": DENIED})) == []
    [mount] = read_mounts(StandIn({"/proc/self/mountinfo": b"1 1 0:1 / /\xff rw - a b c\n"}))
    assert mount.point == "/\udcff"
    with pytest.raises(ParseError, match="/proc/self/mountinfo"):
        read_mounts(StandIn({"/proc/self/mountinfo": b"?\n"}))


@pytest.mark.parametrize(
    ("status", "same"),
    [
        (b"Pid:\t7\n", True),
        (b"Pid:\t7\nNSpid:\t7\n", True),
        (b"Pid:\t7\nNSpid:\t7\t1\nNSsid:\t7\n", False),
        (b"Name:\ta\rNSpid:\t7\t1\nNSpid:\t7\n", True),
        (DENIED, False),
    ],
)
def test_whether_procfs_counts_as_the_caller_does(status, same):
    assert processes.counts_as_caller(StandIn({"/proc/self/status": status})) is same


def test_threads_that_outlive_their_program():
    zombie = {"/proc/7/stat": STAT % (b"a", b"Z")}
    tasks = {"/proc/7/task": ["7", "12", "9", "x"]}
    assert processes.surviving_threads(StandIn(zombie, folders=tasks), 7) == [9, 12]
    assert processes.surviving_threads(StandIn(SEVEN, folders=tasks), 7) == []
    assert processes.surviving_threads(StandIn(zombie), 7) == []
    assert processes.surviving_threads(StandIn({}, folders=tasks), 7) == []
    with pytest.raises(ParseError, match="/proc/7/stat"):
        processes.surviving_threads(StandIn({"/proc/7/stat": b"?"}), 7)


class Counted(StandIn):
    """A procfs whose directory of threads has so many links."""

    links_of_task: int | OSError = 0

    def link_count(self, path: str) -> int:
        assert path == "/proc/7/task"
        if isinstance(self.links_of_task, OSError):
            raise self.links_of_task
        return self.links_of_task


@pytest.mark.parametrize(
    ("links", "threads"),
    [(5, [9, 12]), (3, []), (2, [9, 12]), (1, [9, 12]), (GONE, []), (FileNotFoundError(errno.ENOENT, "gone"), [])],
)
def test_the_threads_besides_the_first_are_listed_unless_there_are_none(links, threads):
    host = Counted(folders={"/proc/7/task": ["7", "12", "9", "x"]})
    host.links_of_task = links
    assert processes.further_threads(host, 7) == threads


def test_threads_that_may_not_be_listed_are_not_none():
    host = Counted(folders={"/proc/7/task": DENIED})
    host.links_of_task = 4
    with pytest.raises(PermissionError):
        processes.further_threads(host, 7)


def test_the_processes_of_a_group():
    group = Cgroup("/sys/fs/cgroup/a", "/a")
    listed = StandIn({"/sys/fs/cgroup/a/cgroup.procs": b"12\n0\n9\n\xff\n4294967296\n"})
    assert cgroup.processes(listed, group) == [12, 9]
    assert cgroup.processes(StandIn({"/sys/fs/cgroup/a/cgroup.procs": DENIED}), group) == []


def test_where_groups_are_mounted():
    there = ["cgroup.controllers", "cgroup.procs"]
    elsewhere = {"/proc/self/mountinfo": b"1 1 0:1 / /cg rw - cgroup2 x rw\n2 1 0:2 / /v1 rw - cgroup x rw\n"}
    assert cgroup.mounts(StandIn(elsewhere, folders={"/sys/fs/cgroup": there})) == ["/sys/fs/cgroup"]
    hybrid = {"/sys/fs/cgroup": ["cpu"], "/sys/fs/cgroup/unified": there}
    assert cgroup.mounts(StandIn(elsewhere, folders=hybrid)) == ["/sys/fs/cgroup/unified"]
    assert cgroup.mounts(StandIn(elsewhere, folders={"/sys/fs/cgroup": DENIED})) == ["/cg"]


def test_a_failure_of_the_machine_names_what_was_read():
    def fail(path):
        raise OSError(errno.EIO, "Input/output error")

    with pytest.raises(SourceError) as failure:
        processes.ask(fail, "/proc/7/stat")
    assert str(failure.value) == "/proc/7/stat: Input/output error"
    assert failure.value.errno == errno.EIO

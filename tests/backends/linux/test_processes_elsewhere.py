"""Processes of a fake procfs: unreadable, ended, truncated, and of other users."""

from __future__ import annotations

import errno

import pytest
from fakes import FakeHost

from portrange import ParseError, Process, SourceError
from portrange._backends.linux import cgroup, procfs
from portrange._backends.linux.members import read_pids
from portrange._backends.linux.procfs import ProcessReader, Stat, parse_boot_time, parse_stat, parse_uid, read_mounts

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
    return ProcessReader(FakeHost(files, **options)).describe(7)


def test_describe():
    found = described(SEVEN, links={"/proc/7/exe": "/usr/sbin/nginx"}, users={33: "www"})
    assert found == (
        Process(7, "nginx", ("nginx: master",), "/usr/sbin/nginx", "www", 1047.11, stopped=False, parent=1),
        (4711, b"nginx", "/usr/sbin/nginx"),
    )


def test_user_without_a_name_is_the_uid():
    assert described(SEVEN)[0].user == "33"


WHOLE = b"         0          0 4294967295\n"
#: Two ranges that together map all users, not sorted by outer ID.
UNSORTED = b"0 100000 65536\n65536 0 4294901759\n"
PART = b"         0     100000      65536\n"


@pytest.mark.parametrize(
    ("uid", "map_", "overflow", "user"),
    [
        (65534, WHOLE, b"65534\n", "nobody"),
        (65534, UNSORTED, b"65534\n", "nobody"),
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
def test_user_is_none_for_the_overflow_uid(uid, map_, overflow, user):
    files = {
        **SEVEN,
        "/proc/7/status": b"Uid:\t0\t%d\t0\t0\n" % uid,
        "/proc/self/uid_map": map_,
        "/proc/sys/kernel/overflowuid": overflow,
    }
    files = {path: content for path, content in files.items() if content is not None}
    assert described(files, users={65534: "nobody"})[0].user == user


@pytest.mark.parametrize("text", ["0 0\n", "0 0 1 1\n", "0 0 x\n", "0 0 -1\n", "0 0 4294967296\n"])
def test_parse_uid_map_rejects_invalid_text(text):
    with pytest.raises(ParseError, match=r"^file"):
        procfs.parse_uid_map(text, "file")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "CapPrm:\t00\n",
        "CapEff:\n",
        "CapEff:\t0x1\n",
        "CapEff:\t-1\n",
        "CapEff:\tX1\n",
        "CapEff:\f1\n",
        "CapEff:\t00000000000000001\n",
        " CapEff: 1\n",
    ],
)
def test_parse_capabilities_rejects_invalid_text(text):
    with pytest.raises(ParseError, match=r"^file: expected a line with CapEff: and a hexadecimal number, found "):
        procfs.parse_capabilities(text, "file")


def test_parse_capabilities_accepts_one_to_sixteen_digits():
    assert procfs.parse_capabilities("CapEff:\t1\n", "file") == 1
    assert procfs.parse_capabilities("CapEff:\tffffffffffffffff\n", "file") == (1 << 64) - 1


@pytest.mark.parametrize("refused", ["cmdline", "status"])
def test_unreadable_fields_are_omitted(refused):
    found = described({**SEVEN, f"/proc/7/{refused}": DENIED})
    assert found == (Process(7, "nginx", started=1047.11, stopped=False, parent=1), (4711, b"nginx", None))


def test_only_the_pid_is_known_when_stat_is_unreadable():
    assert described({**SEVEN, "/proc/7/stat": DENIED}) == (Process(7), (0, b"", None))


@pytest.mark.parametrize("part", ["stat", "cmdline", "status"])
@pytest.mark.parametrize("error", [GONE, FileNotFoundError(errno.ENOENT, "No such file or directory")])
def test_process_that_ends_during_the_read_is_none(part, error):
    assert described({**SEVEN, f"/proc/7/{part}": error}) is None


def test_start_time_is_none_without_the_boot_time():
    assert described({**SEVEN, "/proc/stat": DENIED})[0].started is None


@pytest.mark.parametrize("source", ["/proc/7/stat", "/proc/7/status", "/proc/stat"])
def test_parse_error_names_source(source):
    with pytest.raises(ParseError) as caught:
        described({**SEVEN, source: b"nothing of the kind"})
    assert caught.value.source == source


def test_exe_is_escaped():
    found = described(SEVEN, links={"/proc/7/exe": "/opt/\udcff\n"})
    assert found[0].exe == "/opt/\\xff\n"


@pytest.mark.parametrize(
    ("name", "arguments", "full_name"),
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
def test_truncated_name_is_completed_from_the_command_line(name, arguments, full_name):
    files = {**SEVEN, "/proc/7/stat": STAT % (name, b"S"), "/proc/7/cmdline": arguments}
    assert described(files)[0].name == full_name


def test_parse_stat_needs_22_fields():
    fields = (STAT % (b"a", b"S")).split()
    assert parse_stat(b" ".join(fields[:22]), "stat") == Stat(b"a", "S", 4711, 1)
    with pytest.raises(ParseError):
        parse_stat(b" ".join(fields[:21]), "stat")


def test_parse_uid_returns_the_effective_uid():
    assert parse_uid("Uid:\t0\t33\n", "status") == 33
    assert parse_uid("Uid:\t0\t33\t7\n", "status") == 33
    with pytest.raises(ParseError):
        parse_uid("Uid:\t0\n", "status")
    with pytest.raises(ParseError):
        parse_uid("Uid:\t0\tx\t7\n", "status")


def test_parse_stat_accepts_parents_above_the_highest_port():
    assert parse_stat((STAT % (b"a", b"S")).replace(b"S 1 ", b"S 70000 "), "stat").parent == 70000


def test_parse_boot_time_reads_the_btime_line():
    assert parse_boot_time("intr 1 2\nctxt 9\nbtime 5\nprocesses 7\n", "stat") == 5
    with pytest.raises(ParseError):
        parse_boot_time("btime 5 6\n", "stat")


def test_start_ticks():
    assert procfs.start_ticks(FakeHost(SEVEN), 7) == 4711
    assert procfs.start_ticks(FakeHost(SEVEN), 8) is None
    assert procfs.start_ticks(FakeHost({"/proc/7/stat": GONE}), 7) is None
    assert procfs.start_ticks(FakeHost({"/proc/7/stat": DENIED}), 7) is None
    with pytest.raises(ParseError, match="/proc/7/stat"):
        procfs.start_ticks(FakeHost({"/proc/7/stat": b"?"}), 7)


def test_identity():
    exe = {"/proc/7/exe": "/usr/sbin/nginx"}
    assert ProcessReader(FakeHost(SEVEN, links=exe)).identity(7) == (4711, b"nginx", "/usr/sbin/nginx")
    assert ProcessReader(FakeHost(SEVEN)).identity(7) == (4711, b"nginx", None)
    assert ProcessReader(FakeHost(SEVEN)).identity(8) is None
    assert ProcessReader(FakeHost({"/proc/7/stat": DENIED})).identity(7) is None


def test_refusing_has_the_processes_whose_descriptors_cannot_be_read():
    class Listed(FakeHost):
        def find_links(self, directory, targets, at_first=None):
            assert targets == frozenset()
            return dict.fromkeys(self.list(directory), "")

    descriptors = {7: ["0"], 8: GONE, 9: DENIED, 10: OSError(errno.EIO, "Input/output error"), 11: DENIED}
    folders = {"/proc": [str(pid) for pid in descriptors], **{f"/proc/{pid}/fd": fd for pid, fd in descriptors.items()}}
    assert procfs.refusing(Listed(folders=folders)) == [9, 11]
    assert procfs.refusing(Listed()) == []


def test_pids_are_the_numeric_names_in_procfs():
    assert procfs.pids(FakeHost(folders={"/proc": ["10", "net", "9", "self", "1x"]})) == [9, 10]


def hides(
    *options: str, uid: int = 1000, shown: tuple[int, ...] = (1, 7), files: dict[str, bytes] | None = None
) -> bool:
    lines = [f"22 1 0:21 / /proc rw - proc proc {option}\n" for option in options]
    other = "23 1 0:22 / /other rw - proc proc rw,hidepid=2\n24 1 0:23 / /proc rw - tmpfs x hidepid=2\n"
    mountinfo = (other + "".join(lines)).encode()
    host = FakeHost({"/proc/self/mountinfo": mountinfo, **(files or {})}, uid=uid)
    return procfs.hides_others(host, list(shown))


@pytest.mark.parametrize("option", ["hidepid=2", "hidepid=4", "hidepid=invisible", "hidepid=ptraceable"])
def test_hidepid_hides_other_processes(option):
    assert hides(f"rw,{option}")
    assert hides("rw", f"rw,{option}"), "the topmost mount applies"
    assert not hides(f"rw,{option}", "rw")
    assert not hides(f"rw,{option}", uid=0), "root sees all processes"


WITH, WITHOUT = b"CapEff:\t000001ffffffffff\n", b"CapEff:\t000001fffff7ffff\n"


@pytest.mark.parametrize("uid", [0, 1000])
def test_hidepid_does_not_apply_with_cap_sys_ptrace(uid):
    hidden = [
        hides("hidepid=4", uid=uid, files={"/proc/self/status": status, "/proc/self/uid_map": map_})
        for status, map_ in ((WITH, WHOLE), (WITHOUT, WHOLE), (WITH, PART))
    ]
    assert hidden == [False, True, True], "capabilities of a user namespace cover only its own processes"
    assert not hides("rw", uid=uid, files={"/proc/self/status": WITHOUT, "/proc/self/uid_map": WHOLE})


def test_procfs_without_hidepid_hides_no_process():
    assert not hides("rw")
    assert not hides("rw,hidepid=1")
    assert not hides()
    assert not procfs.hides_others(FakeHost(), [1])


def test_capabilities_that_cannot_be_parsed_are_an_error():
    with pytest.raises(ParseError, match=r"^/proc/self/status: expected a line with CapEff:"):
        hides("rw", files={"/proc/self/status": b"Name:\tcat\n"})


def test_processes_are_hidden_when_pid_1_is_missing():
    assert hides("rw", shown=(7,))
    assert hides("rw", shown=(), uid=0)


def test_read_mounts_when_mountinfo_is_unreadable_or_not_utf_8():
    assert read_mounts(FakeHost({"/proc/self/mountinfo": DENIED})) == []
    [mount] = read_mounts(FakeHost({"/proc/self/mountinfo": b"1 1 0:1 / /\xff rw - a b c\n"}))
    assert mount.point == "/\udcff"
    with pytest.raises(ParseError, match="/proc/self/mountinfo"):
        read_mounts(FakeHost({"/proc/self/mountinfo": b"?\n"}))


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
def test_counts_as_caller(status, same):
    assert procfs.shares_pid_namespace(FakeHost({"/proc/self/status": status})) is same


def test_surviving_threads():
    zombie = {"/proc/7/stat": STAT % (b"a", b"Z")}
    tasks = {"/proc/7/task": ["7", "12", "9", "x"]}
    assert procfs.surviving_threads(FakeHost(zombie, folders=tasks), 7) == [9, 12]
    assert procfs.surviving_threads(FakeHost(SEVEN, folders=tasks), 7) == []
    assert procfs.surviving_threads(FakeHost(zombie), 7) == []
    assert procfs.surviving_threads(FakeHost({}, folders=tasks), 7) == []
    with pytest.raises(ParseError, match="/proc/7/stat"):
        procfs.surviving_threads(FakeHost({"/proc/7/stat": b"?"}), 7)


class Counted(FakeHost):
    """A host whose /proc/7/task has `links_of_task` links."""

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
def test_further_threads(links, threads):
    host = Counted(folders={"/proc/7/task": ["7", "12", "9", "x"]})
    host.links_of_task = links
    assert procfs.further_threads(host, 7) == threads


def test_further_threads_raises_when_task_is_unreadable():
    host = Counted(folders={"/proc/7/task": DENIED})
    host.links_of_task = 4
    with pytest.raises(PermissionError):
        procfs.further_threads(host, 7)


def test_processes_of_cgroup():
    listed = FakeHost({"/sys/fs/cgroup/a/cgroup.procs": b"12\n0\n9\n\xff\n4294967296\n"})
    assert read_pids(listed, "/sys/fs/cgroup/a") == [12, 0, 9]
    assert read_pids(FakeHost({"/sys/fs/cgroup/a/cgroup.procs": DENIED}), "/sys/fs/cgroup/a") == []


def test_cgroup_mounts():
    names = ["cgroup.controllers", "cgroup.procs"]
    elsewhere = {"/proc/self/mountinfo": b"1 1 0:1 / /cg rw - cgroup2 x rw\n2 1 0:2 / /v1 rw - cgroup x rw\n"}
    assert cgroup.mounts(FakeHost(elsewhere, folders={"/sys/fs/cgroup": names})) == ["/sys/fs/cgroup"]
    hybrid = {"/sys/fs/cgroup": ["cpu"], "/sys/fs/cgroup/unified": names}
    assert cgroup.mounts(FakeHost(elsewhere, folders=hybrid)) == ["/sys/fs/cgroup/unified"]
    assert cgroup.mounts(FakeHost(elsewhere, folders={"/sys/fs/cgroup": DENIED})) == ["/cg"]


def test_unexpected_os_error_becomes_a_source_error_with_the_path():
    def fail(path):
        raise OSError(errno.EIO, "Input/output error")

    with pytest.raises(SourceError) as failure:
        procfs.accessed(fail, "/proc/7/stat")
    assert str(failure.value) == "/proc/7/stat: Input/output error"
    assert failure.value.errno == errno.EIO

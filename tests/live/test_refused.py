"""NETLINK_SOCK_DIAG is refused: fall back to the procfs tables, or raise an error that names both sources."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from fakes import SystemHost
from live.world import World

import portrange

#: Listeners of each kind, and sockets that are not listeners.
SOCKETS = """
    sockets = [tcp(), tcp("0.0.0.0"), udp(), udp("0.0.0.0"), tcp("::1"), tcp("::"), udp("::1"), tcp("::ffff:127.0.0.1")]
    client = socket.create_connection(sockets[0].getsockname())
    sender = udp()
    sender.connect(sockets[2].getsockname())
    fork(wait)
"""
#: Fields that the procfs tables do not contain.
NOT_IN_TABLES = ("cgroup", "unit", "container", "dual_stack", "interface", "scope", "backlog")


class NoSockDiag(SystemHost):
    """A host that refuses NETLINK_SOCK_DIAG, as a sandbox does."""

    def sock_diag(self, request: bytes) -> Iterator[bytes]:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))


class NothingAtAll(NoSockDiag):
    """A host that also refuses the procfs tables, as Android does."""

    def read(self, path: str) -> bytes:
        if "/net/" in path:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return super().read(path)


def without_missing_fields(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name not in NOT_IN_TABLES} for row in rows]


@pytest.mark.usefixtures("ipv6", "sock_diag")
def test_procfs_tables_return_the_same_listeners(world: World):
    child = world.start(
        SOCKETS
        + """
    say([port(listener) for listener in sockets + [client, sender]])
    wait()
    """
    )
    for port in child.hear():
        native, refused = portrange.who_listens(port), portrange.who_listens(port, host=NoSockDiag())
        assert without_missing_fields(refused.to_dicts()) == without_missing_fields(native.to_dicts())
        assert all(len(listener.owners) == 2 for listener in refused)


@pytest.mark.usefixtures("namespaces", "ipv6", "sock_diag")
def test_sandbox_without_netlink_returns_the_same_listeners(world: World):
    if os.uname().machine not in ("x86_64", "aarch64", "riscv64", "s390x", "ppc64le"):
        pytest.skip(f"the system call number of socket(2) on {os.uname().machine} is unknown")
    before, refusal, after = world.ask(
        """
    new_network()
    new_processes()
    """
        + SOCKETS
        + """
    import portrange
    before = portrange.listeners().to_dicts()
    forbid_netlink()
    try:
        socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 4)
        refusal = None
    except OSError as error:
        refusal = error.errno
    say([before, refusal, portrange.listeners().to_dicts()])
    """
    )
    assert refusal == errno.EPERM
    assert len(before) == 8
    assert without_missing_fields(after) == without_missing_fields(before)


@pytest.mark.usefixtures("namespaces")
def test_thread_in_another_network_reads_its_own_tables(world: World):
    theirs, ours, source = world.ask("""
        import portrange
        from live.test_refused import NoSockDiag, NothingAtAll
        made = tcp()
        def ask():
            new_network()
            sockets = [tcp(), udp(), tcp("::1")]
            found = portrange.listeners(host=NoSockDiag())
            try:
                portrange.listeners(host=NothingAtAll())
            except portrange.SourceError as error:
                say([[listener.port for listener in found], sorted(map(port, sockets)), error.source])
        threading.Thread(target=ask).start()
        wait()
    """)
    assert theirs == ours
    assert source.endswith("/proc/thread-self/net")


def test_tables_are_readable_after_the_main_thread_ended(world: World):
    number, ports = world.ask("""
        import portrange
        from live.test_refused import NoSockDiag
        made = tcp()
        def ask():
            say([port(made), [listener.port for listener in portrange.who_listens(port(made), host=NoSockDiag())]])
        outlive_main_thread(ask)
    """)
    assert ports == [number]


def test_process_that_becomes_inaccessible_is_not_named(world: World):
    class Withdrawn(SystemHost):
        """A host that denies access to the process after its first description."""

        reads = 0

        def read(self, path: str) -> bytes:
            if path == f"/proc/{child.pid}/stat":
                self.reads += 1
                if self.reads > 1:
                    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
            return super().read(path)

    child = world.start("made = tcp(); say(port(made)); wait()")
    host = Withdrawn()
    [listener] = portrange.who_listens(child.hear(), host=host)
    assert (listener.owners, listener.hidden) == ((), True)
    assert host.reads > 1


def test_error_names_both_sources_when_both_are_refused():
    for ask in (portrange.listeners, lambda host: portrange.who_listens(60860, host=host)):
        with pytest.raises(portrange.SourceError, match="NETLINK_SOCK_DIAG") as caught:
            ask(host=NothingAtAll())
        assert "/proc/net" in caught.value.source
        assert "mount procfs" in str(caught.value)


@pytest.mark.usefixtures("namespaces")
def test_sandbox_without_netlink_and_procfs_raises_source_error(world: World, tmp_path: object):
    source, text = world.ask(
        """
        import portrange
        portrange.listeners()  # imports all modules
        forbid_netlink()
        os.chroot(sys.argv[1])
        os.chdir("/")
        try:
            say(portrange.who_listens(60860).to_dicts())
        except portrange.SourceError as error:
            say([error.source, str(error)])
        """,
        tmp_path,
    )
    assert "NETLINK_SOCK_DIAG" in source
    assert "/proc/net" in source
    assert "\n" not in text


def test_why_busy_uses_the_procfs_tables(world: World):
    child = world.start("""
        server = tcp()
        client = socket.create_connection(server.getsockname())
        say([port(server), port(client)])
        wait()
    """)
    server, client = child.hear()
    for port, kind in ((server, "listener"), (client, "connection")):
        obstacle = portrange.why_busy(port, address="127.0.0.1", host=NoSockDiag())[0]
        assert obstacle.kind == kind
        assert obstacle.socket is not None
        assert [owner.pid for owner in obstacle.socket.owners] == [child.pid]


def test_bound_socket_missing_from_tables_is_a_hidden_obstacle(world: World):
    child = world.start("made = bound(); say(port(made)); wait()")
    [obstacle] = portrange.why_busy(child.hear(), address="127.0.0.1", host=NoSockDiag())
    assert (obstacle.kind, obstacle.blocks, obstacle.socket) == ("hidden", True, None)
    assert "(it lists those that are bound without listening from 6.8 on, through NETLINK_SOCK_DIAG)" in obstacle.detail


def test_why_busy_free_port_needs_no_socket_list(world: World):
    port = world.ask("say(port(tcp()))")
    assert not portrange.why_busy(port, host=NothingAtAll())


def test_why_busy_taken_port_without_socket_list_is_not_free(world: World):
    child = world.start("made = tcp(); say(port(made)); wait()")
    try:
        obstacles = portrange.why_busy(child.hear(), host=NothingAtAll())
    except portrange.SourceError as error:
        assert "NETLINK_SOCK_DIAG" in error.source  # an error is as acceptable as an obstacle
    else:
        assert any(obstacle.blocks for obstacle in obstacles)


def test_descriptor_exhaustion_raises_instead_of_a_wrong_result(world: World):
    child = world.start("made = tcp(); say(port(made)); wait()")
    answers = world.ask(
        """
        import portrange, resource
        portrange.listeners()  # imports all modules
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        answers = []
        for spare in range(4):
            in_use = max(map(int, os.listdir("/proc/self/fd")))
            resource.setrlimit(resource.RLIMIT_NOFILE, (in_use + spare, hard))
            try:
                rows = portrange.who_listens(int(sys.argv[1])).to_dicts()
                answers.append([owner["pid"] for row in rows for owner in row["owners"]])
            except portrange.PortrangeError as error:
                answers.append(str(error))
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        say(answers)
        """,
        child.hear(),
    )
    assert any(isinstance(answer, str) and "Too many open files" in answer for answer in answers)
    assert all(answer == [child.pid] for answer in answers if not isinstance(answer, str))
    assert answers[-1] == [child.pid]


@pytest.mark.usefixtures("namespaces", "sock_diag")
@pytest.mark.parametrize("without_netlink", ["", "yes"])
def test_procfs_with_processes_only_lists_all_protocols(world: World, without_netlink: str):
    """The unit setting ProcSubset=pid (systemd.exec(5)) mounts such a procfs."""
    found = world.ask(
        """
        new_mounts()
        import portrange
        from portrange._answers.port import port_page
        from portrange._cli.cmd_show import listener_lines
        try:
            mount_proc(options="subset=pid")
        except OSError as error:
            say(str(error))
            wait()
        if sys.argv[1]:
            forbid_netlink()
        server = tcp()
        found = portrange.who_listens(port(server))
        page = port_page(portrange.classify(8080))["This host"]
        say([len(found), found.incomplete, listener_lines(found), page])
        """,
        without_netlink,
    )
    if isinstance(found, str):
        pytest.skip(f"procfs cannot be mounted with subset=pid: {found}")
    count, incomplete, lines, page = found
    assert (count, incomplete) == (1, [])
    assert not any("incomplete" in line for line in lines)
    assert [line.count("ip_local_") for line in page if line.startswith("incomplete: ")] == [2, 0]


class OnlySockDiagForTcp(SystemHost):
    """A host without procfs tables, whose kernel refuses dumps of SCTP and DCCP."""

    def read(self, path: str) -> bytes:
        if "/net/" in path:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        return super().read(path)

    def sock_diag(self, request: bytes) -> Iterator[bytes]:
        if request[17] in (socket.IPPROTO_SCTP, 33):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        return super().sock_diag(request)


@pytest.mark.usefixtures("sock_diag")
def test_protocols_that_cannot_be_listed_are_one_reason():
    reason = "sctp and dccp sockets (NETLINK_SOCK_DIAG and /proc/net: No such file or directory)"
    assert portrange.listeners(host=OnlySockDiagForTcp()).incomplete == (reason,)

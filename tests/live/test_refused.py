"""Where the kernel's list of sockets is refused: the tables of procfs, or an error that names both."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from typing import Any

import pytest
from live.world import World

import portrange

#: Two of each kind, and what is no listener beside them.
SOCKETS = """
    sockets = [tcp(), tcp("0.0.0.0"), udp(), udp("0.0.0.0"), tcp("::1"), tcp("::"), udp("::1"), tcp("::ffff:127.0.0.1")]
    client = socket.create_connection(sockets[0].getsockname())
    sender = udp()
    sender.connect(sockets[2].getsockname())
    fork(wait)
"""
#: The tables say less: not the group, nor the interface, nor whether IPv6 takes IPv4 too.
NOT_IN_TABLES = ("cgroup", "unit", "container", "dual_stack", "interface", "scope")


class NoSockDiag(portrange.Host):
    """Refuses the question at once, as a sandbox does."""

    def sock_diag(self, request: bytes) -> Iterator[bytes]:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))


class NothingAtAll(NoSockDiag):
    """Refuses the tables as well, as Android does."""

    def read(self, path: str) -> bytes:
        if "/net/" in path:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return super().read(path)


def told(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name not in NOT_IN_TABLES} for row in rows]


@pytest.mark.usefixtures("ipv6", "sock_diag")
def test_the_tables_give_the_same_listeners(world: World):
    child = world.start(
        SOCKETS
        + """
    say([port(one) for one in sockets + [client, sender]])
    wait()
    """
    )
    for port in child.hear():
        asked, refused = portrange.who_listens(port), portrange.who_listens(port, host=NoSockDiag())
        assert told(refused.to_dicts()) == told(asked.to_dicts())
        assert all(len(one.owners) == 2 for one in refused)


@pytest.mark.usefixtures("namespaces", "ipv6", "sock_diag")
def test_a_sandbox_without_netlink_sees_the_same_listeners(world: World):
    if os.uname().machine not in ("x86_64", "aarch64", "riscv64", "s390x", "ppc64le"):
        pytest.skip(f"the number of socket(2) on {os.uname().machine} is not known here")
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
    assert told(after) == told(before)


@pytest.mark.usefixtures("namespaces")
def test_the_tables_of_a_thread_in_another_network_are_its_own(world: World):
    theirs, ours, source = world.ask("""
        import portrange
        from live.test_refused import NoSockDiag, NothingAtAll
        made = tcp()
        def ask():
            new_network()
            there = [tcp(), udp(), tcp("::1")]
            found = portrange.listeners(host=NoSockDiag())
            try:
                portrange.listeners(host=NothingAtAll())
            except portrange.SourceError as error:
                say([[one.port for one in found], sorted(map(port, there)), error.source])
        threading.Thread(target=ask).start()
        wait()
    """)
    assert theirs == ours
    assert source.endswith("/proc/thread-self/net")


def test_the_tables_can_be_read_after_the_main_thread_has_ended(world: World):
    number, ports = world.ask("""
        import portrange
        from live.test_refused import NoSockDiag
        made = tcp()
        def ask():
            say([port(made), [one.port for one in portrange.who_listens(port(made), host=NoSockDiag())]])
        outlive_main_thread(ask)
    """)
    assert ports == [number]


def test_a_process_that_may_not_be_looked_at_any_more_is_not_named(world: World):
    class Withdrawn(portrange.Host):
        """Nothing more is told about a process once it was described."""

        asked = 0

        def read(self, path: str) -> bytes:
            if path == f"/proc/{child.pid}/stat":
                self.asked += 1
                if self.asked > 1:
                    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
            return super().read(path)

    child = world.start("made = tcp(); say(port(made)); wait()")
    host = Withdrawn()
    [one] = portrange.who_listens(child.hear(), host=host)
    assert (one.owners, one.hidden) == ((), True)
    assert host.asked > 1


def test_where_neither_answers_both_are_named():
    for ask in (portrange.listeners, lambda host: portrange.who_listens(60860, host=host)):
        with pytest.raises(portrange.SourceError, match="NETLINK_SOCK_DIAG") as caught:
            ask(host=NothingAtAll())
        assert "/proc/net" in caught.value.source
        assert "mount procfs" in str(caught.value)


@pytest.mark.usefixtures("namespaces")
def test_a_sandbox_without_netlink_and_procfs_is_told_so(world: World, tmp_path: object):
    source, text = world.ask(
        """
        import portrange
        portrange.listeners()  # loads what it needs
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


def test_why_a_port_is_busy_is_answered_from_the_tables_too(world: World):
    child = world.start("""
        server = tcp()
        client = socket.create_connection(server.getsockname())
        say([port(server), port(client)])
        wait()
    """)
    server, client = child.hear()
    for port, kind in ((server, "listener"), (client, "connection")):
        one = portrange.why_busy(port, address="127.0.0.1", host=NoSockDiag())[0]
        assert one.kind == kind
        assert one.socket is not None
        assert [owner.pid for owner in one.socket.owners] == [child.pid]


def test_what_the_tables_do_not_show_is_hidden_and_not_free(world: World):
    child = world.start("made = bound(); say(port(made)); wait()")
    [one] = portrange.why_busy(child.hear(), address="127.0.0.1", host=NoSockDiag())
    assert (one.kind, one.blocks, one.socket) == ("hidden", True, None)


def test_a_free_port_needs_no_list_of_sockets(world: World):
    port = world.ask("say(port(tcp()))")
    assert portrange.why_busy(port, host=NothingAtAll()) == ()


def test_a_taken_port_without_any_list_of_sockets_is_not_called_free(world: World):
    child = world.start("made = tcp(); say(port(made)); wait()")
    try:
        obstacles = portrange.why_busy(child.hear(), host=NothingAtAll())
    except portrange.SourceError as error:
        assert "NETLINK_SOCK_DIAG" in error.source  # one of two honest answers
    else:
        assert any(one.blocks for one in obstacles)


def test_without_descriptors_to_spare_there_is_an_error_and_no_wrong_answer(world: World):
    child = world.start("made = tcp(); say(port(made)); wait()")
    answers = world.ask(
        """
        import portrange, resource
        portrange.listeners()  # loads what it needs
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

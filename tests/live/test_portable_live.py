"""The portable backend (psutil) on Linux with real processes, also with the narrow view of other systems."""

from __future__ import annotations

import pytest
from live.world import World

import portrange
from portrange import Host

HOST = Host(backend="portable")

#: Query as an unprivileged user with the view that psutil has on macOS and the BSDs: per process, no system table.
NARROW = """
    import psutil
    from portrange import SourceError
    from portrange._backends.base import SocketQuery
    from portrange._backends.linux.settings import SETTINGS
    from portrange._backends.portable import ONE_BY_ONE, PortableBackend
    from portrange._host.system import System

    def ask(port, *protocols):
        try:
            answer = PortableBackend(SETTINGS, ONE_BY_ONE).listeners(System(), SocketQuery(port, protocols or None))
        except SourceError as error:
            return str(error)
        return {"true": bool(answer), "incomplete": answer.incomplete, "all": answer.to_dicts()}

    become_nobody()
"""


def test_owners_of_a_shared_socket_are_sorted_oldest_first(world: World):
    child = world.start("made = tcp(); say([port(made), os.getpid(), fork(wait), fork(wait)]); wait()")
    port, *pids = child.hear()
    (listener,) = portrange.who_listens(port, host=HOST)
    assert [owner.pid for owner in listener.owners] == pids


def test_reuseport_group_is_one_listener(world: World):
    first = world.start("made = tcp(reuse_port=True); say(port(made)); wait()")
    port = first.hear()
    second = world.start("made = tcp('127.0.0.1', int(sys.argv[1]), reuse_port=True); say(0); wait()", port)
    second.hear()
    (listener,) = portrange.who_listens(port, host=HOST)
    assert {owner.pid for owner in listener.owners} == {first.pid, second.pid}


def test_ipv4_mapped_address_is_reported_as_ipv4(world: World, ipv6: None):
    port = world.start("made = tcp('::ffff:127.0.0.1', v6only=False); say(port(made)); wait()").hear()
    (listener,) = portrange.who_listens(port, host=HOST)
    assert (listener.family, listener.address, listener.dual_stack) == ("ipv4", "127.0.0.1", False)


@pytest.mark.parametrize("program", ["tcp()", "udp()", "tcp('::1')", "udp('0.0.0.0')", "tcp('::', v6only=True)"])
def test_portable_backend_matches_the_native_backend(world: World, program: str):
    child = world.start(f"made = {program}; say([port(made), fork(wait)]); wait()")
    port, _ = child.hear()
    native, portable = portrange.who_listens(port, exhaustive=True), portrange.who_listens(port, host=HOST)
    facts = [
        [(listener.protocol, listener.family, listener.address, listener.port, listener.owners) for listener in answer]
        for answer in (native, portable)
    ]
    assert [fact[:4] for fact in facts[0]] == [fact[:4] for fact in facts[1]]
    for ours, theirs in zip(facts[0][0][4], facts[1][0][4], strict=True):
        assert (ours.pid, ours.name, ours.cmdline, ours.exe, ours.user) == (
            theirs.pid,
            theirs.name,
            theirs.cmdline,
            theirs.exe,
            theirs.user,
        )
        assert ours.started == pytest.approx(theirs.started, abs=2)


def test_closed_connection_is_a_time_wait_obstacle(world: World):
    child = world.start("""
        made = tcp()
        number = port(made)
        client = socket.create_connection(made.getsockname())
        accepted, _ = made.accept()
        for end in (accepted, client, made):
            end.close()
        say(number)
        wait()
    """)
    port = child.hear()
    reasons = portrange.why_busy(port, address="127.0.0.1", host=HOST)
    assert [(reason.kind, reason.socket.hidden if reason.socket else None) for reason in reasons] == [
        ("time-wait", False)
    ]


def test_unprivileged_user_sees_listener_with_hidden_owner(world: World, root: None):
    port = world.start("made = tcp(); say(port(made)); wait()").hear()
    program = """
        import psutil, portrange
        become_nobody()
        say(portrange.who_listens(int(sys.argv[1]), host=portrange.Host(backend="portable")).to_dicts())
    """
    (row,) = world.ask(program, port)
    assert (row["port"], row["owners"], row["hidden"]) == (port, [], True)


def test_narrow_view_finds_listener_of_another_user_by_bind_probe(world: World, root: None):
    port = world.start("made = tcp('0.0.0.0'); say(port(made)); wait()").hear()
    answer = world.ask(NARROW + "\n    say(ask(int(sys.argv[1])))", port)
    (row,) = answer["all"]
    assert (row["protocol"], row["port"], row["address"], row["hidden"]) == ("tcp", port, "", True)
    assert [reason for reason in answer["incomplete"] if f"tcp port {port}" in reason]


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("kind", ["tcp", "udp"])
def test_narrow_view_finds_listener_on_a_single_address(world: World, root: None, ipv6: None, address: str, kind: str):
    port = world.start(f"made = {kind}({address!r}); say(port(made)); wait()").hear()
    answer = world.ask(NARROW + "\n    say(ask(int(sys.argv[1]), sys.argv[2]))", port, kind)
    assert [(row["family"], row["hidden"]) for row in answer["all"]] == [("ipv6" if ":" in address else "ipv4", True)]


def test_narrow_view_bind_probe_proves_a_port_free(world: World, root: None):
    answer = world.ask(NARROW + "\n    made = tcp(); number = port(made); made.close(); say(ask(number))")
    assert answer == {"true": False, "incomplete": [], "all": []}


def test_narrow_view_names_the_own_listener(world: World, root: None):
    answer = world.ask(NARROW + "\n    made = tcp(); say([os.getpid(), ask(port(made), 'tcp')])")
    pid, found = answer
    assert [[owner["pid"] for owner in row["owners"]] for row in found["all"]] == [[pid]]
    assert len(found["incomplete"]) == 1


def test_narrow_view_privileged_port_raises_source_error(world: World, namespaces: None):
    message = world.ask("new_network()\n" + NARROW.replace("\n    ", "\n") + "\nsay(ask(80, 'tcp'))")
    assert "psutil: cannot determine whether a process listens on tcp port 80" in message
    assert "run as root" in message


def test_narrow_view_superuser_sees_all_listeners(world: World, namespaces: None):
    program = "new_network(); new_processes()\n" + NARROW.replace("become_nobody()", "").replace("\n    ", "\n")
    answer = world.ask(program + "\nmade = tcp('127.0.0.1', 80); say([ask(80), ask(81)])")
    busy, free = answer
    assert [row["port"] for row in busy["all"]] == [80]
    assert busy["incomplete"] == []
    assert free == {"true": False, "incomplete": [], "all": []}
